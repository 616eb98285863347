//! Values shared by many people, which identify nobody: a built-in list and the tenant's own.

use std::collections::HashSet;
use std::sync::LazyLock;

/// A value with records of more distinct names than this identifies nobody.
pub const MOST_NAMES: usize = 20;

/// Values that never link records.
#[derive(Debug, Clone)]
pub struct Shared {
    values: HashSet<String>,
}

static SHIPPED: LazyLock<Shared> = LazyLock::new(|| Shared::with([]));

impl Shared {
    /// The built-in list of shared addresses and numbers.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// The built-in list plus these entries: whole values in normal form, `name@` or `@domain`.
    pub fn with(own: impl IntoIterator<Item = String>) -> Self {
        let shipped = include_str!("shared_values.txt").lines();
        let shipped = shipped.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let values = shipped.map(str::to_owned).chain(own).collect();
        Self { values }
    }

    /// Whether an e-mail address in normal form is shared by many people, or has no domain.
    pub fn has_email(&self, exact: &str) -> bool {
        let Some(at) = exact.find('@') else {
            return true;
        };
        let local = exact[..at].split('+').next().unwrap_or_default();
        self.values.contains(exact)
            || self.values.contains(&exact[at..])
            || self.values.contains(&format!("{local}@"))
    }

    /// Whether a phone number in E.164 is a placeholder or shared by many people: it is listed, or its digits
    /// repeat or count up or down.
    pub fn has_phone(&self, e164: &str) -> bool {
        let digits: Vec<u8> = e164.bytes().filter(u8::is_ascii_digit).collect();
        let last = digits.len().saturating_sub(7);
        let is_repeated = digits[last..].windows(2).all(|two| two[0] == two[1]);
        let is_counted = digits.ends_with(b"1234567") || digits.ends_with(b"1234567890");
        is_repeated || is_counted || self.values.contains(e164)
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;

    #[test]
    fn shared_values_are_recognised() {
        let shared = Shared::with(["front-desk@".to_owned(), "+14155552671".to_owned()]);
        for many in [
            "test@test.com",
            "noreply@example.com",
            "no-reply+x@shop.example",
            "info@example.com",
            "x7k2@marketplace.amazon.com",
            "front-desk@hotel.example",
        ] {
            assert!(shared.has_email(many), "{many}");
        }
        for one in [
            "ann@example.com",
            "information@example.com",
            "ann+test@example.com",
        ] {
            assert!(!shared.has_email(one), "{one}");
        }
        for many in [
            "+10000000000",
            "+12222222222",
            "+14155552671",
            "+12121234567",
        ] {
            assert!(shared.has_phone(many), "{many}");
        }
        assert!(!shared.has_phone("+4930123456"));
    }
}
