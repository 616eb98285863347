//! The write-ahead log: rows that are acknowledged before they are in a snapshot. Users know it as the
//! journal.
//!
//! Each append writes one object with the bodies of requests and a checksum at its end. The name of the
//! object is a number, which orders the objects of one program, and a random part, which makes it
//! unique. Ingest reads the objects in order, commits their rows and deletes them. The commit lists the
//! ids of the entries, so that an entry that is read again after a crash is recognised.

use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::lake::Lake;

const FOLDER: &str = "_journal";
/// The folder of refused entries: ingest failed for them, and a person must decide about them.
pub(crate) const REFUSED: &str = "_refused";
/// The metadata field of a refused entry whose body is a whole object that could not be read.
const WHOLE_OBJECT: &str = "object_bytes";
/// The first bytes of an object: kind and version.
const MAGIC: &[u8; 8] = b"rbjrnl01";
const CHECKSUM: usize = 8;
const CORRUPT: &str = "its bytes have changed since it was appended";

/// The rows of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The header.
    pub header: EntryHeader,
    /// The body of the request.
    pub body: Vec<u8>,
}

/// The header of an entry, which is known before the body is parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryHeader {
    /// A unique id.
    pub id: String,
    /// A snapshot that existed when the entry was appended: only later snapshots can contain the entry.
    pub after: SnapshotNumber,
    /// What ingest needs to know of the rows.
    #[serde(rename = "meant")]
    pub metadata: serde_json::Value,
}

/// An entry that could not be ingested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The header of the entry.
    pub header: EntryHeader,
    /// Why ingest failed, for people.
    pub reason: String,
}

