//! The handle on a tenant's lake.

use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;
use rollbook_model::TenantName;

use crate::LakeError;
use crate::encryption::key_pages::PageCache;
use crate::encryption::master::Master;
use crate::state::heads::Heads;
use crate::storage::Store;
use crate::storage::lease::Lease;

/// A store and the master key, from which a process opens the lakes of tenants. Lakes opened from one
/// root share its caches.
#[derive(Debug, Clone)]
pub struct LakeRoot {
    store: Store,
    /// Decrypts the keys of tenants.
    master: Master,
    /// Cached data keys.
    key_pages: Arc<PageCache>,
    /// Cached newest states.
    heads: Arc<Heads>,
}

impl LakeRoot {
    /// A root of a store, with the master key that the environment names.
    pub fn new(store: Store) -> Self {
        Self::with_master(store, Master::from_env())
    }

    /// A root of a store, with the master key in a file, which is created on first use.
    pub fn with_key_file(store: Store, file: &Path) -> Self {
        Self::with_master(store, Master::in_file(file))
    }

    /// A root of a store, with a master key.
    pub(crate) fn with_master(store: Store, master: Master) -> Self {
        Self {
            store,
            master,
            key_pages: Arc::default(),
            heads: Arc::default(),
        }
    }

    /// The store, for objects that belong to no tenant.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The master key, which decrypts the keys of tenants.
    pub fn master(&self) -> &Master {
        &self.master
    }
}

impl From<Store> for LakeRoot {
    fn from(store: Store) -> Self {
        Self::new(store)
    }
}

/// The lake of one tenant.
#[derive(Debug, Clone)]
pub struct Lake {
    root: LakeRoot,
    tenant: TenantName,
    lease: Arc<Lease>,
}

impl Lake {
    /// A new handle. Nothing is read.
    pub(crate) fn handle(root: LakeRoot, tenant: TenantName) -> Self {
        Self {
            root,
            tenant,
            lease: Arc::default(),
        }
    }

    pub(crate) fn lease_cell(&self) -> &Lease {
        &self.lease
    }

    /// The store that holds the lake's objects.
    pub fn store(&self) -> &Store {
        &self.root.store
    }

    pub(crate) fn master(&self) -> &Master {
        &self.root.master
    }

    pub(crate) fn key_pages(&self) -> &PageCache {
        &self.root.key_pages
    }

    pub(crate) fn heads(&self) -> &Heads {
        &self.root.heads
    }

    /// The tenant that owns the lake.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The path in the store of an object, from its path in the tenant's folder.
    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.tenant)
    }

    /// The names of the objects in a folder of the tenant's folder, sorted.
    pub(crate) async fn list(&self, below: &str) -> Result<Vec<String>, LakeError> {
        self.root.store.list(&self.path(below)).await
    }

    /// Checks that objects exist, and have the given size where one is given.
    pub(crate) async fn check_exist(
        &self,
        objects: &[(String, Option<u64>)],
    ) -> Result<(), LakeError> {
        for some in objects.chunks(self.root.store.read_at_once()) {
            let looked = some.iter().map(|(below, _)| async move {
                let path = self.path(below);
                self.root.store.get_size(&path).await
            });
            for ((below, size), found) in some.iter().zip(try_join_all(looked).await?) {
                if found.is_none() || size.is_some() && *size != found {
                    return Err(LakeError::MissingObject {
                        path: below.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
