//! Data keys: one for each identity, and one of the tenant's own for what belongs to none.
//!
//! They lie in pages of 4,096 identities, each sealed under the tenant's key. A numbered manifest
//! names the pages and holds that key, wrapped under the master key: so a key and what it opens
//! change in one put, which only one of two writers succeeds with. Forgetting an identity writes
//! its page anew without its key and deletes the old one: whatever copy of a sealed value is left
//! somewhere, nobody opens it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::manifest::{self, Standing};
use crate::LakeError;
use crate::encryption::key_pages::{DataKeys, GONE, Key, PAGE, Page, Pages, place};
use crate::encryption::master::{Master, fingerprint};
use crate::encryption::seal::{open_object, random, seal_object};
use crate::json::from_json;
use crate::lake::Lake;

pub(super) const FOLDER: &str = "_vault/_keys";
/// The tenant's keys, wrapped, where older programs put them.
pub(super) const TENANT: &str = "_vault/tenant.key";
/// Attempts until a reader or writer gives way to faster ones.
pub(super) const ATTEMPTS: u32 = 20;
/// Pages that are read at once.
const AT_ONCE: usize = 16;

/// Which pages there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Which of the tenant's keys the pages and named keys are sealed under.
    sealed_under: String,
    /// That key, wrapped; `None` where it lies apart, as older programs put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Wrapped>,
    pages: BTreeMap<i64, String>,
    /// Keys for other ends, sealed like a page.
    pub(super) named: BTreeMap<String, String>,
}

impl Manifest {
    /// Names the key that everything is sealed under from now on.
    pub(super) fn set_tenant(&mut self, wrapped: Wrapped) {
        wrapped.id.clone_into(&mut self.sealed_under);
        self.tenant = Some(wrapped);
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct TenantKeys {
    /// The first one sealed what was new; others were there while they were replaced.
    keys: Vec<Wrapped>,
}

/// A key of the tenant's, wrapped under a master key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Wrapped {
    id: String,
    /// The fingerprint of the master key.
    master: String,
    key: String,
}

/// What the values of a tenant are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// The fingerprint of the master key that wraps the tenant's key.
    pub master: String,
    /// Where it comes from.
    pub place: String,
    /// Keys at that place, the older ones among them.
    pub masters: u64,
    /// Pages of data keys, each for 4,096 identities.
    pub pages: u64,
}

/// The keys of a tenant's vaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyring<'a> {
    pub(super) lake: &'a Lake,
}

/// The newest manifest with the key that opens what it names.
pub(super) struct Opened {
    pub(super) standing: Standing,
    pub(super) manifest: Manifest,
    /// Its key, as it lies there.
    pub(super) wrapped: Wrapped,
    pub(super) key: Key,
}

/// The next manifest, whose pages are written, and that no one sees yet.
pub(super) struct Draft {
    standing: Standing,
    pub(super) next: Manifest,
    /// The paths of the pages that were written, by page.
    pub(super) written: BTreeMap<i64, String>,
    /// The names of those that these take the place of.
    replaced: Vec<String>,
}

impl<'a> Keyring<'a> {
    pub(crate) fn of(lake: &'a Lake) -> Self {
        Self { lake }
    }

    /// The keys of all identities.
    pub(crate) async fn all(&self) -> Result<DataKeys, LakeError> {
        for _ in 0..ATTEMPTS {
            let Some(opened) = self.open().await? else {
                return Ok(DataKeys::default());
            };
            let keys = self.read(&opened, |_| true).await?;
            if let Some(keys) = keys {
                let folder = self.lake.path(&page_below(""));
                let named = opened.manifest.pages.values();
                let named = named.map(|name| self.lake.path(&page_below(name)));
                self.pages_read().keep_only(&folder, &named.collect());
                return Ok(keys);
            }
        }
        Err(self.damaged("a page of keys"))
    }