/// One object of the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WalObject {
    /// The name of the object.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Lake {
    /// Appends entries as one object. They are durable when this returns. Objects are ordered by
    /// `number`.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`], [`LakeError::Damaged`]: the key that encrypts the object cannot be
    ///   read.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the object cannot be written.
    pub async fn append(&self, entries: &[Entry], number: u64) -> Result<WalObject, LakeError> {
        let name = format!("{number:020}-{}", Uuid::new_v4());
        let below = format!("{FOLDER}/{name}");
        let object = self.encrypt_document(&below, encode(entries)).await?;
        let path = self.path(&below);
        self.store().put_new(&path, &object).await?;
        let bytes = object.len() as u64;
        Ok(WalObject { name, bytes })
    }

    /// The objects of the write-ahead log, in order.
    ///
    /// # Errors
    /// [`LakeError::Store`]: the log cannot be listed.
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

    /// The entries of an object of the write-ahead log; none if another program has ingested and deleted
    /// them meanwhile.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the object cannot be decrypted or parsed, or its checksum is wrong.
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn entries(&self, object: &WalObject) -> Result<Vec<Entry>, LakeError> {
        let path = format!("{FOLDER}/{}", object.name);
        let bytes = self.find_bytes(&path).await.map_err(|error| match error {
            LakeError::Damaged { path, .. } => LakeError::Damaged {
                path,
                detail: CORRUPT.to_owned(),
            },
            error => error,
        })?;
        let Some(bytes) = bytes else {
            return Ok(Vec::new());
        };
        decode(&bytes).map_err(|detail| LakeError::Damaged { path, detail })
    }

    /// Moves an object that cannot be read to the refused entries, so that the objects after it can be
    /// ingested.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`], [`LakeError::Damaged`]: the key that encrypts documents cannot be
    ///   read.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn refuse_object(&self, object: &WalObject, reason: String) -> Result<(), LakeError> {
        let path = format!("{FOLDER}/{}", object.name);
        let bytes = match self.find_bytes(&path).await {
            Err(LakeError::Damaged { .. }) => self.store().get(&self.path(&path)).await?,
            found => found?,
        };
        let Some(bytes) = bytes else {
            return Ok(());
        };
        let header = EntryHeader {
            id: object.name.clone(),
            after: SnapshotNumber(0),
            metadata: json!({ WHOLE_OBJECT: object.bytes }),
        };
        let body = bytes.to_vec();
        self.refuse(&Entry { header, body }, reason).await?;
        self.delete_wal_object(object).await
    }

    /// Deletes an object whose entries have been ingested.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the object cannot be deleted.
    pub async fn delete_wal_object(&self, object: &WalObject) -> Result<(), LakeError> {
        let path = self.path(&format!("{FOLDER}/{}", object.name));
        self.store().delete(&path).await
    }

    /// Adds an entry that cannot be ingested to the refused entries.
    ///
    /// # Errors
    /// The errors of [`Lake::put_document`].
    pub async fn refuse(&self, entry: &Entry, reason: String) -> Result<(), LakeError> {
        let header = entry.header.clone();
        let below = format!("{REFUSED}/{}.body", header.id);
        let body = self.encrypt_document(&below, entry.body.clone()).await?;
        self.store().put_over(&self.path(&below), &body).await?;
        let path = format!("{REFUSED}/{}.json", header.id);
        self.replace_document(&path, &Refused { header, reason })
            .await
    }

    /// The refused entries, in order of their ids.
    ///
    /// # Errors
    /// The errors of [`Lake::document`].
    pub async fn refused(&self) -> Result<Vec<Refused>, LakeError> {
        let mut refused = Vec::new();
        for name in self.list(REFUSED).await? {
            if name.ends_with(".json") {
                refused.extend(self.find_document(&format!("{REFUSED}/{name}")).await?);
            }
        }
        Ok(refused)
    }

    /// The refused entries that were refused before a time, by the store's clock.
    ///
    /// # Errors
    /// The errors of [`Lake::refused`].
    pub async fn refused_before(&self, until: Timestamp) -> Result<Vec<Refused>, LakeError> {
        let mut old = Vec::new();
        for refused in self.refused().await? {
            let path = self.path(&format!("{REFUSED}/{}.json", refused.header.id));
            let modified = self.store().modified(&path).await?;
            if modified.is_some_and(|modified| modified.timestamp_micros() < until.micros()) {
                old.push(refused);
            }
        }
        Ok(old)
    }

    /// A refused entry with its body, to be ingested again. Where a whole object was refused, all of its
    /// entries.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the body is missing, cannot be decrypted, or is a whole object that
    ///   still cannot be read.
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Store`]: the store cannot be read.
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
            // The refused object, or an intact copy of the object that somebody restored.
            let refused = self.decrypt_document(&path, body.clone()).await;
            let refused = refused.unwrap_or(body);
            let appended = format!("{FOLDER}/{}", header.id);
            let object = self.decrypt_document(&appended, refused).await;
            let object = object.map_err(|_| damaged(CORRUPT.to_owned()))?;
            return decode(&object).map_err(damaged);
        }
        let body = self.decrypt_document(&path, body).await?;
        let body = body.to_vec();
        Ok(vec![Entry { header, body }])
    }

    /// Rewrites the bodies of entries of the write-ahead log, and the refused entries. `change` returns
    /// the new text of a body, or `None` to keep it. Returns the number of rewritten entries.
    ///
    /// # Errors
    /// The errors of [`Lake::entries`], [`Lake::append`] and [`Lake::rewrite_documents`].
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
                // A program that reads both objects ingests each entry once, by its id.
                self.append(&entries, appended.number()).await?;
                self.delete_wal_object(&appended).await?;
            }
            edited += changed;
        }
        Ok(edited + self.rewrite_documents(REFUSED, change).await?)
    }

    /// Deletes a refused entry.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the entry cannot be deleted.
    pub async fn delete_refused(&self, id: &str) -> Result<(), LakeError> {
        for ending in ["json", "body"] {
            let path = self.path(&format!("{REFUSED}/{id}.{ending}"));
            self.store().delete(&path).await?;
        }
        Ok(())
    }
}

impl WalObject {
    /// The number that orders the object.
    pub fn number(&self) -> u64 {
        number_of(&self.name).unwrap_or_default()
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// An object of the log: the kind, the header and body of each entry with their lengths, and the XXH3
/// hash of all these bytes.
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

/// The entries of an object, or the reason why it cannot be read.
fn decode(object: &[u8]) -> Result<Vec<Entry>, String> {
    let corrupt = || CORRUPT.to_owned();
    let split = object.len().checked_sub(CHECKSUM).ok_or_else(corrupt)?;
    let (content, checksum) = object.split_at(split);
    if checksum != xxh3_64(content).to_le_bytes() {
        return Err(corrupt());
    }
    let mut rest = content.strip_prefix(MAGIC).ok_or_else(corrupt)?;
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
        let body = part().ok_or_else(corrupt)?.to_vec();
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
            let mut corrupt = object.clone();
            corrupt[at] ^= 1;
            assert!(decode(&corrupt).is_err(), "byte {at}");
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
