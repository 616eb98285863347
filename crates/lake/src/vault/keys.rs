//! Data keys: one for each identity, and one of the tenant for values that belong to no identity.
//!
//! Data keys are stored in pages of 4,096 identities, encrypted ("sealed") with the tenant's key. A
//! numbered manifest lists the pages and holds the tenant's key, encrypted ("wrapped") with the master
//! key. So a key and the pages that it decrypts change in one put, in which one of two writers
//! succeeds. To forget an identity, its page is rewritten without its key and the old page is deleted:
//! remaining copies of its sealed values can never be decrypted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::manifest::{self, ManifestVersion};
use crate::LakeError;
use crate::encryption::key_pages::{DataKeys, Key, NO_KEY, PAGE, Page, PageCache, page_and_offset};
use crate::encryption::master::{Master, fingerprint};
use crate::encryption::seal::{open_object, random, seal_object};
use crate::json::from_json;
use crate::lake::Lake;
use crate::storage::retry::retry;

/// The folder of the pages and manifests.
pub(super) const FOLDER: &str = "_vault/_keys";
/// The object in which older programs stored the tenant's wrapped keys.
pub(super) const TENANT: &str = "_vault/tenant.key";
/// Attempts of a reader or writer before it fails because other writers were faster.
pub(super) const ATTEMPTS: u32 = 20;
/// Other writers were faster in each attempt.
pub(super) const BUSY: LakeError = LakeError::Busy { attempts: ATTEMPTS };
/// Pages that are read at a time.
const AT_ONCE: usize = 16;

/// The manifest of the keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The id of the tenant key that seals the pages and the named keys.
    sealed_under: String,
    /// The wrapped tenant key; `None` where it is in a separate object of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Wrapped>,
    pages: BTreeMap<i64, String>,
    /// Keys for other purposes by name, sealed like a page.
    pub(super) named: BTreeMap<String, String>,
}

impl Manifest {
    /// Sets the tenant key that seals all pages and named keys.
    pub(super) fn set_tenant(&mut self, wrapped: Wrapped) {
        wrapped.id.clone_into(&mut self.sealed_under);
        self.tenant = Some(wrapped);
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct TenantKeys {
    /// The first is the current one. Others exist during a rotation.
    keys: Vec<Wrapped>,
}

/// A tenant key, wrapped with a master key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Wrapped {
    id: String,
    /// The fingerprint of the master key.
    master: String,
    key: String,
}

/// The keys of a tenant, without the keys themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// The fingerprint of the master key that wraps the tenant's key.
    pub master: String,
    /// The source of the master key.
    pub place: String,
    /// Number of master keys in the source, with the older ones.
    pub masters: u64,
    /// Number of pages of data keys, each for 4,096 identities.
    pub pages: u64,
}

/// The keys of a tenant's vaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyring<'a> {
    pub(super) lake: &'a Lake,
}

/// The newest manifest, with the tenant key that decrypts its pages.
pub(super) struct OpenManifest {
    pub(super) version: ManifestVersion,
    pub(super) manifest: Manifest,
    /// The tenant key as it is stored.
    pub(super) wrapped: Wrapped,
    pub(super) key: Key,
}

/// The next manifest, whose pages are written, before it is put.
pub(super) struct Draft {
    version: ManifestVersion,
    pub(super) next: Manifest,
    /// The paths of the written pages, by page.
    pub(super) written: BTreeMap<i64, String>,
    /// The names of the pages that these replace.
    replaced: Vec<String>,
}

impl<'a> Keyring<'a> {
    pub(crate) fn of(lake: &'a Lake) -> Self {
        Self { lake }
    }

    /// The keys of all identities.
    pub(crate) async fn all(&self) -> Result<DataKeys, LakeError> {
        let read = retry(ATTEMPTS, || async {
            let Some(opened) = self.open().await? else {
                return Ok(Some(DataKeys::default()));
            };
            let Some(keys) = self.read(&opened, |_| true).await? else {
                return Ok(None);
            };
            let folder = self.lake.path(&page_below(""));
            let named = opened.manifest.pages.values();
            let named = named.map(|name| self.lake.path(&page_below(name)));
            self.cache().retain_in(&folder, &named.collect());
            Ok(Some(keys))
        });
        let keys = read.await?;
        keys.ok_or_else(|| self.damaged("a page of keys"))
    }

