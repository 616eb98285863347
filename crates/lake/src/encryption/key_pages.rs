//! Data keys in memory: pages with the keys of 4,096 identities each, and a cache of pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A key of AES-256.
pub(crate) type Key = [u8; 32];

/// Number of identities of a page.
pub(crate) const PAGE: usize = 4096;
/// The bytes of a page where an identity has no key.
pub(crate) const NO_KEY: Key = [0; 32];

/// Cached key pages and named keys of all tenants of a store. An object of keys never changes.
#[derive(Default)]
pub(crate) struct PageCache {
    pages: Mutex<BTreeMap<String, Arc<Page>>>,
    named: Mutex<BTreeMap<String, Arc<[u8]>>>,
}

impl std::fmt::Debug for PageCache {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageCache")
    }
}

/// The data keys of the identities of one page, [`NO_KEY`] where an identity has none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Page(pub(crate) Vec<Key>);

impl std::fmt::Debug for Page {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Page")
    }
}

/// Data keys by page.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataKeys(pub(crate) BTreeMap<i64, Arc<Page>>);

impl DataKeys {
    /// The key of an identity, or the tenant's own key for 0; `None` where the key is deleted or its page
    /// was not read.
    pub(crate) fn get(&self, identity: i64) -> Option<&Key> {
        let (page, at) = page_and_offset(identity);
        let key = self.0.get(&page)?.0.get(at)?;
        (*key != NO_KEY).then_some(key)
    }

    /// The identities that have a key, with their keys. The tenant's own key has the identity 0.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Key)> {
        self.0.iter().flat_map(|(page, keys)| {
            let keys = (0..).zip(&keys.0).filter(|(_, key)| **key != NO_KEY);
            keys.map(move |(at, key): (i64, _)| (page * PAGE as i64 + at, key))
        })
    }
}

/// The page of an identity, and the offset of its key in the page.
pub(crate) fn page_and_offset(identity: i64) -> (i64, usize) {
    let pages = PAGE as i64;
    let at = usize::try_from(identity.rem_euclid(pages)).unwrap_or(0);
    (identity.div_euclid(pages), at)
}

impl PageCache {
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

    /// Removes the pages of a folder from the cache except for those with the paths `current`: the
    /// others have been replaced by another writer.
    pub(crate) fn retain_in(&self, folder: &str, current: &BTreeSet<String>) {
        self.locked()
            .retain(|path, _| !path.starts_with(folder) || current.contains(path));
    }
}
