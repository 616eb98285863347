//! Numbered manifests. The highest number is the current one, and each is put only if absent.
//!
//! A writer that puts the next manifest deletes the one before. So a slow writer may find the number
//! after the manifest that it read free again, although another writer used that number and a later
//! one deleted its manifest: a successful put does not prove that the writer was first. Therefore each
//! manifest lists the writers of the manifests before it, its lineage. A writer that has put a manifest
//! checks whether the newest manifest is its own or has its own in the lineage.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LakeError;
use crate::json::{from_json, to_json};
use crate::lake::Lake;
use crate::storage::Put;

/// The number of earlier writers that a manifest lists.
const LINEAGE_LENGTH: usize = 64;

/// Further listings of a local folder that must show the same newest manifest.
const LISTINGS: u32 = 2;

/// The number and the lineage of a manifest.
#[derive(Debug, Clone, Default)]
pub(super) struct ManifestVersion {
    /// The number; 0 before the first manifest.
    pub(super) number: u64,
    lineage: Lineage,
}

/// The writers of a manifest and of those before it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Lineage {
    /// A random id of the attempt that put the manifest.
    #[serde(default)]
    writer: Uuid,
    /// The writers of the manifests before it, the latest first.
    #[serde(default)]
    before: Vec<Uuid>,
}

/// A manifest as it is stored.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    lineage: &'a Lineage,
    #[serde(flatten)]
    next: &'a T,
}

impl Lineage {
    /// The lineage of the next manifest, by a new writer.
    fn next(&self) -> Self {
        let before = [self.writer].into_iter().chain(self.before.iter().copied());
        Self {
            writer: Uuid::new_v4(),
            before: before.take(LINEAGE_LENGTH).collect(),
        }
    }

    fn contains(&self, writer: Uuid) -> bool {
        self.writer == writer || self.before.contains(&writer)
    }
}

/// The newest manifest of a folder; the default before the first.
pub(super) async fn newest<T: DeserializeOwned + Default>(
    lake: &Lake,
    folder: &str,
) -> Result<(ManifestVersion, T), LakeError> {
    let Some((number, path, bytes)) = newest_bytes(lake, folder).await? else {
        return Ok((ManifestVersion::default(), T::default()));
    };
    let lineage = from_json(&path, &bytes)?;
    Ok((
        ManifestVersion { number, lineage },
        from_json(&path, &bytes)?,
    ))
}

async fn newest_bytes(
    lake: &Lake,
    folder: &str,
) -> Result<Option<(u64, String, bytes::Bytes)>, LakeError> {
    loop {
        let Some(number) = newest_number(lake, folder).await? else {
            return Ok(None);
        };
        let path = lake.path(&manifest_path(folder, number));
        // Another writer may have deleted the manifest since the listing: list again.
        if let Some(bytes) = lake.store().get(&path).await? {
            return Ok(Some((number, path, bytes)));
        }
    }
}

async fn newest_number(lake: &Lake, folder: &str) -> Result<Option<u64>, LakeError> {
    let mut newest = listed_number(lake, folder).await?;
    if !lake.store().is_local() {
        return Ok(newest);
    }
    // A local listing leaves out files that are deleted before it has read all about them, and a file that
    // was put meanwhile: it may show no manifest although there always was one.
    let mut agreeing = 0;
    while agreeing < LISTINGS {
        let again = listed_number(lake, folder).await?;
        agreeing = if again == newest { agreeing + 1 } else { 0 };
        newest = again;
    }
    Ok(newest)
}

async fn listed_number(lake: &Lake, folder: &str) -> Result<Option<u64>, LakeError> {
    let names = lake.list(&format!("{folder}/manifests")).await?;
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".json"));
    Ok(numbers.filter_map(|number| number.parse().ok()).max())
}

/// Puts the manifest after `version`, and deletes the one before. Returns false where another writer was
/// faster.
pub(super) async fn put_next<T: Serialize>(
    lake: &Lake,
    folder: &str,
    version: &ManifestVersion,
    next: &T,
) -> Result<bool, LakeError> {
    let (number, lineage) = (version.number + 1, version.lineage.next());
    let path = lake.path(&manifest_path(folder, number));
    let document = to_json(&Document {
        lineage: &lineage,
        next,
    })?;
    if lake.store().put_new(&path, &document).await? == Put::Exists {
        return Ok(false);
    }
    if !is_in_lineage(lake, folder, number, lineage.writer).await? {
        // Another writer used this number before, and its manifest was deleted.
        lake.store().delete(&path).await?;
        return Ok(false);
    }
    if version.number > 0 {
        let before = manifest_path(folder, version.number);
        lake.store().delete(&lake.path(&before)).await?;
    }
    Ok(true)
}

