//! Numbered manifests: the highest number holds, and each is put only if absent.
//!
//! The one before is deleted. So who read it, and was slow, finds its successor's number free again
//! once that was followed too: a put alone does not tell whether it came first. Each manifest
//! therefore names the writers of those before it, and who put one looks whether it is the newest
//! or stands in the line of the newest.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LakeError;
use crate::json::{from_json, to_json};
use crate::lake::Lake;
use crate::storage::Put;

/// How many writers before it a manifest names.
const NAMED: usize = 64;

/// Where a manifest stands among all.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Its number; 0 before the first.
    pub(super) number: u64,
    line: Line,
}

/// Whose manifests led to one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Line {
    /// No two attempts have the same, so that none takes another's for its own.
    #[serde(default)]
    writer: Uuid,
    /// The writers of those before it, the latest first.
    #[serde(default)]
    before: Vec<Uuid>,
}

/// A manifest as it is put.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    line: &'a Line,
    #[serde(flatten)]
    next: &'a T,
}

impl Line {
    /// What a new writer's manifest says that follows this one.
    fn followed(&self) -> Self {
        let before = [self.writer].into_iter().chain(self.before.iter().copied());
        Self {
            writer: Uuid::new_v4(),
            before: before.take(NAMED).collect(),
        }
    }

    fn names(&self, writer: Uuid) -> bool {
        self.writer == writer || self.before.contains(&writer)
    }
}

/// The newest manifest in a folder; an empty one before the first.
pub(super) async fn newest<T: DeserializeOwned + Default>(
    lake: &Lake,
    folder: &str,
) -> Result<(Standing, T), LakeError> {
    let Some((number, path, bytes)) = newest_bytes(lake, folder).await? else {
        return Ok((Standing::default(), T::default()));
    };
    let line = from_json(&path, &bytes)?;
    Ok((Standing { number, line }, from_json(&path, &bytes)?))
}

async fn newest_bytes(
    lake: &Lake,
    folder: &str,
) -> Result<Option<(u64, String, bytes::Bytes)>, LakeError> {
    loop {
        let Some(number) = newest_number(lake, folder).await? else {
            return Ok(None);
        };
        let path = lake.path(&below(folder, number));
        // A writer that was faster may have deleted it since the listing: list again.
        if let Some(bytes) = lake.store().get(&path).await? {
            return Ok(Some((number, path, bytes)));
        }
    }
}

async fn newest_number(lake: &Lake, folder: &str) -> Result<Option<u64>, LakeError> {
    let names = lake.list(&format!("{folder}/manifests")).await?;
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".json"));
    Ok(numbers.filter_map(|number| number.parse().ok()).max())
}

/// Puts the manifest that comes after the one at `standing`, and takes that one away. False where
/// another writer was faster.
pub(super) async fn follow<T: Serialize>(
    lake: &Lake,
    folder: &str,
    standing: &Standing,
    next: &T,
) -> Result<bool, LakeError> {
    let (number, line) = (standing.number + 1, standing.line.followed());
    let path = lake.path(&below(folder, number));
    let document = to_json(&Document { line: &line, next })?;
    if lake.store().put_new(&path, &document).await? == Put::Exists {
        return Ok(false);
    }
    if !is_in_line(lake, folder, number, line.writer).await? {
        // The number had been given, and was free again.
        lake.store().delete(&path).await?;
        return Ok(false);
    }
    if standing.number > 0 {
        let before = below(folder, standing.number);
        lake.store().delete(&lake.path(&before)).await?;
    }
    Ok(true)
}

/// Whether a writer's manifest is the newest, or one that the newest came of.
async fn is_in_line(
    lake: &Lake,
    folder: &str,
    number: u64,
    writer: Uuid,
) -> Result<bool, LakeError> {
    // Had it been given before, there would be one of a higher number.
    if newest_number(lake, folder).await? == Some(number) {
        return Ok(true);
    }
    let Some((newest, path, bytes)) = newest_bytes(lake, folder).await? else {
        return Ok(false);
    };
    let line: Line = from_json(&path, &bytes)?;
    let is_told = newest.saturating_sub(number) <= NAMED as u64;
    match line.names(writer) {
        false if !is_told => Err(LakeError::Busy {
            attempts: NAMED as u32,
        }),
        is_in_line => Ok(is_in_line),
    }
}

/// Where a manifest lies, relative to the tenant's folder.
pub(super) fn below(folder: &str, number: u64) -> String {
    format!("{folder}/manifests/{number:020}.json")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Standing, follow, is_in_line, newest, newest_number};
    use crate::{Lake, Store};

    const FOLDER: &str = "_vault/persons";

    async fn put(lake: &Lake, standing: &Standing, next: Value) -> bool {
        follow(lake, FOLDER, standing, &next).await.unwrap()
    }

    async fn read(lake: &Lake) -> (Standing, Value) {
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
            let (standing, _) = read(&lake).await;
            assert!(put(&lake, &standing, json!({"is": is})).await);
        }
        // The numbers that these would take, 1 and 2, are free.
        for standing in [&at_first, &slow] {
            assert!(!put(&lake, standing, json!({"is": "late"})).await);
        }
        let (standing, three) = read(&lake).await;
        assert_eq!((standing.number, &three["is"]), (3, &json!("three")));
        let names = lake.list(&format!("{FOLDER}/manifests")).await.unwrap();
        assert_eq!(names.len(), 1, "{names:?}");
        // Whose manifest was followed before they looked was not slow.
        assert!(put(&lake, &standing, json!({"is": "four"})).await);
        let who_put_three = standing.line.writer;
        assert!(is_in_line(&lake, FOLDER, 3, who_put_three).await.unwrap());
        assert_eq!(newest_number(&lake, FOLDER).await.unwrap(), Some(4));
    }
}