    /// The keys of some identities at least, made for those that have none.
    pub(crate) async fn ensure(&self, identities: &BTreeSet<i64>) -> Result<DataKeys, LakeError> {
        let wanted: BTreeSet<i64> = identities.iter().map(|one| place(*one).0).collect();
        for _ in 0..ATTEMPTS {
            let opened = self.open_or_new().await?;
            let Some(keys) = self.read(&opened, |page| wanted.contains(&page)).await? else {
                continue;
            };
            let mut new: BTreeMap<i64, Page> = BTreeMap::new();
            for identity in identities.iter().filter(|one| keys.get(**one).is_none()) {
                let (page, at) = place(*identity);
                // A page is made whole: the next identities find their keys.
                let page = new.entry(page).or_insert_with(|| match keys.0.get(&page) {
                    Some(known) => Page(known.0.clone()),
                    None => Page((0..PAGE).map(|_| random()).collect()),
                });
                if page.0[at] == GONE {
                    page.0[at] = random();
                }
            }
            if new.is_empty() {
                return Ok(keys);
            }
            self.commit(opened, new, |_| {}).await?;
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// Forgets the keys of identities for good.
    pub(crate) async fn forget(&self, identities: &[i64]) -> Result<(), LakeError> {
        for _ in 0..ATTEMPTS {
            let Some(opened) = self.open().await? else {
                return Ok(());
            };
            let wanted: BTreeSet<i64> = identities.iter().map(|one| place(*one).0).collect();
            let Some(keys) = self.read(&opened, |page| wanted.contains(&page)).await? else {
                continue;
            };
            let mut new: BTreeMap<i64, Page> = BTreeMap::new();
            for identity in identities.iter().filter(|one| keys.get(**one).is_some()) {
                let (page, at) = place(*identity);
                let page = new
                    .entry(page)
                    .or_insert_with(|| Page(keys.0[&page].0.clone()));
                page.0[at] = GONE;
            }
            if new.is_empty() || self.commit(opened, new, |_| {}).await? {
                return Ok(());
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// Forgets in a copy of the lake the keys of identities whose keys are forgotten here, and tells
    /// how many those were.
    pub(crate) async fn forget_in(&self, copy: Keyring<'_>) -> Result<u64, LakeError> {
        let (here, there) = (self.all().await?, copy.all().await?);
        let mut gone = Vec::new();
        for (identity, key) in there.each() {
            match here.get(identity) {
                Some(known) if known == key => {}
                // A key is made once and never changed: this identity is another lake's.
                Some(_) => return Err(LakeError::NotACopy),
                None => gone.push(identity),
            }
        }
        copy.forget(&gone).await?;
        Ok(gone.len() as u64)
    }

    /// A key for another end; `None` before there is one.
    pub(crate) async fn named(&self, name: &str) -> Result<Option<Arc<[u8]>>, LakeError> {
        let known = self.pages_read().named().get(&self.place(name)).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(opened) = self.open().await? else {
            return Ok(None);
        };
        let Some(sealed) = opened.manifest.named.get(name) else {
            return Ok(None);
        };
        let bytes = hex::decode(sealed).ok();
        let bytes = bytes.and_then(|sealed| open_object(&opened.key, &self.place(name), &sealed));
        let bytes: Arc<[u8]> = Arc::from(bytes.ok_or_else(|| self.damaged(name))?);
        let mut known = self.pages_read().named();
        known.insert(self.place(name), Arc::clone(&bytes));
        Ok(Some(bytes))
    }

    /// A key for another end, made where there is none.
    pub(crate) async fn named_or_new(&self, name: &str) -> Result<Key, LakeError> {
        if self.named(name).await?.is_none() {
            self.store_named(name, &random::<32>()).await?;
        }
        let key = self.named(name).await?;
        let key = key.as_deref().and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.damaged(name))
    }

    /// Keeps a key for another end. False where there is one by that name.
    pub(crate) async fn store_named(&self, name: &str, key: &[u8]) -> Result<bool, LakeError> {
        for _ in 0..ATTEMPTS {
            let opened = self.open_or_new().await?;
            if opened.manifest.named.contains_key(name) {
                return Ok(false);
            }
            let sealed = hex::encode(seal_object(&opened.key, &self.place(name), key));
            let put = |next: &mut Manifest| {
                next.named.insert(name.to_owned(), sealed);
            };
            if self.commit(opened, BTreeMap::new(), put).await? {
                return Ok(true);
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// What there is, without any key; `None` where nothing was ever sealed.
    pub(crate) async fn show(&self) -> Result<Option<KeyStatus>, LakeError> {
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

    /// What the keys consist of, relative to the tenant's folder, the manifest last.
    pub(super) async fn live(&self) -> Result<Vec<String>, LakeError> {
        let (standing, manifest) = manifest::newest::<Manifest>(self.lake, FOLDER).await?;
        if standing.number == 0 {
            return Ok(Vec::new());
        }
        let pages = manifest.pages.values().map(|page| page_below(page));
        let apart = manifest.tenant.is_none().then(|| TENANT.to_owned());
        let rest = apart
            .into_iter()
            .chain([manifest::below(FOLDER, standing.number)]);
        Ok(pages.chain(rest).collect())
    }

    pub(super) async fn open(&self) -> Result<Option<Opened>, LakeError> {
        for _ in 0..ATTEMPTS {
            let (standing, manifest) = manifest::newest::<Manifest>(self.lake, FOLDER).await?;
            if standing.number == 0 {
                return Ok(None);
            }
            let wrapped = match &manifest.tenant {
                Some(wrapped) => Some(wrapped.clone()),
                None => self.kept_apart(&manifest.sealed_under).await?,
            };
            // A key that is not there was replaced since the manifest was read.
            if let Some(wrapped) = wrapped {
                let key = self.unwrap(&wrapped)?;
                return Ok(Some(Opened {
                    standing,
                    manifest,
                    wrapped,
                    key,
                }));
            }
        }
        Err(self.damaged("the tenant's key"))
    }

    async fn open_or_new(&self) -> Result<Opened, LakeError> {
        if let Some(opened) = self.open().await? {
            return Ok(opened);
        }
        // Another writer may be first: then nothing was sealed under this one.
        let key = random();
        let wrapped = self.wrap(&self.master().current_or_new()?, &key);
        let mut manifest = Manifest::default();
        manifest.set_tenant(wrapped.clone());
        Ok(Opened {
            standing: Standing::default(),
            manifest,
            wrapped,
            key,
        })
    }

    /// A key of the tenant's from where older programs put it.
    async fn kept_apart(&self, id: &str) -> Result<Option<Wrapped>, LakeError> {
        let path = self.lake.path(TENANT);
        let Some(bytes) = self.lake.store().get(&path).await? else {
            return Ok(None);
        };
        let kept: TenantKeys = from_json(&path, &bytes)?;
        Ok(kept.keys.into_iter().find(|one| one.id == id))
    }

    /// A new key of the tenant's as it lies in the lake.
    pub(super) fn wrap(&self, master: &Key, key: &Key) -> Wrapped {
        let id = hex::encode(random::<8>());
        Wrapped {
            master: fingerprint(master),
            key: hex::encode(seal_object(master, &self.place(&id), key)),
            id,
        }
    }

    pub(super) fn unwrap(&self, wrapped: &Wrapped) -> Result<Key, LakeError> {
        let master = self.master().find(&wrapped.master)?;
        let key = hex::decode(&wrapped.key).ok();
        let key = key.and_then(|key| open_object(&master, &self.place(&wrapped.id), &key));
        let key = key.and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.damaged("the tenant's key"))
    }

    /// The pages that are wanted; `None` where one has been replaced meanwhile.
    pub(super) async fn read(
        &self,
        opened: &Opened,
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
        if let Some(known) = self.pages_read().get(&path) {
            return Ok(Some(known));
        }
        let Some(read) = self.page_at(key, page, &path).await? else {
            return Ok(None);
        };
        let read = Arc::new(read);
        self.pages_read().put(path, Arc::clone(&read));
        Ok(Some(read))
    }

    /// A page as it lies in the lake.
    pub(super) async fn page_at(
        &self,
        key: &Key,
        page: i64,
        path: &str,
    ) -> Result<Option<Page>, LakeError> {
        let Some(sealed) = self.lake.store().get(path).await? else {
            return Ok(None);
        };
        let bytes = open_object(key, &self.place(&page.to_string()), &sealed);
        let bytes = bytes.filter(|bytes| bytes.len() == PAGE * size_of::<Key>());
        let bytes = bytes.ok_or_else(|| self.damaged(path))?;
        let (keys, _) = bytes.as_chunks();
        Ok(Some(Page(keys.to_vec())))
    }

    /// Writes pages and the manifest that names them. False where another writer was faster.
    async fn commit(
        &self,
        opened: Opened,
        pages: BTreeMap<i64, Page>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<bool, LakeError> {
        let mut draft = self.draft(opened, pages).await?;
        change(&mut draft.next);
        self.put(draft).await
    }

    /// Writes pages, sealed under the key, for the manifest that follows.
    pub(super) async fn draft(
        &self,
        opened: Opened,
        pages: BTreeMap<i64, Page>,
    ) -> Result<Draft, LakeError> {
        let store = self.lake.store();
        let mut next = opened.manifest;
        let (mut written, mut replaced) = (BTreeMap::new(), Vec::new());
        for (page, keys) in pages {
            let name = format!("page-{}-{}.page", self.lake.lease().await, Uuid::new_v4());
            let path = self.lake.path(&page_below(&name));
            let place = self.place(&page.to_string());
            let sealed = seal_object(&opened.key, &place, keys.0.as_flattened());
            store.put_over(&path, &sealed).await?;
            self.pages_read().put(path.clone(), Arc::new(keys));
            written.insert(page, path);
            replaced.extend(next.pages.insert(page, name));
        }
        Ok(Draft {
            standing: opened.standing,
            next,
            written,
            replaced,
        })
    }

    /// Puts the next manifest, and takes away what it replaces. False where another writer was
    /// faster; then what was written for it goes.
    pub(super) async fn put(&self, draft: Draft) -> Result<bool, LakeError> {
        let written = draft.written.keys();
        let written = written.map(|page| (page_below(&draft.next.pages[page]), None));
        self.lake.must_have(&written.collect::<Vec<_>>()).await?;
        let is_first = manifest::follow(self.lake, FOLDER, &draft.standing, &draft.next).await?;
        let replaced = draft.replaced.iter();
        let replaced = replaced.map(|name| self.lake.path(&page_below(name)));
        let useless: Vec<String> = match is_first {
            true => replaced.collect(),
            false => draft.written.into_values().collect(),
        };
        for path in useless {
            self.lake.store().delete(&path).await?;
            self.pages_read().remove(&path);
        }
        Ok(is_first)
    }

    pub(super) fn master(&self) -> &Master {
        self.lake.master()
    }

    fn pages_read(&self) -> &Pages {
        self.lake.key_pages()
    }

    /// What a sealed object is authenticated with: it is of no use to another tenant or elsewhere.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.lake.tenant())
    }

    pub(super) fn damaged(&self, what: &str) -> LakeError {
        LakeError::Damaged {
            path: FOLDER.to_owned(),
            detail: format!("{what} does not open"),
        }
    }
}

fn page_below(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
