//! Secrets: named values that a tenant keeps for connections to other systems, encrypted ("sealed").
//!
//! A secret is one object, `_secrets/<name>.json`, outside of the snapshots and in its latest state only.
//! Every put replaces the whole object, so of several writers the last one wins. The value is sealed with
//! a key of the tenant, which is in the manifest of keys: a rotation encrypts that key again, and without
//! the tenant's key no copy of a secret can be decrypted. It is read each time: a process that runs while it
//! is deleted does not go on with it. Tenant, name and times are authenticated with
//! the value, so a copy under another name or of another tenant does not open.

use std::fmt;

use rollbook_model::config::SECRET_BYTES;
use rollbook_model::{SecretName, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::LakeError;
use crate::encryption::command::output_of;
use crate::encryption::key_pages::Key;
use crate::encryption::seal::{open_object, seal_object};
use crate::json::{from_json, to_json};
use crate::lake::Lake;
use crate::vault::keys::Keyring;

/// The folder of the secrets in the tenant's folder.
const FOLDER: &str = "_secrets";
/// The name of the key that seals secrets.
const SECRET_KEY: &str = "secrets";

/// What is wrong with a secret that does not open.
const CLOSED: &str =
    "it cannot be decrypted: it was changed or copied, or the keys of the tenant were deleted";

/// The value of a secret. It is overwritten in memory when it is dropped, and `Debug` leaves it out.
#[derive(Clone)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

/// Why a value cannot be that of a secret. The message never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// The value is empty.
    #[error("the value is empty")]
    Empty,
    /// The value is too long.
    #[error("the value has more than {SECRET_BYTES} bytes")]
    TooLong,
    /// The command that was to print the value did not.
    #[error("{problem}")]
    Command {
        /// What went wrong.
        problem: String,
    },
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// When it was stored first.
    pub created_at: Timestamp,
    /// When its value was stored last.
    pub updated_at: Timestamp,
}

/// A secret as it is stored.
#[derive(Serialize, Deserialize)]
struct SealedSecret {
    created_at: Timestamp,
    updated_at: Timestamp,
    /// The sealed value, hexadecimal.
    sealed: String,
}

impl SecretValue {
    /// A value.
    ///
    /// # Errors
    /// [`InvalidSecret::Empty`], [`InvalidSecret::TooLong`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, InvalidSecret> {
        match bytes.len() {
            0 => Err(InvalidSecret::Empty),
            1..=SECRET_BYTES => Ok(Self(bytes)),
            _ => Err(InvalidSecret::TooLong),
        }
    }

    /// A value that a program printed or a person typed: without one end of a line after it.
    ///
    /// # Errors
    /// The errors of [`SecretValue::new`].
    pub fn of_text(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, InvalidSecret> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::new(bytes)
    }

    /// The output of a command of the shell, without one end of a line after it. The command is killed
    /// if it does not end in 30 seconds.
    ///
    /// # Errors
    /// [`InvalidSecret::Command`]: the command failed, printed too much, or did not end in time.
    /// [`InvalidSecret::Empty`].
    pub fn of_command(command: &str) -> Result<Self, InvalidSecret> {
        let output = output_of(command, SECRET_BYTES + b"\r\n".len());
        Self::of_text(output.map_err(|problem| InvalidSecret::Command { problem })?)
    }

    /// The value itself. Whoever reads it must not let it reach a log, an error or an answer.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    /// Leaves the value out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

