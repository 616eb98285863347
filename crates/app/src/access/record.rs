//! A key as it is stored: without its token, which only its holder has.

use rollbook_model::{TenantName, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::access::bounds::Bounds;
use crate::access::grant::{Grant, Login};
use crate::access::rights::{Right, Rights, Role};
use crate::access::scram::{self, ITERATIONS, SALT_BYTES};
use crate::access::token::{KeyPrefix, random};

/// The digest of no token.
pub(super) const NO_DIGEST: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";

/// A stored key. Every change is stored as a new version, so that no change is lost to another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) prefix: KeyPrefix,
    pub(super) name: String,
    pub(super) role: Role,
    /// Rights beyond those of the role.
    pub(super) rights: Vec<Right>,
    pub(super) tenants: Vec<TenantName>,
    /// What it is bound to.
    #[serde(flatten)]
    pub(super) bounds: Bounds,
    /// Whether its rows are limited.
    #[serde(default)]
    pub(super) trial: bool,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revoked_at: Option<Timestamp>,
    /// The secret, and after a rotation the one before.
    pub(super) secrets: Vec<StoredSecret>,
}

/// What is stored of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredSecret {
    /// Hexadecimal SHA-256 of the token, which has 256 random bits: a slow hash would add nothing.
    sha256: String,
    /// The SCRAM-SHA-256 verifier of the token.
    scram: String,
    pub(super) created_at: Timestamp,
    /// When it ends, after a rotation.
    pub(super) until: Option<Timestamp>,
}

/// A key without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its prefix, by which commands name it.
    pub prefix: KeyPrefix,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Rights beyond those of the role.
    pub rights: Vec<Right>,
    /// The tenants that it may be used for.
    pub tenants: Vec<TenantName>,
    /// What it is bound to.
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Whether its rows are limited.
    pub trial: bool,
    /// Whether it can be used.
    pub status: KeyStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When the secret before the last rotation ends, if it has not ended yet.
    pub overlap_until: Option<Timestamp>,
    /// When a server answered a request with it, up to a minute late.
    pub last_used_at: Option<Timestamp>,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It can be used.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyStatus {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Active, Self::Expired, Self::Revoked];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl StoredSecret {
    /// The secret of a new token.
    pub(super) fn of(token: &str, at: Timestamp) -> Self {
        let salt = random::<SALT_BYTES>();
        Self {
            sha256: digest(token),
            scram: scram::verifier(token, &salt, ITERATIONS),
            created_at: at,
            until: None,
        }
    }

    /// A secret that no token has.
    pub(super) fn of_no_token() -> Self {
        Self {
            sha256: NO_DIGEST.to_owned(),
            scram: String::new(),
            created_at: Timestamp::from_micros(0),
            until: None,
        }
    }

    pub(super) fn has_ended(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}

/// Whether any of these secrets is that of a token at a moment. Takes the same time whichever one it is, and
/// wherever it differs.
pub(super) fn any_is_of(secrets: &[StoredSecret], token: &str, at: Timestamp) -> bool {
    let digest = digest(token);
    let mut found = Choice::from(0);
    for secret in secrets {
        let is_equal = equal(&secret.sha256, &digest);
        found |= is_equal & Choice::from(u8::from(!secret.has_ended(at)));
    }
    found.into()
}

/// What is stored of a secret text with 256 random bits.
pub(super) fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Compares digests, in the same time wherever they differ.
pub(super) fn equal(one: &str, other: &str) -> Choice {
    one.as_bytes().ct_eq(other.as_bytes())
}

/// The rights of a role and others, as far as bounds leave them.
pub(super) fn rights_of(role: Role, added: &[Right], bounds: &Bounds) -> Rights {
    let added: Rights = added.iter().copied().collect();
    let rights = role.rights().with(added);
    match bounds.is_empty() {
        true => rights,
        false => rights.within(Bounds::RIGHTS),
    }
}

impl KeyRecord {
    pub(super) fn status(&self, at: Timestamp) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(end)) if end <= at => KeyStatus::Expired,
            (None, _) => KeyStatus::Active,
        }
    }

    /// The grant of the holder of a secret of this key.
    pub(super) fn grant(&self, secret: &StoredSecret) -> Grant {
        let ends = [self.expires_at, secret.until];
        let login = Login::Key {
            prefix: self.prefix.clone(),
            secret: secret.created_at,
            ends_at: ends.into_iter().flatten().min(),
        };
        let grant = Grant::of_login(login, self.rights(), self.tenants.clone());
        grant.bound_to(&self.bounds).on_trial(self.trial)
    }

    /// What its holder may do.
    pub(super) fn rights(&self) -> Rights {
        rights_of(self.role, &self.rights, &self.bounds)
    }

    pub(super) fn info(&self, last_used_at: Option<Timestamp>, at: Timestamp) -> KeyInfo {
        let mut ending = self.secrets.iter().filter(|secret| !secret.has_ended(at));
        KeyInfo {
            prefix: self.prefix.clone(),
            name: self.name.clone(),
            role: self.role,
            rights: self.rights.clone(),
            tenants: self.tenants.clone(),
            bounds: self.bounds.clone(),
            trial: self.trial,
            status: self.status(at),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            overlap_until: ending.find_map(|secret| secret.until),
            last_used_at,
        }
    }
}
