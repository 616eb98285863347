//! Phone numbers: E.164 if a numbering plan allows the number.

use std::sync::LazyLock;

use regex::Regex;

use super::{place, text};

mod plan;

use plan::{Number, dialled, international};

/// Minimum and maximum number of digits of a number with its country code (ITU-T E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Minimum number of digits as written.
const FEWEST: usize = 3;
/// Minimum number of digits before a `.0` that make a number a float; fewer belong to something else.
const FEWEST_OF_FLOAT: usize = 5;

/// The extension after a number (RFC 3966, and as people write it).
static EXTENSION: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"(?:;ext=|[ \t,]*(?:e?xt(?:ensi(?:o\x{301}?|\x{f3}))?n?|доб|anexo)[:.]?[ \t,-]*)(\d{1,20})#?",
        r"[ \t,]*(?:[x#~]|int)[:.]?[ \t,-]*(\d{1,9})#?",
        r"[- ]+(\d{1,6})#",
        r"[ \t]*,{2}[:.]?[ \t,-]*(\d{1,15})#?",
        r"[ \t]*,+[:.]?[ \t,-]*(\d{1,9})#?",
    ];
    Regex::new(&format!("(?:{})$", forms.join("|"))).expect("the expression is one")
});

/// Zeros of Unicode's decimal digits that a compatibility form does not change.
const ZEROS: [u32; 20] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946,
];

/// A valid phone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// `+`, the country code and the number.
    pub e164: String,
    /// The extension; numbers with different extensions are different.
    pub extension: Option<String>,
}

impl Phone {
    /// The exact form: E.164 and the extension, by which numbers are compared.
    pub fn exact(&self) -> String {
        match &self.extension {
            None => self.e164.clone(),
            Some(extension) => format!("{};ext={extension}", self.e164),
        }
    }
}

/// A phone number, read in `region` (ISO 3166-1 alpha-2) if it has no country code; `None` if no numbering
/// plan allows it.
pub fn phone(value: &str, region: Option<&str>) -> Option<Phone> {
    let value = text(value)?;
    let value = match as_float(&value) {
        Float::No => value,
        Float::Whole(digits) => digits,
        Float::Lost => return None,
    };
    let written = Written::of(&value)?;
    let region = region.map(str::to_ascii_uppercase);
    let region = region.as_deref();
    let number = written.number(region)?;
    let e164 = number.e164();
    if !DIGITS.contains(&(e164.len() - 1)) {
        return None;
    }
    // What looks like a prefix within the country may be taken off once more, and leave another
    // number or none.
    let again = international(&e164[1..]).ok().flatten();
    (again.as_ref() == Some(&number)).then_some(Phone {
        e164,
        extension: written.extension,
    })
}

/// The exact form of a phone number, read in `country` (the record's own), or in `default_region` if that is
/// unknown. Tokens, suppressions and look-ups all use this form.
pub fn exact(value: &str, country: &str, default_region: Option<&str>) -> Option<String> {
    phone(value, region(country, default_region)).map(|phone| phone.exact())
}

/// The region in which a record's phone numbers are read: its country, in whatever spelling, or else the
/// tenant's default region.
pub fn region<'a>(country: &str, default_region: Option<&'a str>) -> Option<&'a str> {
    place::country(country).or(default_region)
}

/// A number as written, without its formatting.
struct Written {
    digits: String,
    is_international: bool,
    extension: Option<String>,
}

