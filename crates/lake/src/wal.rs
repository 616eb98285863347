//! The journal: rows that are acknowledged before they are in a snapshot.
//!
//! Each append is one object with the bodies as they came and a checksum at its end. Its name is a
//! number, by which the objects of one program are in order, and a random part: no name is given
//! twice. Whoever takes the rows in reads the objects in order, commits, and removes them. The ids
//! of the entries go into the commit, so that an entry which is met again after a crash is known.

use rollbook_model::SnapshotNumber;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::lake::Lake;

const FOLDER: &str = "_journal";
/// Entries that could not be taken in, until somebody decides about them.
pub(crate) const REFUSED: &str = "_refused";
/// What the header of an object that was put aside says instead of what its rows need.
const WHOLE_OBJECT: &str = "object_bytes";
/// The first bytes of an object: its kind and version.
const MAGIC: &[u8; 8] = b"rbjrnl01";
const CHECKSUM: usize = 8;
const HARMED: &str = "it is not what was appended";

/// Rows that one request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is known of them.
    pub header: EntryHeader,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// What is known of rows that have not been looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHeader {
    /// No two entries have the same.
    pub id: String,
    /// A snapshot that was there before: the entry is in no earlier one.
    pub after: SnapshotNumber,
    /// What whoever takes it in needs to know.
    #[serde(rename = "meant")]
    pub metadata: serde_json::Value,
}

/// An entry that could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What is known of it.
    pub header: EntryHeader,
    /// Why, in words.
    pub reason: String,
}

/// One object of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WalObject {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Lake {
    /// Appends entries; when this returns they are durable. They come after those of all smaller
    /// numbers.
    pub async fn append(&self, entries: &[Entry], number: u64) -> Result<WalObject, LakeError> {
        let name = format!("{number:020}-{}", Uuid::new_v4());
        let below = format!("{FOLDER}/{name}");
        let object = self.encrypt_document(&below, encode(entries)).await?;
        let path = self.path(&below);
        self.store().put_new(&path, &object).await?;
        let bytes = object.len() as u64;
        Ok(WalObject { name, bytes })
    }

    /// What waits in the journal, in order.
    pub async fn wal_objects(&self) -> Result<Vec<WalObject>, LakeError> {
        let root = self.path(FOLDER) + "/";
        let found = self.store().walk(&self.path(FOLDER)).await?;
        let mut listed: Vec<WalObject> = found
            .into_iter()
            .filter_map(|object| {
                let name = object.path.strip_prefix(&root)?.to_owned();
                let bytes = object.size;
                number_of(&name).map(|_| WalObject { name, bytes })
            })
            .collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// The entries of an object of the journal; none if somebody else has taken them in by now.
    pub async fn entries(&self, appended: &WalObject) -> Result<Vec<Entry>, LakeError> {
        let path = format!("{FOLDER}/{}", appended.name);
        let object = self.find_bytes(&path).await.map_err(|error| match error {
            LakeError::Damaged { path, .. } => LakeError::Damaged {
                path,
                detail: HARMED.to_owned(),
            },
            error => error,
        })?;
        let Some(object) = object else {
            return Ok(Vec::new());
        };
        decode(&object).map_err(|detail| LakeError::Damaged { path, detail })
    }

    /// Puts an object that cannot be read where somebody may look at it, and out of the way.
    pub async fn set_object_aside(
        &self,
        appended: &WalObject,
        reason: String,
    ) -> Result<(), LakeError> {
        let path = format!("{FOLDER}/{}", appended.name);
        let object = match self.find_bytes(&path).await {
            Err(LakeError::Damaged { .. }) => self.store().get(&self.path(&path)).await?,
            found => found?,
        };
        let Some(object) = object else {
            return Ok(());
        };
        let header = EntryHeader {
            id: appended.name.clone(),
            after: SnapshotNumber(0),
            metadata: json!({ WHOLE_OBJECT: appended.bytes }),
        };
        let body = object.to_vec();
        self.refuse(&Entry { header, body }, reason).await?;
        self.delete_wal_object(appended).await
    }

    /// Removes an object whose entries are taken in.
    pub async fn delete_wal_object(&self, appended: &WalObject) -> Result<(), LakeError> {
        let path = self.path(&format!("{FOLDER}/{}", appended.name));
        self.store().delete(&path).await
    }

    /// Puts an entry that cannot be taken in where somebody may look at it.
    pub async fn refuse(&self, entry: &Entry, reason: String) -> Result<(), LakeError> {
        let header = entry.header.clone();
        let below = format!("{REFUSED}/{}.body", header.id);
        let body = self.encrypt_document(&below, entry.body.clone()).await?;
        self.store().put_over(&self.path(&below), &body).await?;
        let path = format!("{REFUSED}/{}.json", header.id);
        self.replace_document(&path, &Refused { header, reason })
            .await
    }

    /// The entries that could not be taken in, in order of their ids.
    pub async fn refused(&self) -> Result<Vec<Refused>, LakeError> {
        let mut refused = Vec::new();
        for name in self.list(REFUSED).await? {
            if name.ends_with(".json") {
                refused.extend(self.find_document(&format!("{REFUSED}/{name}")).await?);
            }
        }
        Ok(refused)
    }

    /// An entry that could not be taken in, with its body, to be tried again; all entries of an
    /// object that was put aside.
    pub async fn refused_entries(&self, refused: &Refused) -> Result<Vec<Entry>, LakeError> {
        let header = refused.header.clone();
        let path = format!("{REFUSED}/{}.body", header.id);
        let body = self.store().get(&self.path(&path)).await?;
        let damaged = |detail| LakeError::Damaged {
            path: path.clone(),
            detail,
        };
        let Some(body) = body else {
            return Err(damaged("it is missing".to_owned()));
        };
        if header.metadata.get(WHOLE_OBJECT).is_some() {
            // As it was put aside, or a sound copy of what lay in the journal.
            let put_aside = self.open_as(&path, body.clone()).await.unwrap_or(body);
            let appended = format!("{FOLDER}/{}", header.id);
            let object = self.open_as(&appended, put_aside).await;
            let object = object.map_err(|_| damaged(HARMED.to_owned()))?;
            return decode(&object).map_err(damaged);
        }
        let body = self.open_as(&path, body).await?;
        let body = body.to_vec();
        Ok(vec![Entry { header, body }])
    }

    /// Rewrites what waits, and what could not be taken in, where `change` has another text for
    /// it; how many.
    pub async fn rewrite_entries(
        &self,
        change: impl Fn(&str) -> Option<String>,
    ) -> Result<u64, LakeError> {
        let mut edited = 0;
        for appended in self.wal_objects().await? {
            let mut entries = self.entries(&appended).await?;
            let mut changed = 0;
            for entry in &mut entries {
                let body = str::from_utf8(&entry.body).ok();
                if let Some(text) = body.and_then(&change) {
                    entry.body = text.into_bytes();
                    changed += 1;
                }
            }
            if changed > 0 {
                // Whoever meets both takes each entry in once, by its id.
                self.append(&entries, appended.number()).await?;
                self.delete_wal_object(&appended).await?;
            }
            edited += changed;
        }
        Ok(edited + self.rewrite_documents(REFUSED, change).await?)
    }

    /// Removes an entry that could not be taken in, for good.
    pub async fn delete_refused(&self, id: &str) -> Result<(), LakeError> {
        for ending in ["json", "body"] {
            let path = self.path(&format!("{REFUSED}/{id}.{ending}"));
            self.store().delete(&path).await?;
        }
        Ok(())
    }
}

