//! The public keys of an issuer: a JWK set (RFC 7517), of which the keys for the accepted algorithms count.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::strict;
use crate::TokenFault;

/// Keys of a set at most.
const MAX_KEYS: usize = 100;
/// Bytes of an RSA modulus: 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Bytes of a coordinate of P-256, and of a key of Ed25519.
const CURVE_BYTES: usize = 32;

/// Why a text is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// It is not `{"keys": […]}`, or has a name twice in one object.
    #[error("it is no JSON object with the array `keys`, or has a name twice in one object")]
    Malformed,
    /// There are too many keys.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// Two keys have one name.
    #[error("it has two keys with the `kid` `{id}`")]
    SameName {
        /// The name.
        id: String,
    },
}

/// A key that tokens are checked with.
#[derive(Debug)]
pub(super) struct SigningKey {
    id: Option<String>,
    /// The only algorithm that it is for.
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of an issuer for the accepted algorithms.
#[derive(Debug)]
pub(super) struct KeySet(Vec<SigningKey>);

impl KeySet {
    /// Parses a set. Keys for other algorithms and purposes are left out.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidKeySet> {
        let set = strict::object(bytes).map_err(|_| InvalidKeySet::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(InvalidKeySet::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany);
        }
        let keys = keys.iter().filter_map(Value::as_object);
        let keys: Vec<SigningKey> = keys.filter_map(usable).collect();
        let mut seen = BTreeSet::new();
        for id in keys.iter().filter_map(|key| key.id.as_ref()) {
            if !seen.insert(id) {
                return Err(InvalidKeySet::SameName { id: id.clone() });
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names; the only one for a token that names none.
    pub(super) fn find(&self, id: Option<&str>) -> Result<&SigningKey, TokenFault> {
        match (id, self.0.as_slice()) {
            (Some(_), keys) => {
                let mut named = keys.iter().filter(|key| key.id.as_deref() == id);
                named.next().ok_or(TokenFault::UnknownKey)
            }
            (None, [only]) => Ok(only),
            (None, []) => Err(TokenFault::UnknownKey),
            (None, _) => Err(TokenFault::NoKeyNamed),
        }
    }
}

/// A key, if it is a public one to check signatures of an accepted algorithm.
fn usable(key: &Map<String, Value>) -> Option<SigningKey> {
    let text = |name: &str| {
        key.get(name)
            .map(|value| value.as_str().unwrap_or_default())
    };
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let coordinate = |name: &str| bytes(name).filter(|bytes| bytes.len() == CURVE_BYTES);
    let is_for_signatures = text("use").is_none_or(|purpose| purpose == "sig")
        && key.get("key_ops").is_none_or(|acts| {
            let mut acts = acts.as_array().into_iter().flatten();
            acts.any(|act| act == "verify")
        });
    // Whoever publishes a private key has lost it.
    if !is_for_signatures || key.contains_key("d") {
        return None;
    }
    let (algorithm, names, key) = match (text("kty")?, text("crv")) {
        ("RSA", None) => {
            let unpadded = |bytes: Vec<u8>| -> Vec<u8> {
                bytes.into_iter().skip_while(|byte| *byte == 0).collect()
            };
            let (modulus, exponent) = (unpadded(bytes("n")?), unpadded(bytes("e")?));
            let is_sized = RSA_BYTES.contains(&modulus.len());
            let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
            (Algorithm::RS256, &["RS256"][..], is_sized.then_some(key)?)
        }
        ("EC", Some("P-256")) => {
            let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
            let key = DecodingKey::from_ec_der(&point);
            (Algorithm::ES256, &["ES256"][..], key)
        }
        ("OKP", Some("Ed25519")) => {
            let key = DecodingKey::from_ed_der(&coordinate("x")?);
            (Algorithm::EdDSA, &["EdDSA", "Ed25519"][..], key)
        }
        _ => return None,
    };
    let is_of_algorithm = text("alg").is_none_or(|name| names.contains(&name));
    let id = match text("kid") {
        Some("") => return None,
        id => id.map(str::to_owned),
    };
    is_of_algorithm.then_some(SigningKey { id, algorithm, key })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use super::{InvalidKeySet, KeySet};
    use crate::TokenFault;

    fn set(keys: &Value) -> Result<KeySet, InvalidKeySet> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn number(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![7; bytes])
    }

    /// A key with some members replaced.
    fn with(key: &Value, changes: &Value) -> Value {
        let mut key = key.clone();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn keys_for_other_purposes_are_left_out() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": number(256), "e": "AQAB"});
        let ec = json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": number(32), "y": number(32)});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": number(32)});
        let check = |key: &Value, changes: Value, expected: Option<Algorithm>| {
            let key = with(key, &changes);
            let id = key["kid"].as_str();
            let parsed = set(&json!([key])).unwrap();
            let found = parsed.find(id).ok().map(|key| key.algorithm);
            assert_eq!(found, expected, "{key}");
        };
        for (key, algorithm, name) in [
            (&rsa, Algorithm::RS256, "RS256"),
            (&ec, Algorithm::ES256, "ES256"),
            (&ed, Algorithm::EdDSA, "EdDSA"),
        ] {
            check(key, json!({}), Some(algorithm));
            check(
                key,
                json!({"alg": name, "use": "sig", "key_ops": ["verify"], "x5t": "a"}),
                Some(algorithm),
            );
            for change in [
                json!({"alg": "RS512"}),
                json!({"alg": null}),
                json!({"use": "enc"}),
                json!({"key_ops": ["encrypt"]}),
                json!({"key_ops": "verify"}),
                json!({"d": "AQAB"}),
                json!({"kty": "oct"}),
                json!({"crv": "P-384"}),
                json!({"kid": 7}),
            ] {
                check(key, change, None);
            }
        }
        check(&ed, json!({"alg": "Ed25519"}), Some(Algorithm::EdDSA));
        // Weak and huge moduli, points that are too short, and what is not base64url.
        for n in [number(255), number(1025), "*".to_owned(), String::new()] {
            check(&rsa, json!({ "n": n }), None);
        }
        check(&ec, json!({"y": number(31)}), None);
        check(&ed, json!({"x": number(33)}), None);
        assert!(set(&json!([])).unwrap().is_empty());
        assert!(set(&json!(["RSA", 7, null])).unwrap().is_empty());
    }

