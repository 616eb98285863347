//! Authentication codes under the master key: nobody without the key can make one.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::LakeError;
use crate::encryption::key_pages::Key;
use crate::encryption::master::{Master, fingerprint};

/// A key for authentication codes of one purpose, derived from the master key.
#[derive(Clone)]
pub struct AuthenticationKey {
    key: Key,
    fingerprint: String,
}

impl std::fmt::Debug for AuthenticationKey {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuthenticationKey")
            .field(&self.fingerprint)
            .finish()
    }
}

impl AuthenticationKey {
    fn new(master: &Key, purpose: &str) -> Self {
        Self {
            key: code(master, purpose.as_bytes())
                .finalize()
                .into_bytes()
                .into(),
            fingerprint: fingerprint(master),
        }
    }

    /// The fingerprint of its master key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The code of a text, in hexadecimal digits.
    pub fn code(&self, text: &[u8]) -> String {
        hex::encode(code(&self.key, text).finalize().into_bytes())
    }

    /// Whether a code is that of a text. Takes the same time wherever it differs.
    pub fn is_code_of(&self, claimed: &str, text: &[u8]) -> bool {
        let claimed = hex::decode(claimed).unwrap_or_default();
        code(&self.key, text).verify_slice(&claimed).is_ok()
    }
}

fn code(key: &Key, text: &[u8]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    code.update(text);
    code
}

impl Master {
    /// The key for new authentication codes of a purpose. A file of keys is created if it does not exist.
    ///
    /// # Errors
    /// Those of reading the master key: [`LakeError::MasterKey`], [`LakeError::File`].
    pub fn authentication_key(&self, purpose: &str) -> Result<AuthenticationKey, LakeError> {
        Ok(AuthenticationKey::new(&self.current_or_new()?, purpose))
    }

    /// The key for codes that were made under the master key with this fingerprint.
    ///
    /// # Errors
    /// [`LakeError::MasterKey`] if the source has no such key any more; [`LakeError::File`].
    pub fn authentication_key_of(
        &self,
        fingerprint: &str,
        purpose: &str,
    ) -> Result<AuthenticationKey, LakeError> {
        Ok(AuthenticationKey::new(&self.find(fingerprint)?, purpose))
    }
}

#[cfg(test)]
mod tests {
    use super::AuthenticationKey;

    #[test]
    fn codes_depend_on_key_purpose_and_text() {
        let key = AuthenticationKey::new(&[7; 32], "seal");
        let code = key.code(b"text");
        assert!(key.is_code_of(&code, b"text"));
        for wrong in [b"texT".as_slice(), b"tex", b""] {
            assert!(!key.is_code_of(&code, wrong));
        }
        for other in [
            AuthenticationKey::new(&[8; 32], "seal"),
            AuthenticationKey::new(&[7; 32], "other"),
        ] {
            assert!(!other.is_code_of(&code, b"text"));
        }
        for no_code in ["", "zz", &code[2..], "é"] {
            assert!(!key.is_code_of(no_code, b"text"));
        }
        assert!(!format!("{key:?}").contains("07"));
    }
}
