//! The keys of a tenant that other crates use: named keys, deletion of data keys, rotation and status.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::LakeError;
use crate::encryption::key_pages::Key;
use crate::encryption::seal::{open_object, random, seal_repeatably};
use crate::lake::Lake;
use crate::vault::keys::{KeyStatus, Keyring};

/// The name of the key that turns e-mail addresses into external ids.
const TOKEN_KEY: &str = "token";
/// The name of the key that hashes the values of erased persons.
const ERASURE_KEY: &str = "erased";

impl Lake {
    /// The key that hashes the values of erased persons; `None` before the first erasure.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key`].
    pub async fn erasure_key(&self) -> Result<Option<Arc<[u8]>>, LakeError> {
        Keyring::of(self).named(ERASURE_KEY).await
    }

    /// The key that hashes the values of erased persons, created where there is none.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key_or_new`].
    pub async fn erasure_key_or_new(&self) -> Result<Arc<[u8]>, LakeError> {
        Ok(Arc::from(
            Keyring::of(self).named_or_new(ERASURE_KEY).await?,
        ))
    }

    /// The key that turns a tenant's e-mail addresses into external ids: 32 bytes. `None` before the
    /// first commit of rows.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: the key cannot be decrypted, or the manifest of keys cannot be parsed.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store or the master key's file cannot be read.
    pub async fn token_key(&self) -> Result<Option<Arc<[u8]>>, LakeError> {
        Keyring::of(self).named(TOKEN_KEY).await
    }

    /// The key that turns a tenant's e-mail addresses into external ids, created where there is none.
    ///
    /// # Errors
    /// - The errors of [`Lake::token_key`].
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    pub async fn token_key_or_new(&self) -> Result<Arc<[u8]>, LakeError> {
        Ok(Arc::from(Keyring::of(self).named_or_new(TOKEN_KEY).await?))
    }

    /// Encrypts something that a caller gets to bring it back: only this lake reads it, and nobody can make or change
    /// one. Equal bytes have equal forms. `purpose` keeps apart what is for different uses.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key_or_new`].
    pub async fn seal_for_callers(
        &self,
        purpose: &str,
        bytes: &[u8],
    ) -> Result<Vec<u8>, LakeError> {
        let key = derived(&self.token_key_or_new().await?, purpose);
        Ok(seal_repeatably(&key, purpose, bytes))
    }

    /// Decrypts what [`Lake::seal_for_callers`] encrypted; `None` where it did not, or for another purpose.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key_or_new`].
    pub async fn open_from_caller(
        &self,
        purpose: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, LakeError> {
        let key = derived(&self.token_key_or_new().await?, purpose);
        Ok(open_object(&key, purpose, sealed))
    }

    /// Stores `key` as the tenant's token key. Returns false where another one is stored already: ids made
    /// with `key` must not be committed.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key_or_new`].
    pub async fn store_token_key(&self, key: &[u8]) -> Result<bool, LakeError> {
        if Keyring::of(self).store_named(TOKEN_KEY, key).await? {
            return Ok(true);
        }
        Ok(self.token_key().await?.as_deref() == Some(key))
    }

    /// Deletes the data keys of identities: no copy of their sealed values can be decrypted any more.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: a page of keys is missing or cannot be decrypted.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn forget_keys(&self, identities: &[i64]) -> Result<(), LakeError> {
        Keyring::of(self).forget(identities).await
    }

    /// Deletes from a copy of this lake the data keys of the identities that were erased here since the
    /// copy was made. Returns the number of these identities.
    ///
    /// # Errors
    /// - [`LakeError::NotACopy`]: the other lake is not a copy of an earlier state of this one.
    /// - The errors of [`Lake::head`] and [`Lake::forget_keys`], for both lakes.
    pub async fn forget_erased_keys_in(&self, copy: &Lake) -> Result<u64, LakeError> {
        let (newest, copied) = (self.head().await?.number, copy.head().await?.number);
        let known = self.find_record(copied).await?;
        let other = copy.find_record(copied).await?;
        let is_other = known
            .zip(other)
            .is_some_and(|(known, other)| known.committed_at != other.committed_at);
        if copied > newest || is_other {
            return Err(LakeError::NotACopy);
        }
        Keyring::of(self).forget_in(Keyring::of(copy)).await
    }

    /// Encrypts the tenant's keys with a new master key. No value is rewritten. `None` where the tenant
    /// has no keys.
    ///
    /// # Errors
    /// The errors of [`Lake::forget_keys`].
    pub async fn rotate_keys(&self) -> Result<Option<KeyStatus>, LakeError> {
        Keyring::of(self).rotate().await
    }

    /// Checks that the master key is there and decrypts the tenant's key; for a tenant without keys, that a
    /// master key is there or can be created.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key`].
    pub async fn check_keys(&self) -> Result<(), LakeError> {
        Keyring::of(self).check().await
    }

    /// The keys of the tenant's values, without the keys themselves. `None` where the tenant has no keys.
    ///
    /// # Errors
    /// The errors of [`Lake::token_key`].
    pub async fn key_status(&self) -> Result<Option<KeyStatus>, LakeError> {
        Keyring::of(self).status().await
    }
}

/// A key of one purpose, derived from another key.
fn derived(key: &[u8], purpose: &str) -> Key {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    code.update(purpose.as_bytes());
    code.finalize().into_bytes().into()
}

/// A token key for a tenant that has none: 32 random bytes.
pub fn fresh_token_key() -> Arc<[u8]> {
    Arc::from(random::<32>())
}