/// Whether the newest manifest is that of a writer, or has it in its lineage.
async fn is_in_lineage(
    lake: &Lake,
    folder: &str,
    number: u64,
    writer: Uuid,
) -> Result<bool, LakeError> {
    // If the number had been used before, there would be a manifest of a higher number.
    if newest_number(lake, folder).await? == Some(number) {
        return Ok(true);
    }
    let Some((newest, path, bytes)) = newest_bytes(lake, folder).await? else {
        return Ok(false);
    };
    let lineage: Lineage = from_json(&path, &bytes)?;
    let is_covered = newest.saturating_sub(number) <= LINEAGE_LENGTH as u64;
    match lineage.contains(writer) {
        false if !is_covered => Err(LakeError::Busy {
            attempts: LINEAGE_LENGTH as u32,
        }),
        is_in_lineage => Ok(is_in_lineage),
    }
}

/// The path of a manifest, relative to the tenant's folder.
pub(super) fn manifest_path(folder: &str, number: u64) -> String {
    format!("{folder}/manifests/{number:020}.json")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ManifestVersion, is_in_lineage, newest, newest_number, put_next};
    use crate::{Lake, Store};

    const FOLDER: &str = "_vault/persons";
    const COMMITS: u64 = 1_000;

    async fn put(lake: &Lake, version: &ManifestVersion, next: Value) -> bool {
        put_next(lake, FOLDER, version, &next).await.unwrap()
    }

    async fn read(lake: &Lake) -> (ManifestVersion, Value) {
        newest(lake, FOLDER).await.unwrap()
    }

    #[tokio::test]
    async fn slow_writer_does_not_reuse_a_freed_number() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
        let (at_first, _) = read(&lake).await;
        assert!(put(&lake, &at_first, json!({"is": "one"})).await);
        assert!(!put(&lake, &at_first, json!({"is": "another one"})).await);
        let (slow, one) = read(&lake).await;
        assert_eq!((slow.number, &one["is"]), (1, &json!("one")));
        for is in ["two", "three"] {
            let (version, _) = read(&lake).await;
            assert!(put(&lake, &version, json!({"is": is})).await);
        }
        // The numbers that these would take, 1 and 2, are free.
        for version in [&at_first, &slow] {
            assert!(!put(&lake, version, json!({"is": "late"})).await);
        }
        let (version, three) = read(&lake).await;
        assert_eq!((version.number, &three["is"]), (3, &json!("three")));
        let names = lake.list(&format!("{FOLDER}/manifests")).await.unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
        // A writer whose manifest was replaced before it checked was not too slow.
        assert!(put(&lake, &version, json!({"is": "four"})).await);
        let who_put_three = version.lineage.writer;
        assert!(
            is_in_lineage(&lake, FOLDER, 3, who_put_three)
                .await
                .unwrap()
        );
        assert_eq!(newest_number(&lake, FOLDER).await.unwrap(), Some(4));
    }

    /// Each commit replaces the only file of the folder. A reader whose listing is overtaken by that must not take the
    /// vault for empty.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_find_a_manifest_while_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
        assert!(put(&lake, &ManifestVersion::default(), json!({})).await);
        let writing = {
            let lake = lake.clone();
            tokio::spawn(async move {
                for _ in 0..COMMITS {
                    let (version, _) = read(&lake).await;
                    assert!(put(&lake, &version, json!({})).await);
                }
            })
        };
        let (mut last, mut reads) = (1, 0);
        while !writing.is_finished() {
            let (version, _) = read(&lake).await;
            assert!(version.number >= last, "{} after {last}", version.number);
            (last, reads) = (version.number, reads + 1);
        }
        writing.await.unwrap();
        assert!(reads > COMMITS, "{reads} reads");
        assert_eq!(read(&lake).await.0.number, COMMITS + 1);
    }
}