    #[test]
    fn a_token_names_its_key_unless_there_is_one_only() {
        let key = |id: Option<&str>| {
            let key = json!({"kty": "OKP", "crv": "Ed25519", "x": number(32)});
            with(&key, &id.map_or(json!({}), |id| json!({ "kid": id })))
        };
        let one = set(&json!([key(Some("a"))])).unwrap();
        assert!(one.find(Some("a")).is_ok() && one.find(None).is_ok());
        assert_eq!(one.find(Some("b")).unwrap_err(), TokenFault::UnknownKey);
        let nameless = set(&json!([key(None)])).unwrap();
        assert!(nameless.find(None).is_ok());
        assert_eq!(
            nameless.find(Some("a")).unwrap_err(),
            TokenFault::UnknownKey
        );
        let two = set(&json!([key(Some("a")), key(None)])).unwrap();
        assert!(two.find(Some("a")).is_ok());
        assert_eq!(two.find(None).unwrap_err(), TokenFault::NoKeyNamed);
        let none = set(&json!([])).unwrap();
        assert_eq!(none.find(None).unwrap_err(), TokenFault::UnknownKey);
    }

    #[test]
    fn other_texts_are_no_key_sets() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"keys": {}}"#,
            r#"{"keys": [], "keys": []}"#,
        ] {
            let refused = KeySet::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refused, InvalidKeySet::Malformed, "{text}");
        }
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": number(32), "kid": "a"});
        let twice = set(&json!([key, key])).unwrap_err();
        assert_eq!(twice, InvalidKeySet::SameName { id: "a".to_owned() });
        let many = set(&json!(vec![json!({}); 101])).unwrap_err();
        assert_eq!(many, InvalidKeySet::TooMany);
    }
}
