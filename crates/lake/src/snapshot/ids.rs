//! Ranges of ids, reserved before they are used, so that no id is given twice.

use rollbook_model::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::LakeError;
use crate::lake::Lake;
use crate::storage::Put;

/// What an id identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// A person.
    Person,
    /// A provider's record of a person.
    Identity,
}

impl IdKind {
    fn folder(self) -> &'static str {
        match self {
            Self::Person => "_ids/person",
            Self::Identity => "_ids/identity",
        }
    }
}

/// Reserves `count` ids and returns the first. Ids begin with 1; 0 means "not linked".
///
/// The object of a range is named after its first id, and an end marker after the id that follows its
/// last, so that one listing shows where the next range begins. A writer that loses the race for a
/// name lists again.
///
/// # Errors
/// - [`LakeError::Damaged`]: the object of a range cannot be parsed, or all ids are used.
/// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
pub async fn reserve(
    lake: &Lake,
    kind: IdKind,
    count: u64,
    at: Timestamp,
) -> Result<i64, LakeError> {
    loop {
        let names = lake.list(kind.folder()).await?;
        let next = names
            .iter()
            .rev()
            .find_map(|name| end_of(name))
            .unwrap_or(1);
        let end = next + count;
        // The name holds the first id alone: of two writers that want the same range one loses.
        let path = lake.path(&format!("{}/{next:020}.json", kind.folder()));
        let body = json!({"first": next, "end": end, "reserved_at": at, "writer": Uuid::new_v4()})
            .to_string();
        if lake.store().put_new(&path, body.as_bytes()).await? == Put::Done {
            let marker = lake.path(&format!("{}/{end:020}.end", kind.folder()));
            lake.store().put_over(&marker, b"").await?;
            return i64::try_from(next).map_err(|_| LakeError::Damaged {
                path,
                detail: "all ids are used".to_owned(),
            });
        }
        // The winner may have died before it wrote the end marker, which follows from its object.
        if let Some(body) = lake.store().get(&path).await? {
            let end = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|value| value["end"].as_u64())
                .ok_or_else(|| LakeError::Damaged {
                    path: path.clone(),
                    detail: "it holds no end of its range".to_owned(),
                })?;
            let marker = lake.path(&format!("{}/{end:020}.end", kind.folder()));
            lake.store().put_over(&marker, b"").await?;
        }
    }
}

fn end_of(name: &str) -> Option<u64> {
    name.strip_suffix(".end")?.parse().ok()
}