    /// The keys of identities, and of others in the same pages. Missing keys are created.
    pub(crate) async fn ensure(&self, identities: &BTreeSet<i64>) -> Result<DataKeys, LakeError> {
        let wanted: BTreeSet<i64> = identities
            .iter()
            .map(|one| page_and_offset(*one).0)
            .collect();
        let wanted = &wanted;
        let ensured = retry(ATTEMPTS, || async move {
            let opened = self.open_or_new().await?;
            let Some(mut keys) = self.read(&opened, |page| wanted.contains(&page)).await? else {
                return Ok(None);
            };
            let mut new: BTreeMap<i64, Page> = BTreeMap::new();
            for identity in identities.iter().filter(|one| keys.get(**one).is_none()) {
                let (page, at) = page_and_offset(*identity);
                // A new page gets all its keys: later identities need no commit.
                let page = new.entry(page).or_insert_with(|| match keys.0.get(&page) {
                    Some(known) => Page(known.0.clone()),
                    None => Page((0..PAGE).map(|_| random()).collect()),
                });
                if page.0[at] == NO_KEY {
                    page.0[at] = random();
                }
            }
            if new.is_empty() {
                return Ok(Some(keys));
            }
            let pages = new.iter();
            keys.0
                .extend(pages.map(|(page, keys)| (*page, Arc::new(keys.clone()))));
            let is_committed = self.commit(opened, new, |_| {}).await?;
            Ok(is_committed.then_some(keys))
        });
        ensured.await?.ok_or(BUSY)
    }

    /// Deletes the keys of identities.
    pub(crate) async fn forget(&self, identities: &[i64]) -> Result<(), LakeError> {
        let wanted: BTreeSet<i64> = identities
            .iter()
            .map(|one| page_and_offset(*one).0)
            .collect();
        let wanted = &wanted;
        let forgotten = retry(ATTEMPTS, || async move {
            let Some(opened) = self.open().await? else {
                return Ok(Some(()));
            };
            let Some(keys) = self.read(&opened, |page| wanted.contains(&page)).await? else {
                return Ok(None);
            };
            let mut new: BTreeMap<i64, Page> = BTreeMap::new();
            for identity in identities.iter().filter(|one| keys.get(**one).is_some()) {
                let (page, at) = page_and_offset(*identity);
                let page = new
                    .entry(page)
                    .or_insert_with(|| Page(keys.0[&page].0.clone()));
                page.0[at] = NO_KEY;
            }
            let is_done = new.is_empty() || self.commit(opened, new, |_| {}).await?;
            Ok(is_done.then_some(()))
        });
        forgotten.await?.ok_or(BUSY)
    }

    /// Deletes from a copy of the lake the keys of identities whose keys are deleted here. Returns the
    /// number of these identities.
    pub(crate) async fn forget_in(&self, copy: Keyring<'_>) -> Result<u64, LakeError> {
        let (here, there) = (self.all().await?, copy.all().await?);
        let mut deleted = Vec::new();
        for (identity, key) in there.iter() {
            match here.get(identity) {
                Some(known) if known == key => {}
                // Keys never change: this identity belongs to another lake.
                Some(_) => return Err(LakeError::NotACopy),
                None => deleted.push(identity),
            }
        }
        copy.forget(&deleted).await?;
        Ok(deleted.len() as u64)
    }

    /// The key of a name; `None` where there is none.
    pub(crate) async fn named(&self, name: &str) -> Result<Option<Arc<[u8]>>, LakeError> {
        let known = self
            .cache()
            .named()
            .get(&self.associated_data(name))
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let stored = self.stored(name).await?;
        if let Some(key) = &stored {
            let mut known = self.cache().named();
            known.insert(self.associated_data(name), Arc::clone(key));
        }
        Ok(stored)
    }

    /// The key of a name as it is stored now, whatever this process knew of it: `None` where it was deleted.
    pub(crate) async fn stored(&self, name: &str) -> Result<Option<Arc<[u8]>>, LakeError> {
        let Some(opened) = self.open().await? else {
            return Ok(None);
        };
        let Some(sealed) = opened.manifest.named.get(name) else {
            return Ok(None);
        };
        let bytes = hex::decode(sealed).ok();
        let bytes =
            bytes.and_then(|sealed| open_object(&opened.key, &self.associated_data(name), &sealed));
        Ok(Some(Arc::from(bytes.ok_or_else(|| self.damaged(name))?)))
    }

