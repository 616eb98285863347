//! Forged tokens: each is refused, at once and with the reason that docs/SECURITY.md has.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::issuer::{Issuer, PublicKey, claims, now, serve, write_keys};
use super::{check_refused, lake_with_persons, problem, token};
use crate::support::server::{Server, raw};

/// A forgery is refused within this time.
const SOON: Duration = Duration::from_secs(2);

const MALFORMED: &str =
    "the token is not a signed JWT: three parts, a JSON object in each of the first two";
const REPEATED: &str = "the token has a name twice in one JSON object";
const TYPE: &str = "the `typ` of the token is neither `JWT` nor `at+jwt`";
const ALGORITHM: &str = "the token is signed with none of RS256, ES256 and EdDSA";
const OTHER_ALGORITHM: &str = "the key of the token is for another algorithm";
const NO_KEY_NAMED: &str = "the token names no key (`kid`), and its issuer has several";
const UNKNOWN_KEY: &str = "the issuer has no key with the `kid` of the token";
const SIGNATURE: &str = "the signature of the token is wrong";
const EXPIRED: &str = "the token has expired (`exp`)";
const NOT_YET_VALID: &str = "the token is not valid yet (`nbf`)";
const OTHER_ISSUER: &str = "the token is from another issuer (`iss`)";
const OTHER_AUDIENCE: &str = "the token is for another audience (`aud`)";
const TOO_LONG: &str = "the token is longer than 8192 bytes";

fn claim(name: &str) -> String {
    format!("the claim `{name}` of the token is missing or has a wrong type")
}

fn header_member(name: &str) -> String {
    format!("the header of the token has `{name}`, which this server does not accept")
}

/// A token without a signature.
fn unsigned(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{payload}.")
}

/// The issuer, whose three keys the server knows, and a stranger with a key that it does not know.
struct Case {
    issuer: Issuer,
    rsa: PublicKey,
    ec: PublicKey,
    ed: PublicKey,
    stranger: PublicKey,
    server: Server,
    /// The reasons of docs/SECURITY.md, one text.
    documented: String,
    refused: usize,
}

impl Case {
    fn start(name: &str) -> Self {
        let lake = lake_with_persons(name);
        // Keys of the lake exist, too.
        let _ = token(&lake, "viewer", &[]);
        let mut issuer = Issuer::start();
        let keys = [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")];
        let [rsa, ec, ed] = keys.map(|(kid, algorithm)| issuer.key(kid, algorithm));
        let stranger = issuer.key("stranger", "RS256");
        let path = write_keys(&lake, &[&rsa, &ec, &ed]);
        let server = serve(&lake, path.to_str().unwrap());
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SECURITY.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, documented) = page.split_once("\n## JWT\n").unwrap();
        let documented = documented.split("\n## ").next().unwrap().to_owned();
        Self {
            issuer,
            rsa,
            ec,
            ed,
            stranger,
            server,
            documented,
            refused: 0,
        }
    }

    /// Fails unless a token is refused for a reason.
    fn check(&mut self, what: &str, token: &str, reason: &str) {
        let begun = Instant::now();
        let answer = self.server.ask(Some(token), "GET", "/v1/segments", None);
        assert!(begun.elapsed() < SOON, "{what} took {:?}", begun.elapsed());
        let (status, code, detail) = problem(&answer);
        let seen = (status, code.as_str(), detail.as_str());
        assert_eq!(seen, (401, "invalid_token", reason), "{what}");
        let scheme = answer.header("www-authenticate");
        assert_eq!(scheme, "Bearer error=\"invalid_token\"", "{what}");
        self.refused += 1;
        // There, names of claims and members are left out.
        let mut parts = reason.splitn(3, '`');
        let general = match (parts.next(), parts.next(), parts.next()) {
            (Some(before), Some(_), Some(after)) => format!("{before}`…`{after}"),
            _ => reason.to_owned(),
        };
        let is_documented = [reason, &general]
            .iter()
            .any(|text| self.documented.contains(*text));
        assert!(is_documented, "`{reason}` is not in docs/SECURITY.md");
    }

    /// The same for a token with some claims changed, signed as it should be; `null` removes a claim.
    fn check_claims(&mut self, changes: &Value, reason: &str) {
        let mut changed = claims("viewer");
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(changed.as_object_mut().unwrap().remove(name)),
                false => changed[name] = value.clone(),
            }
        }
        let token = self.issuer.token(&self.rsa, &changed);
        self.check(&changes.to_string(), &token, reason);
    }

    /// The same for a header, with good claims and a signature of a key.
    fn check_header(&mut self, kid: &str, header: &Value, reason: &str) {
        let payload = claims("viewer").to_string();
        let token = self.issuer.sign(kid, &header.to_string(), &payload);
        self.check(&header.to_string(), &token, reason);
    }
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "ROLLBOOK_TEST_PYTHON names no Python with the packages of tests/peers"
)]
fn forged_tokens_are_refused() {
    let mut case = Case::start("http_jwt_forged");
    let good = case.issuer.token(&case.rsa, &claims("viewer"));
    let answered = |case: &Case| {
        case.server
            .ask(Some(&good), "GET", "/v1/segments", None)
            .status
    };
    assert_eq!(answered(&case), 200);
    forge_algorithms(&mut case);
    forge_keys(&mut case);
    forge_claims(&mut case);
    forge_texts(&mut case, &good);
    forge_lengths(&mut case, &good);
    assert_eq!(answered(&case), 200);
    assert!(case.refused >= 50, "{}", case.refused);
    let log = case.server.log().join("\n");
    assert!(!log.contains("\"ERROR\""), "{log}");
    assert!(case.server.stop());
}

