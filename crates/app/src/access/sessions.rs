//! Sessions: an API key or a JWT exchanged for a secret of an hour, which a browser keeps in a cookie.
//!
//! A session lies at the root of the lake, so that it ends on all servers:
//! `_access/sessions/<prefix>.<caller>.<end>.json`. The file is the session: whoever deletes it ends the session. Its
//! name has a hash of the caller and the end in microseconds, so that nothing has to be read to end the sessions of a
//! caller and to delete those that are over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollbook_lake::Store;
use rollbook_lake::storage::Put;
use rollbook_model::{TenantName, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::AppError;
use crate::access::grant::{Grant, Login};
use crate::access::record::{NO_DIGEST, digest, equal};
use crate::access::rights::Role;
use crate::access::token::{KeyPrefix, OF_SESSION, new_prefix, new_token, prefix_of};
use crate::recent::Recent;
use crate::versioned::{damaged, json};

const FOLDER: &str = "_access/sessions";
/// A session ends after this time in microseconds, or with its key or JWT.
const LENGTH: i64 = 3_600_000_000;
/// Sessions of one caller at most: the oldest ends for one more.
const MAX_OF_CALLER: usize = 100;
/// Expired sessions are deleted at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A new session, with its token, which is shown this once.
#[derive(Clone)]
pub struct IssuedSession {
    /// Whoever has it has the rights of the caller.
    pub token: String,
    /// When it ends.
    pub ends_at: Timestamp,
}

impl std::fmt::Debug for IssuedSession {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends_at = &self.ends_at;
        let mut shown = formatter.debug_struct("IssuedSession");
        shown.field("ends_at", ends_at).finish_non_exhaustive()
    }
}

/// A stored session, without its token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    pub(super) prefix: KeyPrefix,
    /// Hexadecimal SHA-256 of the token, which has 256 random bits.
    sha256: String,
    created_at: Timestamp,
    pub(super) ends_at: Timestamp,
    pub(super) login: StoredLogin,
}

/// How the caller had proved who they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredLogin {
    /// By an API key: what it may do is looked up, so that the session ends with it.
    Key {
        prefix: KeyPrefix,
        secret: Timestamp,
    },
    /// By a JWT.
    Token {
        issuer: String,
        audience: String,
        subject: String,
        role: Role,
        tenants: Vec<TenantName>,
    },
}

/// What the name of a session's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    prefix: KeyPrefix,
    caller: String,
    ends_at: Timestamp,
}

impl Name {
    fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(".json")?.split('.');
        let (prefix, caller, end) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(())?;
        Some(Self {
            prefix: prefix.parse().ok()?,
            caller: caller.to_owned(),
            ends_at: Timestamp::from_micros(end.parse().ok()?),
        })
    }

    fn path(&self) -> String {
        let (prefix, caller) = (&self.prefix, &self.caller);
        format!("{FOLDER}/{prefix}.{caller}.{}.json", self.ends_at.micros())
    }
}

/// The sessions of a lake, as they were at most a second ago.
#[derive(Debug)]
pub(super) struct Sessions {
    store: Store,
    names: Recent<BTreeMap<KeyPrefix, Name>>,
    /// The sessions that were used, which never change.
    records: Mutex<HashMap<KeyPrefix, Arc<SessionRecord>>>,
    swept: Mutex<Option<Instant>>,
}