    /// The key of a name as it is stored now, created where there is none.
    pub(crate) async fn stored_or_new(&self, name: &str) -> Result<Key, LakeError> {
        if self.stored(name).await?.is_none() {
            self.store_named(name, &random::<32>()).await?;
        }
        let key = self.stored(name).await?;
        let key = key.as_deref().and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.damaged(name))
    }

    /// The key of a name, created where there is none.
    pub(crate) async fn named_or_new(&self, name: &str) -> Result<Key, LakeError> {
        if self.named(name).await?.is_none() {
            self.store_named(name, &random::<32>()).await?;
        }
        let key = self.named(name).await?;
        let key = key.as_deref().and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.damaged(name))
    }

    /// Stores a key by name. Returns false where the name has a key.
    pub(crate) async fn store_named(&self, name: &str, key: &[u8]) -> Result<bool, LakeError> {
        let stored = retry(ATTEMPTS, || async move {
            let opened = self.open_or_new().await?;
            if opened.manifest.named.contains_key(name) {
                return Ok(Some(false));
            }
            let sealed = hex::encode(seal_object(&opened.key, &self.associated_data(name), key));
            let put = |next: &mut Manifest| {
                next.named.insert(name.to_owned(), sealed);
            };
            let is_stored = self.commit(opened, BTreeMap::new(), put).await?;
            Ok(is_stored.then_some(true))
        });
        stored.await?.ok_or(BUSY)
    }

    /// The status of the keys; `None` where the tenant has none.
    pub(crate) async fn status(&self) -> Result<Option<KeyStatus>, LakeError> {
        let Some(opened) = self.open().await? else {
            return Ok(None);
        };
        Ok(Some(KeyStatus {
            master: opened.wrapped.master,
            place: self.master().place(),
            masters: self.master().count()? as u64,
            pages: opened.manifest.pages.len() as u64,
        }))
    }

    /// Checks that the master key is in its source and decrypts the tenant's key; for a tenant without
    /// keys, that a master key is there or can be created.
    pub(crate) async fn check(&self) -> Result<(), LakeError> {
        let opened = self.open().await?;
        let needed = opened.as_ref().map(|opened| opened.wrapped.master.as_str());
        self.master().check(needed)
    }

    /// The objects of the keys, relative to the tenant's folder, the manifest last.
    pub(super) async fn objects(&self) -> Result<Vec<String>, LakeError> {
        let (version, manifest) = manifest::newest::<Manifest>(self.lake, FOLDER).await?;
        if version.number == 0 {
            return Ok(Vec::new());
        }
        let pages = manifest.pages.values().map(|page| page_below(page));
        let apart = manifest.tenant.is_none().then(|| TENANT.to_owned());
        let rest = apart
            .into_iter()
            .chain([manifest::manifest_path(FOLDER, version.number)]);
        Ok(pages.chain(rest).collect())
    }

    pub(super) async fn open(&self) -> Result<Option<OpenManifest>, LakeError> {
        let opened = retry(ATTEMPTS, || async {
            let (version, manifest) = manifest::newest::<Manifest>(self.lake, FOLDER).await?;
            if version.number == 0 {
                return Ok(Some(None));
            }
            let wrapped = match &manifest.tenant {
                Some(wrapped) => Some(wrapped.clone()),
                None => self.separate_tenant_key(&manifest.sealed_under).await?,
            };
            // Another writer replaced the key since this one read the manifest.
            let Some(wrapped) = wrapped else {
                return Ok(None);
            };
            let key = self.unwrap(&wrapped)?;
            Ok(Some(Some(OpenManifest {
                version,
                manifest,
                wrapped,
                key,
            })))
        });
        let opened = opened.await?;
        opened.ok_or_else(|| self.damaged("the tenant's key"))
    }

    async fn open_or_new(&self) -> Result<OpenManifest, LakeError> {
        if let Some(opened) = self.open().await? {
            return Ok(opened);
        }
        // Where another writer puts the first manifest, this key is never used.
        let key = random();
        let wrapped = self.wrap(&self.master().current_or_new()?, &key);
        let mut manifest = Manifest::default();
        manifest.set_tenant(wrapped.clone());
        Ok(OpenManifest {
            version: ManifestVersion::default(),
            manifest,
            wrapped,
            key,
        })
    }

    /// A tenant key from the separate object of older programs.
    async fn separate_tenant_key(&self, id: &str) -> Result<Option<Wrapped>, LakeError> {
        let path = self.lake.path(TENANT);
        let Some(bytes) = self.lake.store().get(&path).await? else {
            return Ok(None);
        };
        let stored: TenantKeys = from_json(&path, &bytes)?;
        Ok(stored.keys.into_iter().find(|one| one.id == id))
    }

    /// A new tenant key as it is stored.
    pub(super) fn wrap(&self, master: &Key, key: &Key) -> Wrapped {
        let id = hex::encode(random::<8>());
        Wrapped {
            master: fingerprint(master),
            key: hex::encode(seal_object(master, &self.associated_data(&id), key)),
            id,
        }
    }

    pub(super) fn unwrap(&self, wrapped: &Wrapped) -> Result<Key, LakeError> {
        let master = self.master().find(&wrapped.master)?;
        let key = hex::decode(&wrapped.key).ok();
        let key =
            key.and_then(|key| open_object(&master, &self.associated_data(&wrapped.id), &key));
        let key = key.and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.damaged("the tenant's key"))
    }

    /// The wanted pages; `None` where another writer replaced one meanwhile.
    pub(super) async fn read(
        &self,
        opened: &OpenManifest,
        is_wanted: impl Fn(i64) -> bool,
    ) -> Result<Option<DataKeys>, LakeError> {
        let pages = opened.manifest.pages.iter();
        let pages = pages.filter(|(page, _)| is_wanted(**page));
        let pages: Vec<_> = pages.map(|(page, name)| (*page, name.clone())).collect();
        let read = futures::stream::iter(pages)
            .map(|(page, name)| async move {
                let read = self.page(&opened.key, page, &name).await?;
                Ok::<_, LakeError>(read.map(|read| (page, read)))
            })
            .buffer_unordered(AT_ONCE);
        let read: Vec<Option<(i64, Arc<Page>)>> = read.try_collect().await?;
        Ok(read.into_iter().collect::<Option<_>>().map(DataKeys))
    }

    async fn page(&self, key: &Key, page: i64, name: &str) -> Result<Option<Arc<Page>>, LakeError> {
        let path = self.lake.path(&page_below(name));
        if let Some(known) = self.cache().get(&path) {
            return Ok(Some(known));
        }
        let Some(read) = self.page_at(key, page, &path).await? else {
            return Ok(None);
        };
        let read = Arc::new(read);
        self.cache().put(path, Arc::clone(&read));
        Ok(Some(read))
    }

    /// Reads and decrypts a page; `None` where it does not exist.
    pub(super) async fn page_at(
        &self,
        key: &Key,
        page: i64,
        path: &str,
    ) -> Result<Option<Page>, LakeError> {
        let Some(sealed) = self.lake.store().get(path).await? else {
            return Ok(None);
        };
        let bytes = open_object(key, &self.associated_data(&page.to_string()), &sealed);
        let bytes = bytes.filter(|bytes| bytes.len() == PAGE * size_of::<Key>());
        let bytes = bytes.ok_or_else(|| self.damaged(path))?;
        let (keys, _) = bytes.as_chunks();
        Ok(Some(Page(keys.to_vec())))
    }

    /// Writes pages and the manifest that lists them. Returns false where another writer was faster.
    async fn commit(
        &self,
        opened: OpenManifest,
        pages: BTreeMap<i64, Page>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<bool, LakeError> {
        let mut draft = self.draft(opened, pages).await?;
        change(&mut draft.next);
        self.put(draft).await
    }

    /// Writes sealed pages for the next manifest.
    pub(super) async fn draft(
        &self,
        opened: OpenManifest,
        pages: BTreeMap<i64, Page>,
    ) -> Result<Draft, LakeError> {
        let store = self.lake.store();
        let mut next = opened.manifest;
        let (mut written, mut replaced) = (BTreeMap::new(), Vec::new());
        for (page, keys) in pages {
            let name = format!("page-{}-{}.page", self.lake.lease().await, Uuid::new_v4());
            let path = self.lake.path(&page_below(&name));
            let place = self.associated_data(&page.to_string());
            let sealed = seal_object(&opened.key, &place, keys.0.as_flattened());
            store.put_over(&path, &sealed).await?;
            self.cache().put(path.clone(), Arc::new(keys));
            written.insert(page, path);
            replaced.extend(next.pages.insert(page, name));
        }
        Ok(Draft {
            version: opened.version,
            next,
            written,
            replaced,
        })
    }

    /// Puts the next manifest and deletes the pages that it replaces. Returns false where another writer
    /// was faster; then the pages written for the manifest are deleted.
    pub(super) async fn put(&self, draft: Draft) -> Result<bool, LakeError> {
        let written = draft.written.keys();
        let written = written.map(|page| (page_below(&draft.next.pages[page]), None));
        self.lake.check_exist(&written.collect::<Vec<_>>()).await?;
        let is_first = manifest::put_next(self.lake, FOLDER, &draft.version, &draft.next).await?;
        let replaced = draft.replaced.iter();
        let replaced = replaced.map(|name| self.lake.path(&page_below(name)));
        let useless: Vec<String> = match is_first {
            true => replaced.collect(),
            false => draft.written.into_values().collect(),
        };
        for path in useless {
            self.lake.store().delete(&path).await?;
            self.cache().remove(&path);
        }
        Ok(is_first)
    }

    pub(super) fn master(&self) -> &Master {
        self.lake.master()
    }

    fn cache(&self) -> &PageCache {
        self.lake.key_pages()
    }

    /// What is authenticated with a sealed object, so that it cannot be moved to another tenant or name.
    pub(super) fn associated_data(&self, name: &str) -> String {
        format!("{}/{name}", self.lake.tenant())
    }

    pub(super) fn damaged(&self, what: &str) -> LakeError {
        LakeError::Damaged {
            path: FOLDER.to_owned(),
            detail: format!("{what} cannot be decrypted"),
        }
    }
}

fn page_below(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
