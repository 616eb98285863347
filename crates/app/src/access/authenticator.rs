//! Authenticator: from the token of a request to what its caller may do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rollbook_model::Timestamp;

use crate::AppError;
use crate::access::grant::Grant;
use crate::access::keys::ApiKeys;
use crate::access::record::{KeyRecord, KeyStatus, StoredSecret, any_is_of};
use crate::access::token::{KeyPrefix, prefix_of};

/// After this time the keys are read again, by one request while others go on with what is known.
const REFRESH_AFTER: Duration = Duration::from_millis(400);
/// After this time no request goes on without reading them again.
const MAX_AGE: Duration = Duration::from_millis(800);
/// The use of a key is noted at most this often.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// Authenticates the callers of a server. Knows the keys as they were at most a second ago.
#[derive(Debug)]
pub struct Authenticator {
    keys: ApiKeys,
    /// Whether callers need a key also if the lake has none.
    is_closed: bool,
    known: RwLock<Option<Arc<KnownKeys>>>,
    reading: tokio::sync::Mutex<()>,
    noted: Mutex<HashMap<KeyPrefix, Instant>>,
    /// What the token of an unknown key is compared with.
    no_secrets: [StoredSecret; 1],
}

/// The keys as they were read.
#[derive(Debug)]
struct KnownKeys {
    /// When reading began.
    read_at: Instant,
    /// The newest version of each, with its number.
    records: BTreeMap<KeyPrefix, (u64, Arc<KeyRecord>)>,
}

impl Authenticator {
    /// An authenticator that has read nothing yet. Callers need no key as long as the lake has none.
    pub fn new(keys: ApiKeys) -> Self {
        Self {
            keys,
            is_closed: false,
            known: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            noted: Mutex::default(),
            no_secrets: [StoredSecret::of_no_token()],
        }
    }

    /// One that refuses callers without a key also if the lake has none, for a server that others can reach.
    pub fn closed(keys: ApiKeys) -> Self {
        Self {
            is_closed: true,
            ..Self::new(keys)
        }
    }

    /// The keys that it knows.
    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// Whether callers need a key: always if it is closed, else as soon as one was ever created. An expired or revoked key does not open the
    /// server to everybody.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn needs_key(&self) -> Result<bool, AppError> {
        Ok(self.is_closed || !self.known().await?.records.is_empty())
    }

    /// The grant of a request with this token.
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`] if a key is needed and the token is missing, unknown, expired or revoked, which
    /// are not told apart; the lake cannot be read.
    pub async fn authenticate(
        &self,
        token: Option<&str>,
        at: Timestamp,
    ) -> Result<Grant, AppError> {
        let known = self.known().await?;
        if known.records.is_empty() && !self.is_closed {
            return Ok(Grant::local());
        }
        let token = token.ok_or(AppError::Unauthenticated { is_missing: true })?;
        let refused = AppError::Unauthenticated { is_missing: false };
        let Some(prefix) = prefix_of(token) else {
            return Err(refused);
        };
        let record = known.records.get(&prefix).map(|(_, record)| record);
        let secrets = record.map_or(&self.no_secrets[..], |record| &record.secrets);
        let is_right = any_is_of(secrets, token, at);
        match record {
            Some(record) if is_right && record.status(at) == KeyStatus::Active => {
                Ok(record.grant())
            }
            _ => Err(refused),
        }
    }

    /// Whether the use of a key is to be noted now, because it was not for a minute.
    pub fn is_use_due(&self, prefix: &KeyPrefix) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = noted
            .get(prefix)
            .is_some_and(|at| at.elapsed() < USE_INTERVAL);
        if !is_recent {
            noted.insert(prefix.clone(), Instant::now());
        }
        !is_recent
    }

    /// The keys as they were at most [`MAX_AGE`] ago.
    async fn known(&self) -> Result<Arc<KnownKeys>, AppError> {
        let younger_than = |age| {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let known = known.as_ref().filter(|known| known.read_at.elapsed() < age);
            known.cloned()
        };
        if let Some(known) = younger_than(REFRESH_AFTER) {
            return Ok(known);
        }
        let _reading = match (self.reading.try_lock(), younger_than(MAX_AGE)) {
            (Ok(reading), _) => reading,
            // Another request is reading.
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(known) = younger_than(REFRESH_AFTER) {
            return Ok(known);
        }
        let read = Arc::new(self.read().await?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(&read));
        Ok(read)
    }

    async fn read(&self) -> Result<KnownKeys, AppError> {
        let read_at = Instant::now();
        let before = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.clone()
        };
        let versions = self.keys.versions().await?.into_iter();
        let read = versions.map(|(prefix, version)| {
            let before = before.as_ref();
            let before = before.and_then(|known| known.records.get(&prefix)).cloned();
            async move {
                // A version never changes.
                let record = match before {
                    Some((known, record)) if known == version => record,
                    _ => Arc::new(self.keys.read(&prefix, version).await?),
                };
                Ok::<_, AppError>((prefix, (version, record)))
            }
        });
        let records = try_join_all(read).await?.into_iter().collect();
        Ok(KnownKeys { read_at, records })
    }
}

#[cfg(test)]
mod tests;