impl Sessions {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            names: Recent::default(),
            records: Mutex::default(),
            swept: Mutex::default(),
        }
    }

    /// Starts a session of a caller, who used a key or a JWT.
    pub(super) async fn start(
        &self,
        grant: &Grant,
        at: Timestamp,
    ) -> Result<IssuedSession, AppError> {
        let login = grant.login().ok_or(AppError::NoLogin)?;
        if grant.session().is_some() {
            return Err(AppError::Unauthenticated { is_missing: true });
        }
        let (stored, end) = match login {
            Login::Key {
                prefix,
                secret,
                ends_at,
            } => {
                let (prefix, secret) = (prefix.clone(), *secret);
                (StoredLogin::Key { prefix, secret }, *ends_at)
            }
            Login::Token {
                issuer,
                audience,
                subject,
                role,
                ends_at,
            } => {
                let stored = StoredLogin::Token {
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                    subject: subject.clone(),
                    role: *role,
                    tenants: grant.tenants().unwrap_or_default().to_vec(),
                };
                (stored, Some(*ends_at))
            }
        };
        let ends_at = Timestamp::from_micros(at.micros().saturating_add(LENGTH));
        let ends_at = end.map_or(ends_at, |end| end.min(ends_at));
        if ends_at <= at {
            // A JWT within the leeway of clocks.
            return Err(AppError::SessionEnded);
        }
        self.make_room(&caller_of(login), at).await?;
        loop {
            let prefix = new_prefix();
            let token = new_token(OF_SESSION, &prefix);
            let name = Name {
                prefix: prefix.clone(),
                caller: caller_of(login),
                ends_at,
            };
            let record = SessionRecord {
                prefix,
                sha256: digest(&token),
                created_at: at,
                ends_at,
                login: stored.clone(),
            };
            let path = name.path();
            let bytes = json(&path, &record)?;
            if self.store.put_new(&path, &bytes).await? == Put::Done {
                self.names.forget().await;
                return Ok(IssuedSession { token, ends_at });
            }
        }
    }

    /// Ends the session of a caller, or all sessions of a caller who used a key or a JWT.
    pub(super) async fn end(&self, grant: &Grant) -> Result<(), AppError> {
        let Some(login) = grant.login() else {
            return Ok(());
        };
        let caller = caller_of(login);
        for name in self.listed().await? {
            let is_theirs = match grant.session() {
                Some(session) => name.prefix == *session,
                None => name.caller == caller,
            };
            if is_theirs {
                self.store.delete(&name.path()).await?;
            }
        }
        self.names.forget().await;
        Ok(())
    }

    /// The session of a token.
    pub(super) async fn find(
        &self,
        token: &str,
        at: Timestamp,
    ) -> Result<Arc<SessionRecord>, AppError> {
        let refused = || AppError::SessionEnded;
        let prefix = prefix_of(OF_SESSION, token).ok_or_else(refused)?;
        let names = self.names.get(|_| self.read_names(at)).await?;
        let record = match names.get(&prefix) {
            Some(name) => self.record(name).await?,
            None => None,
        };
        // As long for an unknown session as for a wrong secret.
        let stored = record
            .as_ref()
            .map_or(NO_DIGEST, |record| record.sha256.as_str());
        let is_right = bool::from(equal(stored, &digest(token)));
        let record = record.filter(|record| is_right && at < record.ends_at);
        record.ok_or_else(refused)
    }

    /// Ends the oldest sessions of a caller who has too many.
    async fn make_room(&self, caller: &str, at: Timestamp) -> Result<(), AppError> {
        let listed = self.listed().await?.into_iter();
        let live = listed.filter(|name| name.caller == caller && at < name.ends_at);
        let mut live: Vec<Name> = live.collect();
        live.sort_by_key(|name| name.ends_at);
        let excess = (live.len() + 1).saturating_sub(MAX_OF_CALLER);
        for name in &live[..excess] {
            self.store.delete(&name.path()).await?;
        }
        Ok(())
    }

    async fn listed(&self) -> Result<Vec<Name>, AppError> {
        let files = self.store.list(FOLDER).await?;
        Ok(files.iter().filter_map(|file| Name::parse(file)).collect())
    }

    /// The sessions that are not over, by prefix. Files of others are deleted.
    async fn read_names(&self, at: Timestamp) -> Result<BTreeMap<KeyPrefix, Name>, AppError> {
        let listed = self.listed().await?.into_iter();
        let (live, over): (Vec<Name>, Vec<Name>) = listed.partition(|name| at < name.ends_at);
        let live = live.into_iter().map(|name| (name.prefix.clone(), name));
        let live: BTreeMap<KeyPrefix, Name> = live.collect();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|prefix, _| live.contains_key(prefix));
        drop(records);
        if !over.is_empty() && self.is_sweep_due() {
            let store = self.store.clone();
            tokio::spawn(async move {
                for name in over {
                    // What stays now is deleted by a later sweep.
                    let _ = store.delete(&name.path()).await;
                }
            });
        }
        Ok(live)
    }

    fn is_sweep_due(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = swept.is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL);
        if is_due {
            *swept = Some(Instant::now());
        }
        is_due
    }

    /// The session of a name; `None` if it has ended meanwhile.
    async fn record(&self, name: &Name) -> Result<Option<Arc<SessionRecord>>, AppError> {
        let known = {
            let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            records.get(&name.prefix).cloned()
        };
        if known.is_some() {
            return Ok(known);
        }
        let path = name.path();
        let Some(bytes) = self.store.get(&path).await? else {
            return Ok(None);
        };
        let record: SessionRecord =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error.to_string()))?;
        if record.prefix != name.prefix {
            return Err(damaged(&path, "it holds another session"));
        }
        let record = Arc::new(record);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(name.prefix.clone(), Arc::clone(&record));
        Ok(Some(record))
    }
}

/// A hash of who a caller is: the same for all sessions of a key, and for all of a subject.
fn caller_of(login: &Login) -> String {
    let named = match login {
        Login::Key { prefix, .. } => format!("key {prefix}"),
        Login::Token {
            issuer, subject, ..
        } => format!("subject {issuer}\n{subject}"),
    };
    hex::encode(&Sha256::digest(named)[..8])
}

#[cfg(test)]
mod tests;
