//! Authenticator: from the token of a request to what its caller may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollbook_model::Timestamp;

use crate::AppError;
use crate::access::grant::{Grant, Login};
use crate::access::jwt::JwtIssuer;
use crate::access::keys::ApiKeys;
use crate::access::record::{KeyRecord, KeyStatus, StoredSecret, any_is_of};
use crate::access::sessions::{IssuedSession, Sessions, StoredLogin};
use crate::access::token::{KeyPrefix, OF_KEY, prefix_of};
use crate::recent::Recent;
use crate::versioned::Documents;

/// The use of a key is noted at most this often.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// Authenticates the callers of a server. Knows the keys and sessions as they were at most a second ago.
#[derive(Debug)]
pub struct Authenticator {
    keys: ApiKeys,
    /// Whether callers need a key also if the lake has none.
    is_closed: bool,
    known: Recent<Documents<KeyRecord>>,
    sessions: Sessions,
    /// Whose JWTs are accepted, if any.
    issuer: Option<JwtIssuer>,
    noted: Mutex<HashMap<KeyPrefix, Instant>>,
    /// What the token of an unknown key is compared with.
    no_secrets: [StoredSecret; 1],
}

impl Authenticator {
    /// An authenticator that has read nothing yet, and accepts no JWT. Callers need no key as long as the lake has none.
    pub fn new(keys: ApiKeys) -> Self {
        Self {
            sessions: Sessions::new(keys.store().clone()),
            keys,
            is_closed: false,
            known: Recent::default(),
            issuer: None,
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

    /// The same, which accepts the JWTs of an issuer, too.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Option<JwtIssuer>) -> Self {
        self.issuer = issuer;
        self
    }

    /// The keys that it knows.
    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// Whose JWTs it accepts, if any.
    pub fn issuer(&self) -> Option<&JwtIssuer> {
        self.issuer.as_ref()
    }

    /// Whether callers need a key or a JWT: as soon as a key was ever created, and always if it is closed or accepts
    /// JWTs. An expired or revoked key does not open the server to everybody.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn needs_key(&self) -> Result<bool, AppError> {
        Ok(self.is_closed || self.issuer.is_some() || !self.known().await?.is_empty())
    }

    /// The grant of a request with this token, of a key or a JWT. A token that nobody issued is refused also where none
    /// is needed: its sender expects to be who it says.
    ///
    /// # Errors
    /// - [`AppError::Unauthenticated`]: a token is needed and missing, or it is of a key that is unknown, expired or
    ///   revoked, which are not told apart.
    /// - [`AppError::InvalidToken`]: the JWT is not accepted.
    /// - The lake cannot be read.
    pub async fn authenticate(
        &self,
        token: Option<&str>,
        at: Timestamp,
    ) -> Result<Grant, AppError> {
        // A JWT has dots, and the token of a key has none.
        if let (Some(issuer), Some(token)) = (&self.issuer, token)
            && token.contains('.')
        {
            return issuer.grant(token).await;
        }
        let mut known = self.known().await?;
        if known.is_empty() && token.is_some() {
            // Whoever sends a key knows of one: the first may have been created a moment ago.
            self.known.forget().await;
            known = self.known().await?;
        }
        let is_open = known.is_empty() && !self.is_closed && self.issuer.is_none();
        if is_open && token.is_none() {
            return Ok(Grant::local());
        }
        let token = token.ok_or(AppError::Unauthenticated { is_missing: true })?;
        let refused = AppError::Unauthenticated { is_missing: false };
        let Some(prefix) = prefix_of(OF_KEY, token) else {
            return Err(refused);
        };
        let record = known.get(&prefix).map(|(_, record)| record);
        let secrets = record.map_or(&self.no_secrets[..], |record| &record.secrets);
        let is_right = any_is_of(secrets, token, at);
        match record {
            Some(record) if is_right && record.status(at) == KeyStatus::Active => {
                let mut secrets = record.secrets.iter();
                let secret = secrets.find(|one| any_is_of(std::slice::from_ref(*one), token, at));
                secret.map(|secret| record.grant(secret)).ok_or(refused)
            }
            _ => Err(refused),
        }
    }

    /// The grant of a request with the token of a session.
    ///
    /// # Errors
    /// - [`AppError::SessionEnded`]: the session is unknown or has ended, or its key has.
    /// - The lake cannot be read.
    pub async fn authenticate_session(
        &self,
        token: &str,
        at: Timestamp,
    ) -> Result<Grant, AppError> {
        if !self.needs_key().await? {
            return Ok(Grant::local());
        }
        let session = self.sessions.find(token, at).await?;
        let grant = match &session.login {
            StoredLogin::Key { prefix, secret } => {
                let known = self.known().await?;
                let record = known.get(prefix).map(|(_, record)| record);
                let record = record.filter(|record| record.status(at) == KeyStatus::Active);
                record.and_then(|record| {
                    let mut secrets = record.secrets.iter();
                    let secret = secrets.find(|one| one.created_at == *secret);
                    let secret = secret.filter(|one| !one.has_ended(at))?;
                    Some(record.grant(secret))
                })
            }
            StoredLogin::Token {
                issuer,
                audience,
                subject,
                role,
                tenants,
            } => {
                // Another server of the lake may accept other tokens.
                let accepted = self.issuer.as_ref();
                let is_accepted = accepted.is_some_and(|own| own.is(issuer, audience));
                let login = Login::Token {
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                    subject: subject.clone(),
                    role: *role,
                    ends_at: session.ends_at,
                };
                is_accepted.then(|| Grant::of_login(login, role.rights(), tenants.clone()))
            }
        };
        let grant = grant.ok_or(AppError::SessionEnded)?;
        Ok(grant.in_session(session.prefix.clone()))
    }

    /// Starts a session of a caller, who used a key or a JWT.
    ///
    /// # Errors
    /// - [`AppError::NoLogin`]: the caller needed neither.
    /// - [`AppError::Unauthenticated`]: the caller uses a session.
    /// - [`AppError::SessionEnded`]: the JWT is over.
    /// - The lake cannot be written.
    pub async fn start_session(
        &self,
        grant: &Grant,
        at: Timestamp,
    ) -> Result<IssuedSession, AppError> {
        self.sessions.start(grant, at).await
    }

    /// Ends the session of a caller; all sessions of a caller who used a key or a JWT.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub async fn end_session(&self, grant: &Grant) -> Result<(), AppError> {
        self.sessions.end(grant).await
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

    async fn known(&self) -> Result<Arc<Documents<KeyRecord>>, AppError> {
        let read =
            |before: Option<Arc<_>>| async move { self.keys.newest(before.as_deref()).await };
        self.known.get(read).await
    }
}

#[cfg(test)]
mod tests;