impl WalObject {
    /// The number that it was appended under.
    pub fn number(&self) -> u64 {
        number_of(&self.name).unwrap_or_default()
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// The kind, of each entry header and body with their lengths, and the XXH3 of all that.
fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut object = MAGIC.to_vec();
    for entry in entries {
        let header = serde_json::to_vec(&entry.header).expect("texts and numbers are JSON");
        for part in [&header, &entry.body] {
            object.extend((part.len() as u64).to_le_bytes());
            object.extend_from_slice(part);
        }
    }
    let checksum = xxh3_64(&object);
    object.extend(checksum.to_le_bytes());
    object
}

fn decode(object: &[u8]) -> Result<Vec<Entry>, String> {
    let harmed = || HARMED.to_owned();
    let split = object.len().checked_sub(CHECKSUM).ok_or_else(harmed)?;
    let (content, checksum) = object.split_at(split);
    if checksum != xxh3_64(content).to_le_bytes() {
        return Err(harmed());
    }
    let mut rest = content.strip_prefix(MAGIC).ok_or_else(harmed)?;
    let mut part = || -> Option<&[u8]> {
        let (length, after) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (part, after) = after.split_at_checked(length)?;
        rest = after;
        Some(part)
    };
    let mut entries = Vec::new();
    while let Some(header) = part() {
        let header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let body = part().ok_or_else(harmed)?.to_vec();
        entries.push(Entry { header, body });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use rollbook_model::SnapshotNumber;
    use serde_json::json;

    use super::{Entry, EntryHeader, decode, encode};
    use crate::{Lake, Store};

    fn entry(id: &str) -> Entry {
        Entry {
            header: EntryHeader {
                id: id.to_owned(),
                after: SnapshotNumber(3),
                metadata: json!({ "source": "orders" }),
            },
            body: id.repeat(100).into_bytes(),
        }
    }

    #[test]
    fn log_returns_exactly_the_appended_entries() {
        let entries = [entry("a"), entry("b")];
        let object = encode(&entries);
        assert_eq!(decode(&object).unwrap(), entries);
        for at in 0..object.len() {
            let mut harmed = object.clone();
            harmed[at] ^= 1;
            assert!(decode(&harmed).is_err(), "byte {at}");
            assert!(decode(&object[..at]).is_err(), "{at} bytes");
        }
    }

    #[tokio::test]
    async fn entries_keep_their_order_until_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
        let second = lake.append(&[entry("b")], 2).await.unwrap();
        let first = lake.append(&[entry("a")], 1).await.unwrap();
        let listed = lake.wal_objects().await.unwrap();
        assert_eq!(listed, [first.clone(), second.clone()]);
        assert_eq!(listed[1].number(), 2);
        assert_eq!(lake.entries(&second).await.unwrap(), [entry("b")]);
        lake.delete_wal_object(&first).await.unwrap();
        assert!(lake.entries(&first).await.unwrap().is_empty());
        assert_eq!(lake.wal_objects().await.unwrap(), [second]);
    }

    #[tokio::test]
    async fn refused_entries_can_be_retried() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
        lake.refuse(&entry("b"), "no such column".to_owned())
            .await
            .unwrap();
        let refused = lake.refused().await.unwrap();
        assert_eq!(refused[0].reason, "no such column");
        assert_eq!(
            lake.refused_entries(&refused[0]).await.unwrap(),
            [entry("b")]
        );
        lake.delete_refused("b").await.unwrap();
        assert!(lake.refused().await.unwrap().is_empty());
    }
}