impl Written {
    /// Parses a text in normal form; `None` if it is not exactly one number.
    fn of(value: &str) -> Option<Self> {
        let value = value.strip_prefix("tel:").unwrap_or(value);
        let (value, context) = in_context(value)?;
        let begin = value.find(|one: char| one == '+' || digit(one).is_some())?;
        let value = &value[begin..];
        // Of two extensions the first.
        let end = ["/x", "/ x"].iter().filter_map(|second| value.find(second));
        let value = &value[..end.min().unwrap_or(value.len())];
        let mut value = value.trim_end_matches(|one: char| {
            !(one.is_alphanumeric() || digit(one).is_some() || one == '#')
        });
        let is_plain = |one: char| one.is_ascii_digit() || "+-. ()/".contains(one);
        let mut extension = None;
        if !value.chars().all(is_plain)
            && let Some(found) = EXTENSION.captures(value)
            && let (Some(all), Some(digits)) = (found.get(0), found.iter().skip(1).flatten().next())
            && all.start() > 0
        {
            extension = Some(digits.as_str().to_owned());
            value = &value[..all.start()];
        }
        let is_international = value.starts_with('+') || context.is_some();
        let letters = value.chars().filter(char::is_ascii_alphabetic).count();
        let mut digits = context.unwrap_or_default();
        for one in value.trim_start_matches('+').chars() {
            match (digit(one), one) {
                (Some(digit), _) => digits.push(digit),
                // A word that is dialled by the letters on the keys.
                (_, 'a'..='z') if letters >= 3 => digits.push(key(one)),
                (_, 'x') => {}
                _ if "-. ()/[]~*".contains(one) || is_dash(one) => {}
                _ => return None,
            }
        }
        (digits.len() >= FEWEST).then_some(Self {
            digits,
            is_international,
            extension,
        })
    }

    /// The number that the text means in a region.
    fn number(&self, region: Option<&str>) -> Option<Number> {
        if self.is_international {
            match international(&self.digits) {
                Ok(number) => return number,
                // No country has such a code: the `+` was put before a number as it is dialled at home.
                Err(_) => return dialled(&self.digits, region?),
            }
        }
        let home = region.and_then(|region| dialled(&self.digits, region));
        home.or_else(|| international(self.digits.strip_prefix("00")?).ok()?)
    }
}

/// The number before the parameters of RFC 3966, and the country code that they name.
fn in_context(value: &str) -> Option<(&str, Option<String>)> {
    let Some((number, context)) = value.split_once(";phone-context=") else {
        let number = value.split(";isub=").next();
        return Some((number.unwrap_or(value), None));
    };
    let context = context.split(';').next().unwrap_or_default();
    let Some(code) = context.strip_prefix('+') else {
        return Some((number, None));
    };
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then(|| (number, Some(code.to_owned())))
}

/// A decimal digit of any script as an ASCII digit.
fn digit(one: char) -> Option<char> {
    if one.is_ascii_digit() {
        return Some(one);
    }
    let is_of = |zero: &&u32| (**zero..**zero + 10).contains(&u32::from(one));
    let zero = ZEROS.iter().find(is_of)?;
    char::from_digit(u32::from(one) - zero, 10)
}

/// The key of a telephone that has this letter (ITU-T E.161).
fn key(letter: char) -> char {
    match letter {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        _ => '9',
    }
}

fn is_dash(one: char) -> bool {
    matches!(
        one,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' | '\u{2053}' | '\u{223c}'
    )
}

/// Damage to a number by a spreadsheet.
enum Float {
    /// None: it is as written.
    No,
    /// It became a float that still has all its digits: `664123456.0`, `4.155552671e9`.
    Whole(String),
    /// It became a float that lost digits: `4.155552e9` stands for thousands of numbers.
    Lost,
}

