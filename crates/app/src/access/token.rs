//! Tokens of API keys, `rbk_<prefix>_<secret>`, and of sessions, `rbs_<prefix>_<secret>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the token of an API key begins with, so that scanners for leaked secrets recognise it.
pub(super) const OF_KEY: &str = "rbk_";
/// The same of a session.
pub(super) const OF_SESSION: &str = "rbs_";
const PREFIX_CHARS: usize = 10;
/// Bytes of a secret, written as twice as many hexadecimal digits.
const SECRET_BYTES: usize = 32;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The public part of a token: names the key in listings and commands, or the session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPrefix(String);

/// A text that is not the prefix of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key is named by its prefix, {PREFIX_CHARS} of a-z and 0-9: the part of the token between the two `_`"
)]
pub struct InvalidPrefix;

impl KeyPrefix {
    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyPrefix {
    type Err = InvalidPrefix;

    // The text is not part of the error: it may be a whole token.
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let is_valid = text.len() == PREFIX_CHARS && text.bytes().all(|c| ALPHABET.contains(&c));
        is_valid.then(|| Self(text.to_owned())).ok_or(InvalidPrefix)
    }
}

impl TryFrom<String> for KeyPrefix {
    type Error = InvalidPrefix;
    fn try_from(text: String) -> Result<Self, InvalidPrefix> {
        text.parse()
    }
}

impl From<KeyPrefix> for String {
    fn from(prefix: KeyPrefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// A new prefix.
pub(super) fn new_prefix() -> KeyPrefix {
    let mut text = String::with_capacity(PREFIX_CHARS);
    while text.len() < PREFIX_CHARS {
        let bytes = random::<16>();
        // Bytes beyond the last multiple of 36 are dropped, so that all characters are equally probable.
        let even = bytes.iter().filter(|byte| **byte < 252);
        let chars = even.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        text.extend(chars.take(PREFIX_CHARS - text.len()));
    }
    KeyPrefix(text)
}

/// A new token of a key or a session.
pub(super) fn new_token(scheme: &str, prefix: &KeyPrefix) -> String {
    let secret = hex::encode(random::<SECRET_BYTES>());
    format!("{scheme}{prefix}_{secret}")
}

/// The prefix of a token; `None` for a text that is no such token.
pub(super) fn prefix_of(scheme: &str, token: &str) -> Option<KeyPrefix> {
    let (prefix, secret) = token.strip_prefix(scheme)?.split_once('_')?;
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let is_secret = secret.len() == 2 * SECRET_BYTES && secret.bytes().all(is_hex);
    prefix.parse().ok().filter(|_| is_secret)
}

#[cfg(test)]
mod tests {
    use super::{KeyPrefix, OF_KEY, OF_SESSION, new_prefix, new_token, prefix_of};

    #[test]
    fn tokens_have_their_prefix() {
        let (one, other) = (new_prefix(), new_prefix());
        assert_ne!(one, other);
        let token = new_token(OF_KEY, &one);
        assert_ne!(token, new_token(OF_KEY, &one));
        assert_eq!(token.len(), 4 + 10 + 1 + 64);
        assert_eq!(prefix_of(OF_KEY, &token), Some(one));
        assert_eq!(prefix_of(OF_SESSION, &token), None);
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let token = new_token(OF_KEY, &"abcdefgh12".parse().unwrap());
        let upper = token.to_uppercase();
        let longer = format!("{token}0");
        for text in [
            "",
            "rbk_",
            "rbk__",
            &token[1..],
            &token[..78],
            &upper,
            &longer,
            "é_é",
        ] {
            assert_eq!(prefix_of(OF_KEY, text), None, "{text}");
        }
        for text in [
            "",
            "abc",
            "ABCDEFGH12",
            "abcdefgh123",
            "abcdefg.12",
            "../etc/pas",
        ] {
            assert!(text.parse::<KeyPrefix>().is_err(), "{text}");
        }
        let error = token.parse::<KeyPrefix>().unwrap_err().to_string();
        assert!(!error.contains(&token));
    }
}
