//! Sets of persons: Roaring bitmaps in the portable format, as text in a snapshot's record or several
//! in one object.

use futures::future::try_join_all;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::lake::Lake;

/// A reference to a stored set of persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitmapRef {
    /// The object, relative to the tenant's folder.
    pub path: String,
    /// The offset of the set's first byte and the number of bytes; `None` where the object holds only
    /// this set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[u64; 2]>,
}

/// A set of persons as text: the portable Roaring format in hexadecimal; empty for the empty set.
pub(crate) fn encode_persons(persons: &RoaringTreemap) -> String {
    if persons.is_empty() {
        return String::new();
    }
    hex::encode(serialize(persons))
}

/// The set that [`encode_persons`] wrote; `None` if the text cannot be parsed.
pub(crate) fn decode_persons(text: &str) -> Option<RoaringTreemap> {
    if text.is_empty() {
        return Some(RoaringTreemap::new());
    }
    let bytes = hex::decode(text).ok()?;
    RoaringTreemap::deserialize_from(bytes.as_slice()).ok()
}

fn serialize(persons: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(persons.serialized_size());
    persons
        .serialize_into(&mut bytes)
        .expect("writing to memory does not fail");
    bytes
}

impl Lake {
    /// Stores sets of persons one after the other in a new object. Its path is `below` followed by a
    /// hash of the content. Returns a reference to each set.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the store cannot be written.
    pub async fn put_sets(
        &self,
        below: &str,
        sets: &[&RoaringTreemap],
    ) -> Result<Vec<BitmapRef>, LakeError> {
        let (mut all, mut places) = (Vec::new(), Vec::new());
        for set in sets {
            let begin = all.len() as u64;
            all.extend(serialize(set));
            places.push([begin, all.len() as u64 - begin]);
        }
        let path = format!("{below}-{:016x}.roaring", xxh3_64(&all));
        self.store().put_new(&self.path(&path), &all).await?;
        let stored = places.into_iter().map(|bytes| BitmapRef {
            path: path.clone(),
            bytes: Some(bytes),
        });
        Ok(stored.collect())
    }

    /// Reads sets of persons, several at a time.
    ///
    /// # Errors
    /// The errors of [`Lake::set`].
    pub async fn sets(&self, stored: &[&BitmapRef]) -> Result<Vec<RoaringTreemap>, LakeError> {
        let mut all = Vec::with_capacity(stored.len());
        for some in stored.chunks(self.store().read_at_once()) {
            let read = some.iter().map(|stored| self.set(stored));
            all.extend(try_join_all(read).await?);
        }
        Ok(all)
    }

    /// Reads a set of persons.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the object is missing, or its bytes are not a bitmap.
    /// - [`LakeError::Store`]: the store cannot be read.
    pub async fn set(&self, stored: &BitmapRef) -> Result<RoaringTreemap, LakeError> {
        let damaged = |detail: String| LakeError::Damaged {
            path: stored.path.clone(),
            detail,
        };
        let bytes = match stored.bytes {
            None => self.bytes(&stored.path).await?,
            Some([begin, length]) => {
                let path = self.path(&stored.path);
                let range = begin..begin.saturating_add(length);
                let bytes = self.store().get_range(&path, range).await?;
                bytes.ok_or_else(|| damaged("it is missing".to_owned()))?
            }
        };
        RoaringTreemap::deserialize_from(bytes.as_ref()).map_err(|error| damaged(error.to_string()))
    }
}
