//! SCRAM-SHA-256 verifiers of tokens (RFC 5802, RFC 7677), in the form in which PostgreSQL stores them: with one,
//! a server proves a password that it does not hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Iterations of a new verifier, the number of RFC 7677. A token has 256 random bits, so more add nothing.
pub(super) const ITERATIONS: u32 = 4096;
/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

type Digest32 = [u8; 32];

/// The verifier `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` of a password of ASCII characters, which
/// need no preparation (RFC 4013).
pub(super) fn verifier(password: &str, salt: &[u8], iterations: u32) -> String {
    let salted = salted_password(password.as_bytes(), salt, iterations);
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let server_key = hmac(&salted, b"Server Key");
    let (salt, stored_key) = (STANDARD.encode(salt), STANDARD.encode(stored_key));
    let server_key = STANDARD.encode(server_key);
    format!("SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}")
}

/// The function `Hi` of RFC 5802, 2.2: PBKDF2 with one block of HMAC-SHA-256.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Digest32 {
    let mut block = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut salted = block;
    for _ in 1..iterations {
        block = hmac(password, &block);
        for (byte, other) in salted.iter_mut().zip(block) {
            *byte ^= other;
        }
    }
    salted
}

fn hmac(key: &[u8], text: &[u8]) -> Digest32 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::{hmac, verifier};

    /// The example of RFC 7677, 3.
    #[test]
    fn verifier_proves_the_conversation_of_the_standard() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = verifier("pencil", &salt, 4096);
        let keys = made.strip_prefix("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$");
        let (stored_key, server_key) = keys.unwrap().split_once(':').unwrap();
        let [stored_key, server_key] =
            [stored_key, server_key].map(|key| STANDARD.decode(key).unwrap());
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let conversation = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let proof = STANDARD
            .decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
            .unwrap();
        let signature = hmac(&stored_key, conversation.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(client_key).as_slice(), stored_key);
        let signature = hmac(&server_key, conversation.as_bytes());
        assert_eq!(
            STANDARD.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }
}
