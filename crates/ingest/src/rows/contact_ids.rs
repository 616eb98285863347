//! External ids of persons whom a source knows by e-mail address or phone number alone.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use rollbook_identity::normalise::{email, phone};
use rollbook_identity::shared::Shared;
use rollbook_identity::token::MatchRule;
use sha2::Sha256;

/// A prefix that no address has, so that no other use of the tenant's key has the same input.
const PURPOSE: &[u8] = b"\0rollbook contact id 2\0";

/// Derives external ids from e-mail addresses and phone numbers; they reveal nothing without the tenant's
/// key.
#[derive(Clone)]
pub(crate) struct ContactIds {
    key: Arc<[u8]>,
    /// The region of numbers without a country code.
    region: Option<String>,
}

impl ContactIds {
    pub(crate) fn new(key: Arc<[u8]>, region: Option<String>) -> Self {
        Self { key, region }
    }

    /// `email:` and the first 128 bits of the HMAC-SHA-256 of the address in normal form, or of the text
    /// itself if it has none.
    pub(crate) fn of_email(&self, email: &str) -> String {
        let normal = email::email(email);
        self.token(
            "email:",
            &normal.unwrap_or_else(|| email.trim().to_lowercase()),
        )
    }

    /// `phone:` and the same hash of a phone number, read in `country` or else in the tenant's region; `None`
    /// if no numbering plan allows the number, or many people share it.
    pub(crate) fn of_phone(&self, phone: &str, country: &str) -> Option<String> {
        let region = phone::region(country, self.region.as_deref());
        let number = phone::phone(phone, region)?;
        let is_of_one = !Shared::shipped().has_phone(&number.e164);
        is_of_one.then(|| self.token("phone:", &number.exact()))
    }

    /// The same of an e-mail address or a phone number in normal form; `None` of any other text.
    pub(crate) fn of_normal(&self, match_rule: MatchRule, value: &str) -> Option<String> {
        match match_rule {
            MatchRule::Email => Some(self.token("email:", value)),
            MatchRule::Phone => Some(self.token("phone:", value)),
            MatchRule::Address => None,
        }
    }

    fn token(&self, kind: &str, value: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        // Every other use of the key puts a name with a control character in front: a value that has
        // one must not come to the same.
        if value.chars().any(char::is_control) {
            mac.update(PURPOSE);
        }
        mac.update(value.as_bytes());
        let digest = mac.finalize().into_bytes();
        format!("{kind}{}", hex::encode(&digest[..16]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hmac::{Hmac, Mac};
    use rollbook_lake::table::key_index::key_of;
    use sha2::Sha256;

    use super::ContactIds;

    #[test]
    fn contact_ids_never_equal_other_uses_of_the_key() {
        let key: Arc<[u8]> = Arc::from([1_u8; 32].as_slice());
        let ids = ContactIds::new(Arc::clone(&key), None);
        let plain = |value: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(value.as_bytes());
            hex::encode(&mac.finalize().into_bytes()[..16])
        };
        for value in [
            "rollbook page token 1\0{}",
            "\0rollbook key of page tokens 2\0",
            "rollbook suppression 1\0email\0ann@example.com",
            "\u{1}\0\0\0email\0ann@example.com",
            "\u{1}\0\0\0email\0ann@example.com@example.com",
            "\0rollbook contact id 2\0x",
        ] {
            assert_ne!(
                ids.of_email(value),
                format!("email:{}", plain(value)),
                "{value:?}"
            );
        }
        // Ids of addresses, and of texts in place of an address, have not changed.
        for value in ["ann@example.com", "none"] {
            assert_eq!(ids.of_email(value), format!("email:{}", plain(value)));
        }
    }

    #[test]
    fn tokens_depend_on_the_key_and_the_address_alone() {
        let one = ContactIds::new(Arc::from([1_u8; 32].as_slice()), Some("DE".to_owned()));
        let other = ContactIds::new(Arc::from([2_u8; 32].as_slice()), None);
        assert_eq!(
            one.of_email("ada@example.com"),
            one.of_email(" ada@example.com ")
        );
        assert_ne!(
            one.of_email("ada@example.com"),
            other.of_email("ada@example.com")
        );
        assert!(!one.of_email("ada@example.com").contains("ada"));
        // One address and one number, however they are written.
        assert_eq!(
            one.of_email("Ada@Bücher.test"),
            one.of_email("ada@xn--bcher-kva.test")
        );
        assert_eq!(
            one.of_phone("0151 23456780", ""),
            one.of_phone("+49 151 23456780", "US")
        );
        assert_eq!(
            one.of_phone("0151 23456780", "Germany"),
            one.of_phone("+4915123456780", "")
        );
        assert_ne!(
            one.of_phone("0151 23456780", "AT"),
            one.of_phone("+4915123456780", "")
        );
        assert_eq!(
            [
                one.of_phone("000000000", "US"),
                one.of_phone("call me", "US")
            ],
            [None, None]
        );
    }

    #[test]
    fn token_parts_are_delimited() {
        let mut buffer = Vec::new();
        assert_ne!(
            key_of(["ab", "c"], &mut buffer),
            key_of(["a", "bc"], &mut buffer)
        );
    }
}
