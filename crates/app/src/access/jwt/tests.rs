//! Tokens are accepted and refused by their claims. Forgeries are in `tests/it/http/access`, made by another library.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{JwksSource, JwtIssuer, JwtOptions};
use crate::access::{Caller, Grant, Right, Role};
use crate::{AppError, TokenFault};

/// An issuer with a key of each curve.
struct Signer {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    folder: tempfile::TempDir,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        let signer = Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(curve, ec.as_ref(), &random).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = signer.ec.public_key().as_ref();
        let x = encode(signer.ed.public_key().as_ref());
        let keys = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(&point[1..33]), "y": encode(&point[33..])},
        ]});
        std::fs::write(signer.folder.path().join("keys.json"), keys.to_string()).unwrap();
        signer
    }

    /// A server that accepts its tokens.
    fn server(&self) -> JwtIssuer {
        let options = JwtOptions {
            jwks: JwksSource::File(self.folder.path().join("keys.json")),
            issuer: "https://id.example.com".to_owned(),
            audience: "rollbook".to_owned(),
            tenant_claim: "tenant".to_owned(),
            role_claim: "https://example.com/role".to_owned(),
        };
        JwtIssuer::new(options, |error| panic!("{error}"))
    }

    fn token(&self, key: &str, claims: &Value) -> String {
        let algorithm = if key == "ed" { "EdDSA" } else { "ES256" };
        let header = json!({"alg": algorithm, "kid": key}).to_string();
        let parts = [header, claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = parts.join(".");
        let signature = match key {
            "ed" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            _ => {
                let signed = self.ec.sign(&SystemRandom::new(), message.as_bytes());
                signed.unwrap().as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com",
        "aud": "rollbook",
        "sub": "kim",
        "nbf": now(),
        "exp": now() + 600,
        "tenant": "a",
        "https://example.com/role": "analyst",
    })
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn granted(signer: &Signer, claims: &Value) -> Result<Grant, TokenFault> {
    let granted = signer.server().grant(&signer.token("ed", claims)).await;
    granted.map_err(|error| match error {
        AppError::InvalidToken { fault } => fault,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn token_grants_what_its_role_may_do_in_its_tenants() {
    let signer = Signer::new();
    let server = signer.server();
    for key in ["ed", "ec"] {
        let grant = server.grant(&signer.token(key, &claims())).await.unwrap();
        assert_eq!(grant.caller(), Caller::Subject("kim"));
        assert_eq!(grant.rights, Role::Analyst.rights());
        assert!(!grant.is_local());
        assert!(grant.covers(&"a".parse().unwrap()));
        assert!(!grant.covers(&"b".parse().unwrap()));
    }
    for change in [
        json!({"tenant": ["b", "a"]}),
        json!({"aud": ["other", "rollbook"]}),
        json!({"exp": now() + 600, "nbf": 0.5}),
        // Within the leeway.
        json!({"exp": now() - 20}),
        json!({"nbf": now() + 20}),
        json!({"more": {"of": ["it"]}}),
    ] {
        let grant = granted(&signer, &with(&change)).await.unwrap();
        assert!(grant.covers(&"a".parse().unwrap()), "{change}");
        assert!(grant.require(&[Right::Sql]).is_ok());
    }
}

#[tokio::test]
async fn tokens_with_other_claims_are_refused() {
    let signer = Signer::new();
    let check = async |changes: Value, expected: TokenFault| {
        let refused = granted(&signer, &with(&changes)).await.unwrap_err();
        assert_eq!(refused, expected, "{changes}");
    };
    let claim = |claim: &str| TokenFault::Claim {
        claim: claim.to_owned(),
    };
    check(json!({"exp": now() - 40}), TokenFault::Expired).await;
    check(json!({"nbf": now() + 40}), TokenFault::NotYetValid).await;
    check(
        json!({"iss": "https://id.example.com/"}),
        TokenFault::Issuer,
    )
    .await;
    check(
        json!({"iss": ["https://id.example.com"]}),
        TokenFault::Issuer,
    )
    .await;
    check(json!({"aud": "rollbook2"}), TokenFault::Audience).await;
    check(json!({"aud": []}), TokenFault::Audience).await;
    for name in ["exp", "nbf", "iss", "aud", "sub", "tenant"] {
        for wrong in [json!(null), json!(true), json!({"a": 1})] {
            check(json!({ name: wrong }), claim(name)).await;
        }
    }
    for name in ["exp", "nbf"] {
        check(json!({ name: "4102444800" }), claim(name)).await;
        check(json!({ name: -1 }), claim(name)).await;
    }
    check(json!({"aud": 7}), claim("aud")).await;
    for subject in [json!(""), json!("a\nb"), json!("x".repeat(256)), json!(7)] {
        check(json!({ "sub": subject }), claim("sub")).await;
    }
    for tenant in [
        json!([]),
        json!(["a", 7]),
        json!("../a"),
        json!("_access"),
        json!(vec!["a"; 101]),
    ] {
        check(json!({ "tenant": tenant }), claim("tenant")).await;
    }
    let role = "https://example.com/role";
    for wrong in [json!(["admin"]), json!(null), json!(1)] {
        check(json!({ role: wrong }), claim(role)).await;
    }
    for unknown in ["root", "Admin", "admin ", ""] {
        let refused = granted(&signer, &with(&json!({ role: unknown }))).await;
        assert!(matches!(refused, Err(TokenFault::Role { .. })), "{unknown}");
    }
}

#[tokio::test]
async fn key_of_a_token_decides_the_algorithm() {
    let signer = Signer::new();
    let server = signer.server();
    let (ed, ec) = (signer.token("ed", &claims()), signer.token("ec", &claims()));
    let check = async |token: String, expected: TokenFault| {
        let refused = server.grant(&token).await.unwrap_err();
        let fault = match refused {
            AppError::InvalidToken { fault } => fault,
            other => panic!("{other}"),
        };
        assert_eq!(fault, expected, "{token}");
    };
    let header = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (_, rest) = ec.split_once('.').unwrap();
    let other = header(r#"{"alg": "ES256", "kid": "ed"}"#);
    check(format!("{other}.{rest}"), TokenFault::OtherAlgorithm).await;
    let unknown = header(r#"{"alg": "ES256", "kid": "rsa"}"#);
    check(format!("{unknown}.{rest}"), TokenFault::UnknownKey).await;
    let nameless = header(r#"{"alg": "ES256"}"#);
    check(format!("{nameless}.{rest}"), TokenFault::NoKeyNamed).await;
    let (message, signature) = ed.rsplit_once('.').unwrap();
    let (of_ec, _) = ec.rsplit_once('.').unwrap();
    check(format!("{of_ec}.{signature}"), TokenFault::Signature).await;
    check(format!("{message}."), TokenFault::Signature).await;
    check(format!("{message}.AAAA"), TokenFault::Signature).await;
    check(format!("{message}.=*"), TokenFault::Malformed).await;
}

#[tokio::test]
async fn files_of_keys_are_checked() {
    let signer = Signer::new();
    let path = signer.folder.path().join("keys.json");
    let options = |place: &str| JwtOptions {
        jwks: place.parse().unwrap(),
        ..signer.server().options
    };
    let place = path.to_str().unwrap();
    options(place).check().await.unwrap();
    // A URL may answer later.
    options("https://id.example.com/keys")
        .check()
        .await
        .unwrap();
    for (text, said) in [
        ("{}", "array `keys`"),
        (r#"{"keys": []}"#, "no public key"),
        (
            r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#,
            "no public key",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let refused = options(place).check().await.unwrap_err().to_string();
        assert!(
            refused.contains(said) && refused.contains(place),
            "{refused}"
        );
        assert!(!refused.contains("c2VjcmV0"), "{refused}");
    }
    std::fs::write(&path, " ".repeat(300_000)).unwrap();
    let refused = options(place).check().await.unwrap_err().to_string();
    assert!(refused.contains("262144 bytes"), "{refused}");
    std::fs::remove_file(&path).unwrap();
    assert!(options(place).check().await.is_err());
    let folder = signer.folder.path().to_str().unwrap();
    assert!(options(folder).check().await.is_err());
}