impl SealedSecret {
    fn info(&self, name: SecretName) -> SecretInfo {
        SecretInfo {
            name,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl Lake {
    /// Stores a secret, or replaces its value.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: the tenant's keys cannot be read.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn put_secret(
        &self,
        name: &SecretName,
        value: &SecretValue,
        at: Timestamp,
    ) -> Result<SecretInfo, LakeError> {
        let before = match self.sealed_secret(name).await {
            // Whatever was there is replaced.
            Err(LakeError::Damaged { .. }) => None,
            found => found?,
        };
        let key = Keyring::of(self).stored_or_new(SECRET_KEY).await?;
        let mut secret = SealedSecret {
            created_at: before.map_or(at, |before| before.created_at),
            updated_at: at,
            sealed: String::new(),
        };
        let place = self.associated_data(name, &secret);
        secret.sealed = hex::encode(seal_object(&key, &place, value.expose()));
        let path = self.path(&below(name));
        self.store().put_over(&path, &to_json(&secret)?).await?;
        Ok(secret.info(name.clone()))
    }

    /// The value of a secret; `None` where there is no secret of that name.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Damaged`]: the secret cannot be decrypted: it was changed or copied, or the tenant's
    ///   keys were deleted.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn secret(&self, name: &SecretName) -> Result<Option<SecretValue>, LakeError> {
        match self.sealed_secret(name).await? {
            Some(secret) => self.open_secret(name, &secret).await.map(Some),
            None => Ok(None),
        }
    }

    /// The secrets by name, without their values. No key is needed.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: a secret cannot be parsed.
    /// - [`LakeError::Store`]: the store cannot be read.
    pub async fn secrets(&self) -> Result<Vec<SecretInfo>, LakeError> {
        let mut found = Vec::new();
        for name in self.secret_names().await? {
            // A secret that was deleted since the listing is skipped.
            let secret = self.sealed_secret(&name).await?;
            found.extend(secret.map(|secret| secret.info(name)));
        }
        Ok(found)
    }

    /// Deletes a secret. Returns whether there was one.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn delete_secret(&self, name: &SecretName) -> Result<bool, LakeError> {
        let path = self.path(&below(name));
        if self.store().get_size(&path).await?.is_none() {
            return Ok(false);
        }
        self.store().delete(&path).await?;
        Ok(true)
    }

    /// The names of the secrets, sorted.
    pub(crate) async fn secret_names(&self) -> Result<Vec<SecretName>, LakeError> {
        let names = self.list(FOLDER).await?;
        let names = names.iter().filter_map(|name| name.strip_suffix(".json"));
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// What is wrong with a secret; `None` for a sound one, and for one that is not there. Without the
    /// master key it is not decrypted.
    pub(crate) async fn defect_of_secret(
        &self,
        name: &SecretName,
    ) -> Result<Option<String>, LakeError> {
        let opened = match self.sealed_secret(name).await {
            Ok(Some(secret)) => self.open_secret(name, &secret).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) | Err(LakeError::MasterKey { .. }) => Ok(None),
            Err(LakeError::Damaged { detail, .. }) => Ok(Some(detail)),
            Err(error) => Err(error),
        }
    }

    async fn sealed_secret(&self, name: &SecretName) -> Result<Option<SealedSecret>, LakeError> {
        let below = below(name);
        let found = self.store().get(&self.path(&below)).await?;
        found.map(|bytes| from_json(&below, &bytes)).transpose()
    }

    async fn open_secret(
        &self,
        name: &SecretName,
        secret: &SealedSecret,
    ) -> Result<SecretValue, LakeError> {
        let damaged = || LakeError::Damaged {
            path: below(name),
            detail: CLOSED.to_owned(),
        };
        let key = Keyring::of(self).stored(SECRET_KEY).await?;
        let key: Option<Key> = key.as_deref().and_then(|key| key.try_into().ok());
        let sealed = hex::decode(&secret.sealed).ok();
        let opened = key.zip(sealed).and_then(|(key, sealed)| {
            open_object(&key, &self.associated_data(name, secret), &sealed)
        });
        Ok(SecretValue(Zeroizing::new(opened.ok_or_else(damaged)?)))
    }

    /// What is authenticated with the value of a secret.
    fn associated_data(&self, name: &SecretName, secret: &SealedSecret) -> String {
        let (created, updated) = (secret.created_at.micros(), secret.updated_at.micros());
        format!("{}\n{created}\n{updated}", self.path(&below(name)))
    }
}

/// The object of a secret, relative to the tenant's folder.
pub(crate) fn below(name: &SecretName) -> String {
    format!("{FOLDER}/{name}.json")
}

#[cfg(test)]
mod tests;
