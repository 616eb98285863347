//! The handle on a tenant's lake.

use std::sync::Arc;

use futures::future::try_join_all;
use rollbook_model::TenantName;

use crate::LakeError;
use crate::encryption::key_pages::Pages;
use crate::encryption::master::Master;
use crate::state::heads::Heads;
use crate::storage::Store;
use crate::storage::lease::Lease;

/// What a process opens lakes from: a store, the master key, and what was read of both.
#[derive(Debug, Clone)]
pub struct LakeRoot {
    store: Store,
    /// Opens the keys of tenants.
    master: Master,
    /// Data keys that were read.
    key_pages: Arc<Pages>,
    /// Newest states that were read.
    heads: Arc<Heads>,
}

impl LakeRoot {
    /// A store, and the master key that the environment names.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            master: Master::from_env(),
            key_pages: Arc::default(),
            heads: Arc::default(),
        }
    }

    /// What opens the keys of tenants.
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
    /// A handle of its own on whatever is there.
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

    /// The store that holds its objects.
    pub fn store(&self) -> &Store {
        &self.root.store
    }

    pub(crate) fn master(&self) -> &Master {
        &self.root.master
    }

    pub(crate) fn key_pages(&self) -> &Pages {
        &self.root.key_pages
    }

    pub(crate) fn heads(&self) -> &Heads {
        &self.root.heads
    }

    /// The tenant that owns it.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The path in the store of something in the tenant's folder.
    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.tenant)
    }

    pub(crate) async fn list(&self, below: &str) -> Result<Vec<String>, LakeError> {
        self.root.store.list(&self.path(below)).await
    }

    /// Makes sure that objects are there, and of that size where one is given.
    pub(crate) async fn must_have(
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
