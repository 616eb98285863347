//! Rotating keys: a new key of the tenant's, wrapped under a new master key, and all data keys sealed
//! under it. It is one put of a manifest; no value is written.

use std::collections::BTreeMap;

use super::keys::{ATTEMPTS, Draft, KeyStatus, Keyring, Opened, TENANT, Wrapped};
use crate::LakeError;
use crate::encryption::key_pages::Key;
use crate::encryption::key_pages::{DataKeys, Page};
use crate::encryption::seal::{open_object, random, seal_object};

impl Keyring<'_> {
    /// Makes the keys hang on a new master key, where rollbook keeps it itself, else on the one that
    /// is the first now. `None` where nothing was ever sealed.
    ///
    /// Whenever it is broken off, and however many do it at once, what is named by the newest
    /// manifest opens with keys that are still there: nothing old goes before.
    pub(crate) async fn rotate(&self) -> Result<Option<KeyStatus>, LakeError> {
        if self.open().await?.is_none() {
            return Ok(None);
        }
        let master = self.master().next()?;
        for _ in 0..ATTEMPTS {
            let Some(opened) = self.open().await? else {
                return Ok(None);
            };
            let Some(keys) = self.read(&opened, |_| true).await? else {
                continue;
            };
            if self.seal_anew(&master, opened, &keys).await? {
                // Nothing reads it any more.
                let apart = self.lake.path(TENANT);
                self.lake.store().delete(&apart).await?;
                return self.show().await;
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS })
    }

    /// Seals everything under a key of its own. False where another writer was faster.
    async fn seal_anew(
        &self,
        master: &Key,
        opened: Opened,
        keys: &DataKeys,
    ) -> Result<bool, LakeError> {
        let key: Key = random();
        let wrapped = self.wrap(master, &key);
        let mut named = BTreeMap::new();
        for (name, sealed) in &opened.manifest.named {
            let bytes = self.open_named(&opened.key, name, sealed)?;
            let sealed = seal_object(&key, &self.place(name), &bytes);
            named.insert(name.clone(), hex::encode(&sealed));
        }
        let pages: BTreeMap<i64, Page> = keys
            .0
            .iter()
            .map(|(page, keys)| (*page, Page::clone(keys)))
            .collect();
        let mut draft = self.draft(Opened { key, ..opened }, pages).await?;
        draft.next.named = named;
        draft.next.set_tenant(wrapped.clone());
        self.must_open(&draft, &wrapped, keys).await?;
        self.put(draft).await
    }

    /// Makes sure that what was written opens, by way of the master key as it is kept.
    async fn must_open(
        &self,
        draft: &Draft,
        wrapped: &Wrapped,
        keys: &DataKeys,
    ) -> Result<(), LakeError> {
        self.master().forget();
        let key = self.unwrap(wrapped)?;
        for (page, path) in &draft.written {
            let found = self.page_at(&key, *page, path).await?;
            if found.as_ref() != keys.0.get(page).map(|page| &**page) {
                return Err(self.damaged(path));
            }
        }
        for (name, sealed) in &draft.next.named {
            self.open_named(&key, name, sealed)?;
        }
        Ok(())
    }

    fn open_named(&self, key: &Key, name: &str, sealed: &str) -> Result<Vec<u8>, LakeError> {
        let sealed = hex::decode(sealed).ok();
        let opened = sealed.and_then(|sealed| open_object(key, &self.place(name), &sealed));
        opened.ok_or_else(|| self.damaged(name))
    }
}
