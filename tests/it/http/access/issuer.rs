//! An issuer of tokens, whose signatures are made by another program, and a server of its keys that can misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const AUDIENCE: &str = "rollbook";

/// An issuer; `tests/peers/sign_tokens.py` has its private keys.
pub(super) struct Issuer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A public key of an issuer.
pub(super) struct PublicKey {
    pub(super) jwk: Value,
    /// The key as PEM and DER, in base64.
    pub(super) pem: String,
    pub(super) der: String,
}

impl Issuer {
    pub(super) fn start() -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut process = Command::new(rollbook_tests::python())
            .arg(peers.join("sign_tokens.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            requests: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{request}: {line}"))
    }

    /// A new key for an algorithm.
    pub(super) fn key(&mut self, kid: &str, algorithm: &str) -> PublicKey {
        let made = self.ask(&json!({"new": algorithm, "kid": kid}));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        PublicKey {
            jwk: made["jwk"].clone(),
            pem: text("pem"),
            der: text("der"),
        }
    }

    /// The token of two texts, signed with a key.
    pub(super) fn sign(&mut self, kid: &str, header: &str, payload: &str) -> String {
        self.token_of(&json!({"sign": kid, "header": header, "payload": payload}))
    }

    /// The token of two texts, signed with HS256 and a secret in base64.
    pub(super) fn sign_with(&mut self, secret: &str, header: &str, payload: &str) -> String {
        self.token_of(&json!({"hmac": secret, "header": header, "payload": payload}))
    }

    fn token_of(&mut self, request: &Value) -> String {
        self.ask(request)["token"].as_str().unwrap().to_owned()
    }

    /// A token with these claims, as it should be.
    pub(super) fn token(&mut self, key: &PublicKey, claims: &Value) -> String {
        let kid = key.jwk["kid"].as_str().unwrap();
        let header = json!({"typ": "JWT", "alg": key.jwk["alg"], "kid": kid});
        self.sign(kid, &header.to_string(), &claims.to_string())
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Claims that are accepted.
pub(super) fn claims(role: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "kim", "nbf": now() - 5, "exp": now() + 600, "tenant": "default",
        "role": role,
    })
}

/// The set of these keys.
pub(super) fn key_set(keys: &[&PublicKey]) -> String {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys }).to_string()
}

/// Writes the set of these keys, replacing the file at once as operators should.
pub(super) fn write_keys(lake: &OwnLake, keys: &[&PublicKey]) -> PathBuf {
    let new = lake.write("jwks.new", &key_set(keys));
    let path = lake.path("jwks.json");
    fs::rename(new, &path).unwrap();
    path
}

/// A server that accepts the tokens of an issuer whose keys are in a file or at a URL.
pub(super) fn serve(lake: &OwnLake, jwks: &str) -> Server {
    let accept = ["--jwks", jwks, "--issuer", ISSUER, "--audience", AUDIENCE];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--rate-limit", "0"];
    Server::start_with(lake.command(&[&serve[..], &accept].concat()))
}

/// What a server of keys answers.
#[derive(Clone)]
pub(super) enum Behaviour {
    /// A response, whole.
    Respond(String),
    /// Nothing: it accepts, and never answers.
    Silent,
    /// A body without end.
    Endless,
}

impl Behaviour {
    /// The response with a status, further headers and a body.
    pub(super) fn respond(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Respond(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }
}

/// A server of keys, until the test ends.
pub(super) struct KeyServer {
    pub(super) url: String,
    behaviour: Arc<Mutex<Option<Behaviour>>>,
    requests: Arc<Mutex<usize>>,
}

impl KeyServer {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(Some(behaviour)));
        let requests = Arc::new(Mutex::new(0));
        let (current, count) = (Arc::clone(&behaviour), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *count.lock().unwrap() += 1;
                // Closed without an answer.
                let Some(behaviour) = current.lock().unwrap().clone() else {
                    continue;
                };
                std::thread::spawn(move || answer(stream, &behaviour));
            }
        });
        Self {
            url,
            behaviour,
            requests,
        }
    }

    pub(super) fn behave(&self, behaviour: Option<Behaviour>) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }
}

fn answer(mut stream: TcpStream, behaviour: &Behaviour) {
    let mut request = [0; 4096];
    // The caller may have left already, here and below.
    let _ = stream.read(&mut request);
    match behaviour {
        Behaviour::Respond(response) => {
            let _ = stream.write_all(response.as_bytes());
        }
        Behaviour::Silent => std::thread::sleep(Duration::from_secs(120)),
        Behaviour::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\": [");
            while stream.write_all(&[b' '; 65_536]).is_ok() {}
        }
    }
}
