//! Data keys as they are read: pages of so many identities.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A key of AES-256.
pub(crate) type Key = [u8; 32];

/// Identities of a page.
pub(crate) const PAGE: usize = 4096;
pub(crate) const GONE: Key = [0; 32];

/// Keys that were read, of all tenants of a store. None is ever changed under its name.
#[derive(Default)]
pub(crate) struct Pages {
    pages: Mutex<BTreeMap<String, Arc<Page>>>,
    named: Mutex<BTreeMap<String, Arc<[u8]>>>,
}

impl std::fmt::Debug for Pages {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

/// The data keys of so many identities; zeros where there is none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Page(pub(crate) Vec<Key>);

impl std::fmt::Debug for Page {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Page")
    }
}

/// Data keys that were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataKeys(pub(crate) BTreeMap<i64, Arc<Page>>);

impl DataKeys {
    /// The key of an identity, or with 0 the tenant's own; `None` where it is gone or not read.
    pub(crate) fn get(&self, identity: i64) -> Option<&Key> {
        let (page, at) = place(identity);
        let key = self.0.get(&page)?.0.get(at)?;
        (*key != GONE).then_some(key)
    }

    /// The identities that have a key, and the tenant's own with 0.
    pub(crate) fn each(&self) -> impl Iterator<Item = (i64, &Key)> {
        self.0.iter().flat_map(|(page, keys)| {
            let keys = (0..).zip(&keys.0).filter(|(_, key)| **key != GONE);
            keys.map(move |(at, key): (i64, _)| (page * PAGE as i64 + at, key))
        })
    }
}

pub(crate) fn place(identity: i64) -> (i64, usize) {
    let pages = PAGE as i64;
    let at = usize::try_from(identity.rem_euclid(pages)).unwrap_or(0);
    (identity.div_euclid(pages), at)
}

impl Pages {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Page>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn named(&self) -> MutexGuard<'_, BTreeMap<String, Arc<[u8]>>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Arc<Page>> {
        self.locked().get(path).cloned()
    }

    pub(crate) fn put(&self, path: String, page: Arc<Page>) {
        self.locked().insert(path, page);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.locked().remove(path);
    }

    /// Drops those of a folder that have none of these paths: another writer has replaced them.
    pub(crate) fn keep_only(&self, folder: &str, named: &BTreeSet<String>) {
        self.locked()
            .retain(|path, _| !path.starts_with(folder) || named.contains(path));
    }
}
