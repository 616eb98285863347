//! Grant: what one caller may do, and in which tenants.

use std::sync::Arc;

use rollbook_model::{TenantName, Timestamp};

use crate::AppError;
use crate::access::bounds::Bounds;
use crate::access::rights::{Right, Rights, Role};
use crate::access::token::KeyPrefix;

/// What a caller may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// How the caller proved who they are; `None` for the local administrator, and for callers who need no proof.
    login: Option<Login>,
    /// The session of the caller, if they use one.
    session: Option<KeyPrefix>,
    /// Their rights.
    pub rights: Rights,
    /// The tenants that they may name; `None` means all.
    tenants: Option<Vec<TenantName>>,
    /// What their key is bound to, if it is.
    bounds: Option<Arc<Bounds>>,
    /// Whether their key is one to try the server with.
    is_trial: bool,
}

/// How a caller proved who they are.
#[derive(Debug, Clone)]
pub(super) enum Login {
    /// By the token of an API key.
    Key {
        prefix: KeyPrefix,
        /// When the token was created: after a rotation there are two.
        secret: Timestamp,
        /// When the token ends.
        ends_at: Option<Timestamp>,
    },
    /// By a JWT.
    Token {
        issuer: String,
        audience: String,
        subject: String,
        role: Role,
        ends_at: Timestamp,
    },
}

/// Who a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// The command line, a caller of a server that needs no key, or a request that was checked elsewhere.
    Local,
    /// The holder of an API key.
    Key(&'a KeyPrefix),
    /// The subject of a JWT: the claim `sub`, which may be a personal value.
    Subject(&'a str),
}

impl Grant {
    /// The grant of the local administrator: the command line, and callers of a server without keys.
    pub fn local() -> Self {
        Self {
            login: None,
            session: None,
            rights: Rights::ALL,
            tenants: None,
            bounds: None,
            is_trial: false,
        }
    }

    /// The grant of an anonymous caller: nothing, in no tenant.
    pub fn nobody() -> Self {
        Self::forwarded(Rights::NONE)
    }

    /// The grant of a request that a server has checked and forwards to a worker.
    pub fn forwarded(rights: Rights) -> Self {
        Self {
            tenants: Some(Vec::new()),
            rights,
            ..Self::local()
        }
    }

    /// The grant of a caller who proved who they are.
    pub(super) fn of_login(login: Login, rights: Rights, tenants: Vec<TenantName>) -> Self {
        Self {
            login: Some(login),
            session: None,
            rights,
            tenants: Some(tenants),
            bounds: None,
            is_trial: false,
        }
    }

    /// The same for the holder of a trial key, or not.
    #[must_use]
    pub(super) fn on_trial(mut self, is_trial: bool) -> Self {
        self.is_trial = is_trial;
        self
    }

    /// The trial key of the caller, if they have one: its rows are limited.
    pub fn trial_key(&self) -> Option<&KeyPrefix> {
        match self.caller() {
            Caller::Key(prefix) if self.is_trial => Some(prefix),
            _ => None,
        }
    }

    /// The same for the holder of a key with these bounds, which leave only the rights that bound keys can have.
    #[must_use]
    pub fn bound_to(mut self, bounds: &Bounds) -> Self {
        if !bounds.is_empty() {
            self.rights = self.rights.within(Bounds::RIGHTS);
            self.bounds = Some(Arc::new(bounds.clone()));
        }
        self
    }

    /// What the key of the caller is bound to, if it is.
    pub fn bounds(&self) -> Option<&Arc<Bounds>> {
        self.bounds.as_ref()
    }

    /// Those of some columns of persons that are masked for the caller.
    pub fn masked(&self, columns: &[String]) -> Vec<String> {
        let bounds = self.bounds.as_ref();
        let is_masked = |column: &&String| bounds.is_some_and(|bounds| bounds.masks(column));
        columns.iter().filter(is_masked).cloned().collect()
    }

    /// Refuses a caller with less than what the holder of a key may see and do.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] names the first missing right; [`AppError::BoundKey`]; [`AppError::TrialKey`].
    pub(super) fn require_as_much(
        &self,
        rights: Rights,
        bounds: &Bounds,
        is_trial: bool,
    ) -> Result<(), AppError> {
        self.require(&rights.iter().collect::<Vec<_>>())?;
        if self.is_trial && !is_trial {
            return Err(AppError::TrialKey);
        }
        match self.bounds.as_ref().is_none_or(|own| own.contains(bounds)) {
            true => Ok(()),
            false => Err(AppError::BoundKey),
        }
    }

    /// The same for a caller who uses a session.
    pub(super) fn in_session(mut self, session: KeyPrefix) -> Self {
        self.session = Some(session);
        self
    }

    /// How the caller proved who they are.
    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The session of the caller, if they use one.
    pub(super) fn session(&self) -> Option<&KeyPrefix> {
        self.session.as_ref()
    }

    /// Who the caller is.
    pub fn caller(&self) -> Caller<'_> {
        match &self.login {
            None => Caller::Local,
            Some(Login::Key { prefix, .. }) => Caller::Key(prefix),
            Some(Login::Token { subject, .. }) => Caller::Subject(subject),
        }
    }

    /// When the API key of the caller ends, if they use one that does; that of a rotated token, too.
    pub(super) fn key_ends_at(&self) -> Option<Timestamp> {
        match &self.login {
            Some(Login::Key { ends_at, .. }) => *ends_at,
            Some(Login::Token { .. }) | None => None,
        }
    }

    /// Whether the caller is the local administrator.
    pub fn is_local(&self) -> bool {
        self.tenants.is_none()
    }

    /// Whether the caller may know of a tenant.
    pub fn covers(&self, tenant: &TenantName) -> bool {
        let tenants = self.tenants.as_ref();
        tenants.is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether the caller may know of all these tenants.
    pub fn covers_all(&self, tenants: &[TenantName]) -> bool {
        tenants.iter().all(|tenant| self.covers(tenant))
    }

    /// The tenants that the caller may know of; `None` means all.
    pub fn tenants(&self) -> Option<&[TenantName]> {
        self.tenants.as_deref()
    }

    /// Refuses a caller without all of `needed`.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] names the first missing right.
    pub fn require(&self, needed: &[Right]) -> Result<(), AppError> {
        match self.rights.missing(needed) {
            None => Ok(()),
            Some(right) => Err(AppError::Forbidden {
                right: right.name(),
            }),
        }
    }
}
