//! A record of a person and the person it belongs to, and maps by hashes of record keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by keys that are hashes already.
pub(crate) type KeyMap<V> = HashMap<u128, V, BuildHasherDefault<KeyHasher>>;

/// Takes the key's own bits as its hash.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }
}

/// A provider's record of a person, and the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) identity: i64,
    pub(crate) person: i64,
    /// The time at which it last changed, as known in the lake; `None` for a new one.
    pub(crate) seen: Option<Option<i64>>,
}

/// The identity of rows without a person.
pub(crate) const NOBODY: Identity = Identity {
    identity: 0,
    person: 0,
    seen: None,
};
