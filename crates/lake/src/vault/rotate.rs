//! Key rotation: a new tenant key, encrypted ("wrapped") with a new master key, and all data keys
//! encrypted with the new tenant key. One put of a manifest completes it. No value is rewritten.

use std::collections::BTreeMap;

use super::keys::{ATTEMPTS, BUSY, Draft, KeyStatus, Keyring, OpenManifest, TENANT, Wrapped};
use crate::LakeError;
use crate::encryption::key_pages::Key;
use crate::encryption::key_pages::{DataKeys, Page};
use crate::encryption::seal::{open_object, random, seal_object};
use crate::storage::retry::retry;

impl Keyring<'_> {
    /// Rotates the keys to a new master key where rollbook keeps the master key in a file, else to the
    /// first key of its source. `None` where the tenant has no keys.
    ///
    /// An interrupted rotation, or several at once, do no harm: old keys are deleted only after the
    /// manifest that replaces them exists, so the newest manifest can always be decrypted.
    pub(crate) async fn rotate(&self) -> Result<Option<KeyStatus>, LakeError> {
        if self.open().await?.is_none() {
            return Ok(None);
        }
        let master = self.master().next()?;
        let master = &master;
        let rotated = retry(ATTEMPTS, || async move {
            let Some(opened) = self.open().await? else {
                return Ok(Some(None));
            };
            let Some(keys) = self.read(&opened, |_| true).await? else {
                return Ok(None);
            };
            if !self.reseal(master, opened, &keys).await? {
                return Ok(None);
            }
            // The manifest holds the tenant's key now: nothing reads the separate object any more.
            let apart = self.lake.path(TENANT);
            self.lake.store().delete(&apart).await?;
            self.status().await.map(Some)
        });
        rotated.await?.ok_or(BUSY)
    }

    /// Encrypts all keys with a new tenant key. Returns false where another writer was faster.
    async fn reseal(
        &self,
        master: &Key,
        opened: OpenManifest,
        keys: &DataKeys,
    ) -> Result<bool, LakeError> {
        let key: Key = random();
        let wrapped = self.wrap(master, &key);
        let mut named = BTreeMap::new();
        for (name, sealed) in &opened.manifest.named {
            let bytes = self.open_named(&opened.key, name, sealed)?;
            let sealed = seal_object(&key, &self.associated_data(name), &bytes);
            named.insert(name.clone(), hex::encode(&sealed));
        }
        let pages: BTreeMap<i64, Page> = keys
            .0
            .iter()
            .map(|(page, keys)| (*page, Page::clone(keys)))
            .collect();
        let mut draft = self.draft(OpenManifest { key, ..opened }, pages).await?;
        draft.next.named = named;
        draft.next.set_tenant(wrapped.clone());
        self.check_opens(&draft, &wrapped, keys).await?;
        self.put(draft).await
    }

    /// Checks that the written keys can be decrypted with the master key as it is stored.
    async fn check_opens(
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
        let opened =
            sealed.and_then(|sealed| open_object(key, &self.associated_data(name), &sealed));
        opened.ok_or_else(|| self.damaged(name))
    }
}
