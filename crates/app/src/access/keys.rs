//! API keys: creating, listing, rotating and revoking them.
//!
//! A key lies at the root of the lake, since it can be for several tenants: `_access/keys/<prefix>.<version>.json`.
//! Names of tenants never begin with `_`, and what works on a tenant's folder does not see this one.

mod first_key;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use rollbook_lake::Store;
use rollbook_lake::storage::Put;
use rollbook_model::{Span, TenantName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AppError;
use crate::access::bounds::Bounds;
use crate::access::grant::Grant;
use crate::access::record::{KeyInfo, KeyRecord, KeyStatus, StoredSecret, rights_of};
use crate::access::rights::{Right, Rights, Role};
use crate::access::token::{KeyPrefix, OF_KEY, new_prefix, new_token};
use crate::versioned::{Documents, Named, Versioned, damaged, json};

const FOLDER: &str = "_access/keys";
/// When keys were used last: apart from the keys, so that noting it never meets a revocation.
const USES: &str = "_access/uses";
/// Attempts to store a change while others change the same key.
const ATTEMPTS: u32 = 20;
/// Characters of a name at most.
const MAX_NAME_CHARS: usize = 255;
/// Segments, tags or columns of one key at most.
const MAX_BOUNDS: usize = 100;

/// A key to be created.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name, for people.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Rights beyond those of the role.
    pub rights: Vec<Right>,
    /// The tenants that it may be used for.
    pub tenants: Vec<TenantName>,
    /// What it is bound to.
    pub bounds: Bounds,
    /// Whether its rows are limited.
    pub trial: bool,
    /// When it ends; `None` for never.
    pub expires: Option<Span>,
}

impl NewKey {
    /// Checks its name and bounds.
    fn check(&self) -> Result<(), AppError> {
        let chars = self.name.chars().count();
        let is_plain = !self.name.chars().any(char::is_control);
        if self.name.trim().is_empty() || chars > MAX_NAME_CHARS || !is_plain {
            return Err(AppError::InvalidKeyName);
        }
        if self.bounds.is_empty() {
            return Ok(());
        }
        let Bounds {
            segments,
            tags,
            channels,
            columns,
        } = &self.bounds;
        let longest = [segments.len(), tags.len(), channels.len(), columns.len()];
        let has_too_many = longest.into_iter().any(|len| len > MAX_BOUNDS);
        let is_name = |text: &String| {
            !text.trim().is_empty() && text.chars().count() <= MAX_NAME_CHARS && text.is_ascii()
        };
        if has_too_many || tags.iter().any(String::is_empty) || !columns.iter().all(is_name) {
            return Err(AppError::InvalidBounds);
        }
        let mut added = self.rights.iter();
        match added.find(|right| !Bounds::RIGHTS.has(**right)) {
            Some(right) => Err(AppError::UnboundRight {
                right: right.name(),
            }),
            None => Ok(()),
        }
    }
}

/// A key with its new token, which is shown this once.
#[derive(Clone, Serialize)]
pub struct IssuedKey {
    /// The token: whoever has it has the rights of the key.
    pub token: String,
    /// The key.
    #[serde(flatten)]
    pub key: KeyInfo,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("IssuedKey").field(&self.key).finish()
    }
}

/// When a key was used last.
#[derive(Serialize, Deserialize)]
struct LastUse {
    at: Timestamp,
}

/// The API keys of a lake.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    records: Versioned<KeyRecord>,
}

impl Named for KeyRecord {
    type Name = KeyPrefix;

    fn name(&self) -> &KeyPrefix {
        &self.prefix
    }
}

impl ApiKeys {
    pub(crate) fn new(store: Store) -> Self {
        let records = Versioned::new(store, FOLDER);
        Self { records }
    }

    /// Where they are stored.
    pub(super) fn store(&self) -> &Store {
        self.records.store()
    }

    /// Creates a key with a new token.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] if the key would have a right that `by` lacks, [`AppError::BoundKey`] or [`AppError::TrialKey`]
    /// if it would see more than `by`; [`AppError::UnknownTenant`] for a tenant that `by` may not know of;
    /// [`AppError::InvalidKeyName`]; [`AppError::InvalidBounds`]; [`AppError::UnboundRight`]; the lake cannot be
    /// written.
    pub async fn create(
        &self,
        new: &NewKey,
        by: &Grant,
        at: Timestamp,
    ) -> Result<IssuedKey, AppError> {
        new.check()?;
        if let Some(tenant) = new.tenants.iter().find(|tenant| !by.covers(tenant)) {
            let tenant = tenant.to_string();
            return Err(AppError::UnknownTenant { tenant });
        }
        let rights = rights_of(new.role, &new.rights, &new.bounds);
        by.require_as_much(rights, &new.bounds, new.trial)?;
        let ends_at = new.expires.map(|span| later(at, span));
        // A key that ends creates none that lasts longer.
        let ends_at = [ends_at, by.key_ends_at()].into_iter().flatten().min();
        loop {
            if let Some(issued) = self.issue(new_prefix(), new, ends_at, at).await? {
                return Ok(issued);
            }
        }
    }

    /// Stores a new key; `None` if there is one with this prefix.
    async fn issue(
        &self,
        prefix: KeyPrefix,
        new: &NewKey,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Option<IssuedKey>, AppError> {
        let token = new_token(OF_KEY, &prefix);
        let added: Rights = new.rights.iter().copied().collect();
        let mut tenants = new.tenants.clone();
        tenants.sort();
        tenants.dedup();
        let record = KeyRecord {
            prefix,
            name: new.name.clone(),
            role: new.role,
            rights: added.iter().collect(),
            tenants,
            bounds: new.bounds.sorted(),
            trial: new.trial,
            created_at: at,
            expires_at,
            revoked_at: None,
            secrets: vec![StoredSecret::of(&token, at)],
        };
        let is_put = self.records.put(&record, 1).await? == Put::Done;
        let key = record.info(None, at);
        Ok(is_put.then_some(IssuedKey { token, key }))
    }

    /// Whether the lake ever had a key.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn any(&self) -> Result<bool, AppError> {
        Ok(!self.versions().await?.is_empty())
    }