/// No signature, and signatures with what is public.
fn forge_algorithms(case: &mut Case) {
    let payload = claims("viewer").to_string();
    for algorithm in ["none", "None", "nOnE", ""] {
        let header = json!({"alg": algorithm, "kid": "rsa"}).to_string();
        case.check(&header, &unsigned(&header, &payload), ALGORITHM);
    }
    let header = json!({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).to_string();
    let modulus = case.rsa.jwk["n"].as_str().unwrap();
    let modulus = STANDARD.encode(URL_SAFE_NO_PAD.decode(modulus).unwrap());
    let empty = String::new();
    for secret in [case.rsa.pem.clone(), case.rsa.der.clone(), modulus, empty] {
        let token = case.issuer.sign_with(&secret, &header, &payload);
        case.check("HS256 with what is public", &token, ALGORITHM);
    }
    // The same if it says that it is signed with RSA.
    let header = json!({"alg": "RS256", "kid": "rsa"}).to_string();
    let token = case
        .issuer
        .sign_with(&case.rsa.pem.clone(), &header, &payload);
    case.check("an HMAC as RS256", &token, SIGNATURE);
    for algorithm in ["RS384", "RS512", "PS256", "ES384", "ES256K", "Ed25519"] {
        case.check_header("rsa", &json!({"alg": algorithm, "kid": "rsa"}), ALGORITHM);
    }
}

/// Other keys than those of the issuer, and keys for other algorithms.
fn forge_keys(case: &mut Case) {
    case.check_header(
        "stranger",
        &json!({"alg": "RS256", "kid": "stranger"}),
        UNKNOWN_KEY,
    );
    case.check_header(
        "stranger",
        &json!({"alg": "RS256", "kid": "rsa"}),
        SIGNATURE,
    );
    case.check_header("rsa", &json!({"alg": "RS256", "kid": ""}), UNKNOWN_KEY);
    case.check_header(
        "rsa",
        &json!({"alg": "RS256", "kid": "../rsa"}),
        UNKNOWN_KEY,
    );
    case.check_header("rsa", &json!({"alg": "RS256"}), NO_KEY_NAMED);
    case.check_header(
        "ec",
        &json!({"alg": "ES256", "kid": "rsa"}),
        OTHER_ALGORITHM,
    );
    case.check_header("ec", &json!({"alg": "RS256", "kid": "rsa"}), SIGNATURE);
    case.check_header(
        "rsa",
        &json!({"alg": "RS256", "kid": "ed"}),
        OTHER_ALGORITHM,
    );
    case.check_header("ed", &json!({"alg": "EdDSA", "kid": "ec"}), OTHER_ALGORITHM);
    // Keys that the token brings along.
    let (jwk, kid) = (case.stranger.jwk.clone(), "rsa");
    for (member, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example.com/keys")),
        ("x5u", json!("https://evil.example.com/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
    ] {
        let header = json!({"alg": "RS256", "kid": kid, member: value});
        case.check_header("stranger", &header, &header_member(member));
        case.check_header("rsa", &header, &header_member(member));
    }
    case.check_header(
        "rsa",
        &json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}),
        TYPE,
    );
}

/// Claims that are missing, wrong, or of others.
fn forge_claims(case: &mut Case) {
    case.check_claims(&json!({"exp": now() - 60}), EXPIRED);
    case.check_claims(&json!({"exp": 0}), EXPIRED);
    case.check_claims(&json!({"nbf": now() + 120}), NOT_YET_VALID);
    for name in ["exp", "nbf", "iss", "aud", "sub", "tenant", "role"] {
        case.check_claims(&json!({ name: null }), &claim(name));
        case.check_claims(&json!({ name: {"a": 1} }), &claim(name));
    }
    case.check_claims(&json!({"exp": (now() + 600).to_string()}), &claim("exp"));
    case.check_claims(&json!({"nbf": "0"}), &claim("nbf"));
    case.check_claims(&json!({"aud": 7}), &claim("aud"));
    case.check_claims(&json!({"iss": "https://evil.example.com"}), OTHER_ISSUER);
    case.check_claims(&json!({"iss": ["https://id.example.com"]}), OTHER_ISSUER);
    case.check_claims(&json!({"aud": "another"}), OTHER_AUDIENCE);
    case.check_claims(&json!({"aud": ["another"]}), OTHER_AUDIENCE);
    let roles = "`viewer`, `marketer`, `analyst`, `operator`, `admin`";
    for role in ["root", "Admin", "admin,viewer", ""] {
        let reason = format!("the claim `role` of the token names none of the roles {roles}");
        case.check_claims(&json!({ "role": role }), &reason);
    }
    case.check_claims(&json!({"role": ["admin"]}), &claim("role"));
    case.check_claims(&json!({"tenant": "../default"}), &claim("tenant"));
    // The issuer says which tenant it is, and nothing is there yet.
    for tenant in ["other", "nobody"] {
        let mut of_other = claims("admin");
        of_other["tenant"] = json!(tenant);
        let token = case.issuer.token(&case.ed, &of_other);
        let answer = case.server.ask(Some(&token), "GET", "/v1/segments", None);
        check_refused(&answer, 404, "no_lake");
        assert!(!String::from_utf8_lossy(&answer.body).contains("http_jwt_forged"));
    }
}

/// Texts that two readers could understand differently, and texts that were changed.
fn forge_texts(case: &mut Case, good: &str) {
    let header = json!({"alg": "RS256", "kid": "rsa"}).to_string();
    let expired = json!({"exp": now() - 600}).to_string();
    let payload = claims("viewer").to_string();
    // Twice: once expired, once not, in both orders; a role twice; deep inside; and spelled with an escape.
    let inner = &payload[1..payload.len() - 1];
    for text in [
        format!("{{{},{inner}}}", &expired[1..expired.len() - 1]),
        format!("{{{inner},{}}}", &expired[1..expired.len() - 1]),
        format!("{{{inner},\"role\":\"admin\"}}"),
        format!("{{{inner},\"r\\u006fle\":\"admin\"}}"),
        format!("{{{inner},\"more\":{{\"a\":1,\"a\":2}}}}"),
    ] {
        let token = case.issuer.sign("rsa", &header, &text);
        case.check(&text, &token, REPEATED);
    }
    for text in [
        r#"{"alg":"RS256","kid":"rsa","alg":"none"}"#,
        r#"{"alg":"none","kid":"rsa","alg":"RS256"}"#,
        r#"{"alg":"RS256","kid":"stranger","kid":"rsa"}"#,
    ] {
        let token = case.issuer.sign("rsa", text, &payload);
        case.check(text, &token, REPEATED);
    }
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let admin = URL_SAFE_NO_PAD.encode(claims("admin").to_string());
    case.check(
        "changed claims",
        &format!("{head}.{admin}.{signature}"),
        SIGNATURE,
    );
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{head}.{body}.{first}{}", &signature[1..]);
    case.check("a changed signature", &changed, SIGNATURE);
    case.check("an empty signature", &format!("{head}.{body}."), SIGNATURE);
    let cut = format!("{head}.{body}.{}", &signature[..signature.len() / 8 * 4]);
    case.check("half a signature", &cut, SIGNATURE);
    let of_ec = case.issuer.token(&case.ec, &claims("viewer"));
    let (_, other) = of_ec.rsplit_once('.').unwrap();
    case.check(
        "the signature of another",
        &format!("{head}.{body}.{other}"),
        SIGNATURE,
    );
    for (what, text) in [
        (
            "five parts, as of an encrypted token",
            format!("{good}.YQ.YQ"),
        ),
        ("two parts", format!("{head}.{body}")),
        ("padding", format!("{head}==.{body}.{signature}")),
        ("standard base64", format!("{head}.{body}.+/{signature}")),
        ("no JSON", format!("YWFh.{body}.{signature}")),
        (
            "an array",
            format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
        ),
        ("dots", "...".to_owned()),
    ] {
        case.check(what, &text, MALFORMED);
    }
    let no_object = case.issuer.sign("rsa", &header, "\"viewer\"");
    case.check("a text as payload", &no_object, MALFORMED);
    let deep = format!("{}1{}", "{\"a\":".repeat(300), "}".repeat(300));
    let deep = case.issuer.sign("rsa", &header, &deep);
    case.check("deep nesting", &deep, MALFORMED);
}

/// Tokens of any length.
fn forge_lengths(case: &mut Case, good: &str) {
    let longer = |bytes: usize| format!("{good}{}", "A".repeat(bytes - good.len()));
    case.check("9 KB", &longer(9_000), TOO_LONG);
    let mut padded = claims("viewer");
    padded["more"] = json!("a".repeat(8_000));
    let signed = case.issuer.token(&case.rsa, &padded);
    case.check("a good token that is too long", &signed, TOO_LONG);
    for bytes in [300_000, 1_000_000] {
        let begun = Instant::now();
        let request = format!(
            "GET /v1/segments HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            longer(bytes)
        );
        let said = raw(&case.server.address, request.as_bytes());
        assert!(begun.elapsed() < SOON);
        // Longer heads are refused while they arrive: the connection may be closed before the answer is read.
        let is_refused = match bytes {
            300_000 => said.starts_with("HTTP/1.1 401") && said.contains(TOO_LONG),
            _ => said.is_empty() || said.starts_with("HTTP/1.1 431"),
        };
        assert!(is_refused, "{bytes}: {said}");
    }
}
