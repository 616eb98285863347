//! JWT: callers whom an issuer names, by tokens that it signs.

mod cache;
mod claims;
mod key_set;
mod source;
mod strict;
mod token;
mod verifier;

use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::access::grant::Grant;
use crate::{AppError, TokenFault};
use cache::JwksCache;
use token::UncheckedToken;

pub use source::{InvalidSource, JwksError, JwksSource};

/// Clocks of issuers may differ by this many seconds.
const LEEWAY: u64 = 30;

/// Whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct JwtOptions {
    /// Where the keys of the issuer are.
    pub jwks: JwksSource,
    /// The claim `iss` of the tokens.
    pub issuer: String,
    /// What the claim `aud` of the tokens has to name.
    pub audience: String,
    /// The claim with the tenants.
    pub tenant_claim: String,
    /// The claim with the role.
    pub role_claim: String,
}

impl JwtOptions {
    /// Checks that a file of keys can be used. A URL may answer later.
    ///
    /// # Errors
    /// The file cannot be read, or has no key for an accepted algorithm.
    pub async fn check(&self) -> Result<(), JwksError> {
        let place = self.jwks.to_string();
        match self.jwks {
            JwksSource::File(_) if self.jwks.fetch().await?.keys.is_empty() => {
                Err(JwksError::Empty { place })
            }
            _ => Ok(()),
        }
    }
}

/// Accepts the tokens of one issuer.
#[derive(Debug)]
pub struct JwtIssuer {
    options: JwtOptions,
    keys: JwksCache,
}

impl JwtIssuer {
    /// Knows no keys yet. Each failure to read them is reported.
    pub fn new(options: JwtOptions, report: fn(&JwksError)) -> Self {
        verifier::install();
        let keys = JwksCache::new(options.jwks.clone(), report);
        Self { options, keys }
    }

    /// Fetches the keys, unless they are known already.
    pub async fn fetch_keys(&self) {
        // The failure was reported; requests try again.
        let _ = self.keys.keys_with(None).await;
    }

    /// Whether this issuer, with this audience, issued the token of a session.
    pub(super) fn is(&self, issuer: &str, audience: &str) -> bool {
        self.options.issuer == issuer && self.options.audience == audience
    }

    /// The grant of a request with this token.
    pub(super) async fn grant(&self, token: &str) -> Result<Grant, AppError> {
        let granted = self.checked(token).await;
        granted.map_err(|fault| AppError::InvalidToken { fault })
    }

    async fn checked(&self, token: &str) -> Result<Grant, TokenFault> {
        let unchecked = UncheckedToken::parse(token)?;
        let id = unchecked.key_id.as_deref();
        let keys = self.keys.keys_with(id).await?;
        let key = keys.find(id)?;
        // The algorithm is the one of the key: what a token says is compared, never followed.
        if unchecked.algorithm != key.algorithm {
            return Err(TokenFault::OtherAlgorithm);
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        let decoded = jsonwebtoken::decode::<IgnoredAny>(token, &key.key, &validation);
        decoded.map_err(|error| fault(error.kind(), &unchecked.claims))?;
        claims::grant(&unchecked.claims, &self.options)
    }
}

fn fault(kind: &ErrorKind, claims: &Map<String, Value>) -> TokenFault {
    // The claims are JSON, or the token would have been refused before.
    let is_no_time = |name: &&str| claims.get(*name).is_some_and(|time| !time.is_number());
    match kind {
        ErrorKind::Json(_) => match ["exp", "nbf"].into_iter().find(is_no_time) {
            Some(claim) => TokenFault::Claim {
                claim: claim.to_owned(),
            },
            None => TokenFault::Malformed,
        },
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::NotYetValid,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidAlgorithm => TokenFault::OtherAlgorithm,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            let claim = claim.clone();
            TokenFault::Claim { claim }
        }
        _ => TokenFault::Malformed,
    }
}

#[cfg(test)]
mod tests;
