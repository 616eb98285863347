//! Documents with versions: `<folder>/<name>.<version>.json`.
//!
//! Each change is a new version, put only if nobody else put it, and none is ever changed: two changes at once are
//! both made, and the names alone tell a server what is new.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use futures::future::try_join_all;
use rollbook_lake::storage::Put;
use rollbook_lake::{LakeError, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AppError;

/// A document that knows its own name.
pub(crate) trait Named {
    /// Its name, which has no `.`.
    type Name: Ord + Clone + Display + FromStr;

    /// Its name.
    fn name(&self) -> &Self::Name;
}

/// The newest version of each document, with its number.
pub(crate) type Documents<T> = BTreeMap<<T as Named>::Name, (u64, Arc<T>)>;

/// The documents of one folder at the root of a lake.
#[derive(Debug, Clone)]
pub(crate) struct Versioned<T> {
    store: Store,
    folder: &'static str,
    documents: PhantomData<fn() -> T>,
}

impl<T: Named + Serialize + DeserializeOwned> Versioned<T> {
    pub(crate) fn new(store: Store, folder: &'static str) -> Self {
        Self {
            store,
            folder,
            documents: PhantomData,
        }
    }

    /// Where they are stored.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The number of the newest version of each.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(crate) async fn versions(&self) -> Result<BTreeMap<T::Name, u64>, AppError> {
        let mut newest = BTreeMap::new();
        for name in self.store.list(self.folder).await? {
            let parts = name.strip_suffix(".json");
            let parts = parts.and_then(|name| name.split_once('.'));
            let parsed = parts.and_then(|(name, version)| {
                Some((name.parse::<T::Name>().ok()?, version.parse::<u64>().ok()?))
            });
            if let Some((name, version)) = parsed {
                let known = newest.entry(name).or_insert(version);
                *known = version.max(*known);
            }
        }
        Ok(newest)
    }

    /// The newest version of each. Those that are known already are not read again.
    ///
    /// # Errors
    /// The lake cannot be read, or a document is damaged.
    pub(crate) async fn newest(
        &self,
        known: Option<&Documents<T>>,
    ) -> Result<Documents<T>, AppError> {
        let versions = self.versions().await?.into_iter();
        let read = versions.map(|(name, version)| async move {
            // A version never changes.
            let document = match known.and_then(|known| known.get(&name)) {
                Some((known, document)) if *known == version => Arc::clone(document),
                _ => Arc::new(self.read(&name, version).await?),
            };
            Ok::<_, AppError>((name, (version, document)))
        });
        Ok(try_join_all(read).await?.into_iter().collect())
    }

    /// One version of a document.
    ///
    /// # Errors
    /// The lake cannot be read; the document is missing or damaged.
    pub(crate) async fn read(&self, name: &T::Name, version: u64) -> Result<T, AppError> {
        let path = self.path(name, version);
        let found = self.store.get(&path).await?;
        let bytes = found.ok_or_else(|| damaged(&path, "it is missing"))?;
        let document: T =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error.to_string()))?;
        // A copy under another name would bring something back that was ended.
        match document.name() == name {
            true => Ok(document),
            false => Err(damaged(&path, "it holds another document")),
        }
    }

    /// Stores a version, unless there is one.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub(crate) async fn put(&self, document: &T, version: u64) -> Result<Put, AppError> {
        let path = self.path(document.name(), version);
        Ok(self.store.put_new(&path, &json(&path, document)?).await?)
    }

    fn path(&self, name: &T::Name, version: u64) -> String {
        format!("{}/{name}.{version}.json", self.folder)
    }
}

/// A document as it is stored at a path.
pub(crate) fn json<T: Serialize>(path: &str, document: &T) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec_pretty(document).map_err(|error| damaged(path, &error.to_string()))
}

pub(crate) fn damaged(path: &str, detail: &str) -> AppError {
    AppError::Lake(LakeError::Damaged {
        path: path.to_owned(),
        detail: detail.to_owned(),
    })
}
