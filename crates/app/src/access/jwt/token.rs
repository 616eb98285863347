//! A JWT as it arrives: its parts, read strictly, before anything of it is believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::strict::{self, NotStrict};
use crate::TokenFault;

/// Bytes of a token at most.
const MAX_BYTES: usize = 8192;
/// Members of a header that would change how a token is checked: extensions that have to be understood, and keys of
/// the token's own choice.
const REFUSED: [&str; 5] = ["crit", "jwk", "jku", "x5u", "x5c"];
/// What a token may say that it is, besides nothing (RFC 7519, 5.1; RFC 9068, 2.1).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token whose signature is not checked yet.
#[derive(Debug)]
pub(super) struct UncheckedToken {
    /// The algorithm that it names.
    pub(super) algorithm: Algorithm,
    /// The key that it names.
    pub(super) key_id: Option<String>,
    /// What it claims.
    pub(super) claims: Map<String, Value>,
}

impl UncheckedToken {
    /// Reads a token.
    pub(super) fn parse(token: &str) -> Result<Self, TokenFault> {
        if token.len() > MAX_BYTES {
            return Err(TokenFault::TooLong { max: MAX_BYTES });
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, _signature] = parts[..] else {
            return Err(TokenFault::Malformed);
        };
        let (header, claims) = (object(header)?, object(claims)?);
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.ok_or(TokenFault::Malformed)?;
        let algorithm = accepted(algorithm).ok_or(TokenFault::Algorithm)?;
        if let Some(member) = REFUSED.into_iter().find(|name| header.contains_key(*name)) {
            return Err(TokenFault::Header { member });
        }
        if let Some(named) = text(&header, "typ")? {
            let lower = named.to_ascii_lowercase();
            let lower = lower.strip_prefix("application/").unwrap_or(&lower);
            if !TYPES.contains(&lower) {
                return Err(TokenFault::Type);
            }
        }
        let key_id = text(&header, "kid")?.map(str::to_owned);
        Ok(Self {
            algorithm,
            key_id,
            claims,
        })
    }
}

/// The algorithm of a name, if it is accepted.
fn accepted(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    let bytes = bytes.map_err(|_| TokenFault::Malformed)?;
    strict::object(&bytes).map_err(|fault| match fault {
        NotStrict::Malformed => TokenFault::Malformed,
        NotStrict::Repeated => TokenFault::Repeated,
    })
}

/// A member of a header that is a text, if it is there.
fn text<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenFault> {
    let member = header.get(name);
    let text = member.map(|value| value.as_str().ok_or(TokenFault::Malformed));
    text.transpose()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Algorithm;

    use super::{MAX_BYTES, UncheckedToken};
    use crate::TokenFault;

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.c2ln")
    }

    #[test]
    fn header_and_claims_are_read() {
        let text = token(
            r#"{"alg": "ES256", "kid": "a", "typ": "application/AT+JWT", "x5t": "b"}"#,
            r#"{"sub": "kim"}"#,
        );
        let read = UncheckedToken::parse(&text).unwrap();
        assert_eq!(read.algorithm, Algorithm::ES256);
        assert_eq!(read.key_id.as_deref(), Some("a"));
        assert_eq!(read.claims["sub"], "kim");
        let plain = UncheckedToken::parse(&token(r#"{"alg": "EdDSA"}"#, "{}")).unwrap();
        assert_eq!((plain.algorithm, plain.key_id), (Algorithm::EdDSA, None));
    }

    #[test]
    fn other_headers_are_refused() {
        let check = |header: &str, expected: &TokenFault| {
            let refused = UncheckedToken::parse(&token(header, "{}")).unwrap_err();
            assert_eq!(refused, *expected, "{header}");
        };
        for algorithm in [
            "none", "None", "", "HS256", "RS512", "PS256", "ES384", "rs256",
        ] {
            let header = format!(r#"{{"alg": "{algorithm}"}}"#);
            check(&header, &TokenFault::Algorithm);
        }
        for member in ["crit", "jwk", "jku", "x5u", "x5c"] {
            let header = format!(r#"{{"alg": "RS256", "{member}": null}}"#);
            check(&header, &TokenFault::Header { member });
        }
        check(
            r#"{"alg": "RS256", "typ": "logout+jwt"}"#,
            &TokenFault::Type,
        );
        check(r#"{"alg": "RS256", "alg": "none"}"#, &TokenFault::Repeated);
        for header in [
            "",
            "{}",
            "[]",
            r#"{"alg": 1}"#,
            r#"{"alg": "RS256", "kid": 1}"#,
            r#"{"alg": "RS256", "typ": null}"#,
        ] {
            check(header, &TokenFault::Malformed);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = token(r#"{"alg": "RS256"}"#, "{}");
        let longer = format!("{good}{}", "A".repeat(MAX_BYTES));
        let too_long = TokenFault::TooLong { max: MAX_BYTES };
        assert_eq!(UncheckedToken::parse(&longer).unwrap_err(), too_long);
        let twice = token(r#"{"alg": "RS256"}"#, r#"{"exp": 1, "exp": 2}"#);
        assert_eq!(
            UncheckedToken::parse(&twice).unwrap_err(),
            TokenFault::Repeated
        );
        let five = format!("{good}.YQ.YQ");
        let padded = good.replacen('.', "=.", 1);
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            &five,
            &padded,
            &good[..good.len() - 5],
        ] {
            let refused = UncheckedToken::parse(text).unwrap_err();
            assert_eq!(refused, TokenFault::Malformed, "{text}");
        }
    }
}
