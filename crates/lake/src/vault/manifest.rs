//! Numbered manifests: the highest number holds, and each is put only if absent.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LakeError;
use crate::lake::Lake;
use crate::objects::{from_json, to_json};
use crate::store::Put;

/// The newest manifest in a folder and its number; 0 and an empty one before the first.
pub(super) async fn newest<T: DeserializeOwned + Default>(
    lake: &Lake,
    folder: &str,
) -> Result<(u64, T), LakeError> {
    loop {
        let names = lake.list(&format!("{folder}/manifests")).await?;
        let newest = names
            .iter()
            .rev()
            .find_map(|name| name.strip_suffix(".json")?.parse().ok());
        let Some(number) = newest else {
            return Ok((0, T::default()));
        };
        let path = lake.path(&below(folder, number));
        // A writer that was faster may have deleted it since the listing: list again.
        if let Some(bytes) = lake.store().get(&path).await? {
            return Ok((number, from_json(&path, &bytes)?));
        }
    }
}

/// Puts the manifest that comes after `number`, and takes that one away. False where another
/// writer was faster.
pub(super) async fn follow<T: Serialize>(
    lake: &Lake,
    folder: &str,
    number: u64,
    next: &T,
) -> Result<bool, LakeError> {
    let path = lake.path(&below(folder, number + 1));
    if lake.store().put_new(&path, &to_json(next)?).await? == Put::Exists {
        return Ok(false);
    }
    if number > 0 {
        lake.store()
            .delete(&lake.path(&below(folder, number)))
            .await?;
    }
    Ok(true)
}

/// Where a manifest lies, relative to the tenant's folder.
pub(super) fn below(folder: &str, number: u64) -> String {
    format!("{folder}/manifests/{number:020}.json")
}
