//! From the claims of a token, whose signature and times are checked, to what its holder may do.

use rollbook_model::{TenantName, Timestamp};
use serde_json::{Map, Value};

use super::JwtOptions;
use crate::TokenFault;
use crate::access::grant::{Grant, Login};
use crate::access::rights::Role;

/// Characters of a subject at most.
const MAX_SUBJECT_CHARS: usize = 255;
/// Tenants of a token at most.
const MAX_TENANTS: usize = 100;

/// The grant of a token.
pub(super) fn grant(
    claims: &Map<String, Value>,
    options: &JwtOptions,
) -> Result<Grant, TokenFault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let wrong = |claim: &str| TokenFault::Claim {
        claim: claim.to_owned(),
    };
    // A list of issuers is none: whose token it is has to be clear.
    if text("iss") != Some(&options.issuer) {
        return Err(TokenFault::Issuer);
    }
    let subject = text("sub").filter(|subject| is_plain(subject));
    let subject = subject.ok_or_else(|| wrong("sub"))?.to_owned();
    let ends_at = claims.get("exp").and_then(moment);
    let ends_at = ends_at.ok_or_else(|| wrong("exp"))?;
    let tenants = claims.get(&options.tenant_claim).and_then(tenants);
    let tenants = tenants.ok_or_else(|| wrong(&options.tenant_claim))?;
    let role = text(&options.role_claim).ok_or_else(|| wrong(&options.role_claim))?;
    let role: Role = role
        .parse()
        .map_err(|_| unknown_role(&options.role_claim))?;
    let login = Login::Token {
        issuer: options.issuer.clone(),
        audience: options.audience.clone(),
        subject,
        role,
        ends_at,
    };
    Ok(Grant::of_login(login, role.rights(), tenants))
}

fn is_plain(subject: &str) -> bool {
    let chars = subject.chars().count();
    (1..=MAX_SUBJECT_CHARS).contains(&chars) && !subject.chars().any(char::is_control)
}

/// A moment in seconds, which may have a fraction (RFC 7519, 2).
fn moment(value: &Value) -> Option<Timestamp> {
    let micros = match value.as_i64() {
        Some(seconds) => seconds.saturating_mul(1_000_000),
        // Beyond the range of whole numbers, the conversion gives the nearest one.
        None => (value.as_f64()? * 1e6) as i64,
    };
    Some(Timestamp::from_micros(micros))
}

fn tenants(value: &Value) -> Option<Vec<TenantName>> {
    let name = |value: &Value| value.as_str()?.parse().ok();
    match value {
        Value::Array(names) if (1..=MAX_TENANTS).contains(&names.len()) => {
            names.iter().map(name).collect()
        }
        Value::String(_) => Some(vec![name(value)?]),
        _ => None,
    }
}

fn unknown_role(claim: &str) -> TokenFault {
    let names = Role::ALL.map(|role| format!("`{role}`"));
    TokenFault::Role {
        claim: claim.to_owned(),
        known: names.join(", "),
    }
}
