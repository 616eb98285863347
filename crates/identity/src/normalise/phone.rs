//! Phone numbers: E.164 where a network would connect the number.

use phonenumber::country::Id;
use phonenumber::{Mode, PhoneNumber};

use super::text;

/// Digits of a number at least and at most, its country's code included (ITU-T E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number as a network would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// `+`, the country's code and the number.
    pub e164: String,
    /// The extension behind it; numbers that differ in it are not the same telephone.
    pub extension: Option<String>,
}

impl Phone {
    /// What tells it from others.
    pub fn exact(&self) -> String {
        match &self.extension {
            None => self.e164.clone(),
            Some(extension) => format!("{};ext={extension}", self.e164),
        }
    }
}

/// A number, read in `region` (ISO 3166-1 alpha-2) where it names no country; `None` where no
/// network has it.
pub fn phone(value: &str, region: Option<&str>) -> Option<Phone> {
    let value = text(value)?;
    let value = value.strip_prefix("tel:").unwrap_or(&value);
    let value = match as_float(value) {
        Some(digits) => digits,
        None => value.to_owned(),
    };
    let digits = value.chars().filter(char::is_ascii_digit).count();
    // With an extension there may be more of them than a number has.
    if digits < *DIGITS.start() {
        return None;
    }
    let region: Option<Id> = region.and_then(|region| region.to_ascii_uppercase().parse().ok());
    let read = |value: &str, region| {
        let number = phonenumber::parse(region, value).ok()?;
        number.is_valid().then_some(number)
    };
    let abroad = value.strip_prefix("00").map(|rest| format!("+{rest}"));
    let number = match value.starts_with('+') {
        true => read(&value, None),
        false => {
            let home = region.and_then(|region| read(&value, Some(region)));
            home.or_else(|| read(&abroad?, None))
        }
    }?;
    let extension = number.extension().map(ToString::to_string);
    let e164 = |number: &PhoneNumber| {
        let e164 = number.format().mode(Mode::E164).to_string();
        e164.split(';').next().unwrap_or_default().to_owned()
    };
    let e164_of = e164(&number);
    if !DIGITS.contains(&(e164_of.len() - 1)) {
        return None;
    }
    // What looks like a prefix within the country may be taken off once more, and leave another
    // number or none. In North America no number begins with the prefix.
    let is_settled = value == e164_of || e164_of.starts_with("+1");
    let is_itself = || read(&e164_of, None).is_some_and(|again| e164(&again) == e164_of);
    (is_settled || is_itself()).then_some(Phone {
        e164: e164_of,
        extension,
    })
}

/// A number that a spreadsheet turned into a float, `4.155552671e9`, if no digit of it was lost.
fn as_float(value: &str) -> Option<String> {
    let (mantissa, exponent) = value.split_once('e')?;
    let exponent: usize = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_exact = is_digits(whole)
        && is_digits(fraction)
        && whole.len() == 1
        && exponent <= *DIGITS.end()
        && fraction.len() <= exponent
        && fraction.len() + 1 >= *DIGITS.start();
    is_exact.then(|| format!("{whole}{fraction}{}", "0".repeat(exponent - fraction.len())))
}

#[cfg(test)]
mod tests {
    use super::phone;

    fn exact(value: &str) -> Option<String> {
        phone(value, Some("US")).map(|phone| phone.exact())
    }

    #[test]
    fn numbers_come_to_one_form() {
        for (value, form) in [
            ("(415) 555-2671", "+14155552671"),
            ("415.555.2671", "+14155552671"),
            ("+1 415 555 2671", "+14155552671"),
            ("1-415-555-2671", "+14155552671"),
            ("4.155552671E9", "+14155552671"),
            ("４１５５５５２６７１", "+14155552671"),
            ("415-555-2671\u{200b}", "+14155552671"),
            ("tel:+14155552671", "+14155552671"),
            ("+49 30 123456", "+4930123456"),
            ("0049 30 123456", "+4930123456"),
            ("415-555-2671 ext. 12", "+14155552671;ext=12"),
            ("415-555-2671 x12", "+14155552671;ext=12"),
        ] {
            assert_eq!(exact(value).as_deref(), Some(form), "{value:?}");
        }
    }

    #[test]
    fn strangers_stay_strangers() {
        assert_eq!(exact("+7 702 555 0123").as_deref(), Some("+77025550123"));
        assert_eq!(exact("702-555-0123").as_deref(), Some("+17025550123"));
        assert_ne!(exact("415-555-2671 x12"), exact("415-555-2671"));
    }

    #[test]
    fn what_no_network_has_identifies_nobody() {
        for value in [
            // In Lithuania an 8 is dialled before numbers: this one is none without it.
            "0037080154009/5",
            // What follows the semicolon is no part of the number, which is too short without it.
            "@1640;06166",
            "",
            "n/a",
            "12",
            "0000000000",
            "1111111111",
            "123",
            "415-555",
            "call me",
            "415-555-26711234",
            "4.15E9",
            "+1 415 555",
            "+999 123 456 789",
        ] {
            assert_eq!(exact(value), None, "{value:?}");
        }
        // Without a country nobody knows which network is meant.
        assert_eq!(phone("415-555-2671", None), None);
        assert!(phone("+14155552671", None).is_some());
    }
}
