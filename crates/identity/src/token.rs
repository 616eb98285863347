//! Tokens: keyed hashes that stand for values when records are compared.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::normalise::VERSION;

/// The rules that link two records, the most reliable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchRule {
    /// The same e-mail address.
    Email,
    /// The same phone number.
    Phone,
    /// The same name at the same address.
    Address,
}

impl MatchRule {
    /// All rules in order.
    pub const ALL: [Self; 3] = [Self::Email, Self::Phone, Self::Address];

    /// The rule's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Address => "address",
        }
    }
}

/// The first 128 bits of an HMAC-SHA-256 over the version of the normal forms, the rule and the value. As
/// text: the version, a colon, and 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u128);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{:032x}", self.0)
    }
}

/// A text that is not a token of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a token of version {VERSION}")]
pub struct NoToken(String);

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let digits = text.strip_prefix(&format!("{VERSION}:"));
        let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| NoToken(text.to_owned()))
    }
}

/// Computes tokens with a tenant's key.
#[derive(Clone)]
pub struct Tokens {
    keyed: Hmac<Sha256>,
}

impl Tokens {
    /// A tokenizer with this key, which may have any length.
    pub fn new(key: &Arc<[u8]>) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("a key of any length will do");
        Self { keyed }
    }

    /// The token of a value in normal form, for a match rule.
    pub fn of(&self, rule: MatchRule, value: &str) -> Token {
        self.of_kind(rule.name(), value)
    }

    /// The token of another kind of value, such as `record`.
    pub fn of_kind(&self, kind: &str, value: &str) -> Token {
        Token(self.digest(kind, value))
    }

    /// The hash of a name, for counting distinct names.
    pub fn of_name(&self, name: &str) -> u64 {
        self.digest("name", name) as u64
    }

    fn digest(&self, kind: &str, value: &str) -> u128 {
        let mut mac = self.keyed.clone();
        mac.update(&VERSION.to_le_bytes());
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        let digest = mac.finalize().into_bytes();
        let half: [u8; 16] = digest[..16].try_into().expect("a digest is 32 bytes");
        u128::from_be_bytes(half)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MatchRule, Token, Tokens};

    #[test]
    fn tokens_depend_on_key_rule_and_value() {
        let tokens = |byte| Tokens::new(&Arc::from([byte; 32]));
        let one = tokens(1).of(MatchRule::Email, "ann@example.com");
        assert_eq!(one, tokens(1).of(MatchRule::Email, "ann@example.com"));
        assert_ne!(one, tokens(2).of(MatchRule::Email, "ann@example.com"));
        assert_ne!(one, tokens(1).of(MatchRule::Phone, "ann@example.com"));
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!("1:00".parse::<Token>().is_err());
    }
}