fn as_float(value: &str) -> Float {
    let (sign, plain) = match value.strip_prefix('+') {
        Some(plain) => ("+", plain),
        None => ("", value),
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|one| one.is_ascii_digit());
    let (mantissa, exponent) = match plain.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain, None),
    };
    let (whole, fraction) = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    if !is_digits(whole) || fraction.is_some_and(|fraction| !is_digits(fraction)) {
        return Float::No;
    }
    let fraction = fraction.unwrap_or_default();
    let Some(exponent) = exponent else {
        let is_float = matches!(fraction, "0" | "00");
        return match is_float && whole.len() >= FEWEST_OF_FLOAT {
            true => Float::Whole(format!("{sign}{whole}")),
            false => Float::No,
        };
    };
    let places: Option<usize> = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok();
    match places {
        Some(places) if places == fraction.len() && whole.len() == 1 => {
            Float::Whole(format!("{sign}{whole}{fraction}"))
        }
        _ => Float::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::{exact as form, phone};

    fn exact(value: &str) -> Option<String> {
        phone(value, Some("US")).map(|phone| phone.exact())
    }

    #[test]
    fn phone_numbers_have_one_normal_form() {
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
            ("(530) 583-6985 x302/x2303", "+15305836985;ext=302"),
            ("tel:415-555-2671;phone-context=+1", "+14155552671"),
            ("+49 30 123456;ext=7", "+4930123456;ext=7"),
            ("Tel. +49 (30) 123456", "+4930123456"),
            ("800-FLOWERS", "+18003569377"),
            ("٤١٥٥٥٥٢٦٧١", "+14155552671"),
            ("4155552671.0", "+14155552671"),
            ("4155552671,00", "+14155552671"),
            ("14155552671.0", "+14155552671"),
            ("+14155552671.0", "+14155552671"),
            ("4,155552671E+9", "+14155552671"),
        ] {
            assert_eq!(exact(value).as_deref(), Some(form), "{value:?}");
        }
    }

    #[test]
    fn different_phone_numbers_stay_different() {
        assert_eq!(exact("+7 702 555 0123").as_deref(), Some("+77025550123"));
        assert_eq!(exact("702-555-0123").as_deref(), Some("+17025550123"));
        assert_ne!(exact("415-555-2671 x12"), exact("415-555-2671"));
    }

    #[test]
    fn impossible_phone_numbers_identify_nobody() {
        for value in [
            // In Lithuania the trunk prefix is 8: this number is invalid without it.
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
            "4.155552E+9",
            "4.15555267E9",
            "4.1555526710E9",
            "415-555-2671, 415-555-2672",
            "+1 415 555",
            "+999 123 456 789",
        ] {
            assert_eq!(exact(value), None, "{value:?}");
        }
        // Nine digits that were followed by a zero are another number.
        assert_eq!(
            phone("664123456.0", Some("AT")),
            phone("0664 123456", Some("AT"))
        );
        assert_ne!(
            phone("664123456.0", Some("AT")),
            phone("0664 1234560", Some("AT"))
        );
        // Without a country nobody knows which network is meant.
        assert_eq!(phone("415-555-2671", None), None);
        assert!(phone("+14155552671", None).is_some());
    }

    #[test]
    fn national_number_may_begin_with_its_country_code() {
        for (value, country, form) in [
            ("91741 55036", "IN", "+919174155036"),
            ("091741 55036", "IN", "+919174155036"),
            ("91 98765 41230", "IN", "+919876541230"),
            ("392 858 4612", "IT", "+393928584612"),
            ("47 61 82 93", "NO", "+4747618293"),
            ("45 75 03 16", "DK", "+4545750316"),
            ("6561 9206", "SG", "+6565619206"),
            ("(55) 99147-7737", "BR", "+5555991477737"),
            // The prefix of a carrier and that of the country itself, as they are dialled.
            ("0 15 55 99147-7737", "BR", "+5555991477737"),
            ("011 15 2345-6789", "AR", "+5491123456789"),
            // Short ones of small countries.
            ("201234", "FO", "+298201234"),
            ("4002", "NU", "+6834002"),
        ] {
            let found = phone(value, Some(country)).map(|phone| phone.e164);
            assert_eq!(found.as_deref(), Some(form), "{value} in {country}");
        }
    }

    #[test]
    fn phone_numbers_parse_as_in_libphonenumber() {
        let mut count = 0;
        for line in include_str!("phone/cases.csv").lines().skip(1) {
            let [country, value, e164] = line.split(';').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let found = phone(value, Some(country)).map(|phone| phone.e164);
            assert_eq!(found.as_deref().unwrap_or(""), e164, "{value} in {country}");
            count += 1;
        }
        assert!(count > 1_000, "{count}");
    }

    #[test]
    fn a_record_without_a_country_is_in_the_default_region() {
        let german = Some("+4915123456780".to_owned());
        assert_eq!(form("0151 23456780", "DE", Some("US")), german);
        assert_eq!(form("0151 23456780", "Deutschland", Some("US")), german);
        assert_eq!(form("0151 23456780", "", Some("DE")), german);
        assert_eq!(form("+4915123456780", "", None), german);
        assert_eq!(form("0151 23456780", "", None), None);
    }
}