    /// The keys that `by` may know of, by creation.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn list(&self, by: &Grant, at: Timestamp) -> Result<Vec<KeyInfo>, AppError> {
        let records = self.newest(None).await?.into_values();
        let known = records.filter(|(_, record)| by.covers_all(&record.tenants));
        let known: Vec<Arc<KeyRecord>> = known.map(|(_, record)| record).collect();
        let uses = known.iter().map(|record| self.last_use(&record.prefix));
        let uses = try_join_all(uses).await?;
        let listed = known.iter().zip(uses);
        let mut listed: Vec<KeyInfo> = listed.map(|(record, used)| record.info(used, at)).collect();
        listed.sort_by(|a, b| (a.created_at, &a.prefix).cmp(&(b.created_at, &b.prefix)));
        Ok(listed)
    }

    /// Gives a key a new token. The token before works for `overlap` more; one from a rotation before that ends.
    ///
    /// # Errors
    /// [`AppError::UnknownKey`]; [`AppError::KeyEnded`] if it expired or was revoked; [`AppError::Forbidden`] or
    /// [`AppError::BoundKey`] if it may do or see more than `by`; the lake cannot be written.
    pub async fn rotate(
        &self,
        prefix: &KeyPrefix,
        overlap: Span,
        by: &Grant,
        at: Timestamp,
    ) -> Result<IssuedKey, AppError> {
        let token = new_token(OF_KEY, prefix);
        let secret = StoredSecret::of(&token, at);
        let rotated = self.change(prefix, by, |record| {
            let status = record.status(at);
            if status != KeyStatus::Active {
                return Err(AppError::KeyEnded {
                    prefix: prefix.clone().into(),
                    status: status.name(),
                });
            }
            record.secrets.retain(|secret| secret.until.is_none());
            for before in &mut record.secrets {
                before.until = Some(later(at, overlap));
            }
            record.secrets.push(secret.clone());
            Ok(true)
        });
        let record = rotated.await?;
        let key = record.info(self.last_use(prefix).await?, at);
        Ok(IssuedKey { token, key })
    }

    /// Revokes a key for good. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`AppError::UnknownKey`]; [`AppError::Forbidden`] or [`AppError::BoundKey`] if it may do or see more than
    /// `by`; the lake cannot be written.
    pub async fn revoke(
        &self,
        prefix: &KeyPrefix,
        by: &Grant,
        at: Timestamp,
    ) -> Result<KeyInfo, AppError> {
        let revoked = self.change(prefix, by, |record| {
            let is_new = record.revoked_at.is_none();
            record.revoked_at.get_or_insert(at);
            Ok(is_new)
        });
        let record = revoked.await?;
        Ok(record.info(self.last_use(prefix).await?, at))
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn note_use(&self, prefix: &KeyPrefix, at: Timestamp) -> Result<(), AppError> {
        let path = use_path(prefix);
        let bytes = json(&path, &LastUse { at })?;
        Ok(self.store().put_over(&path, &bytes).await?)
    }

    /// Stores a change of a key, once `edit` has made it on the newest version; nothing if `edit` returns false.
    async fn change(
        &self,
        prefix: &KeyPrefix,
        by: &Grant,
        edit: impl Fn(&mut KeyRecord) -> Result<bool, AppError>,
    ) -> Result<KeyRecord, AppError> {
        let unknown = || AppError::UnknownKey {
            prefix: prefix.clone().into(),
        };
        for _ in 0..ATTEMPTS {
            let versions = self.versions().await?;
            // An unknown key takes as long as one of other tenants: some record is read for it, too.
            let found = versions.get_key_value(prefix);
            let (known, version) = found
                .or_else(|| versions.iter().next())
                .ok_or_else(unknown)?;
            let (mut record, version) = (self.records.read(known, *version).await?, *version);
            if found.is_none() || !by.covers_all(&record.tenants) {
                return Err(unknown());
            }
            by.require_as_much(record.rights(), &record.bounds, record.trial)?;
            if !edit(&mut record)? || self.records.put(&record, version + 1).await? == Put::Done {
                return Ok(record);
            }
        }
        Err(AppError::KeyBusy {
            prefix: prefix.clone().into(),
        })
    }

    /// The number of the newest version of each key.
    pub(super) async fn versions(&self) -> Result<BTreeMap<KeyPrefix, u64>, AppError> {
        self.records.versions().await
    }

    /// The newest version of each key. Those that are known already are not read again.
    pub(super) async fn newest(
        &self,
        known: Option<&Documents<KeyRecord>>,
    ) -> Result<Documents<KeyRecord>, AppError> {
        self.records.newest(known).await
    }

    async fn last_use(&self, prefix: &KeyPrefix) -> Result<Option<Timestamp>, AppError> {
        let path = use_path(prefix);
        let found = self.store().get(&path).await?;
        let parsed = found.map(|bytes| serde_json::from_slice::<LastUse>(&bytes));
        let parsed = parsed.transpose();
        let parsed = parsed.map_err(|error| damaged(&path, &error.to_string()))?;
        Ok(parsed.map(|last| last.at))
    }
}

fn later(at: Timestamp, span: Span) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(span.micros()))
}

fn use_path(prefix: &KeyPrefix) -> String {
    format!("{USES}/{prefix}.json")
}
