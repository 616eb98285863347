//! Number styles: decimal point or decimal comma, with their thousands separators.

use std::borrow::Cow;

/// The decimal separator of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberStyle {
    /// `1,234.56`
    Point,
    /// `1.234,56`
    Comma,
}

impl NumberStyle {
    /// The style of a sample number, such as `1.234,56`.
    pub(crate) fn of_sample(sample: &str) -> Option<Self> {
        match sample {
            "1,234.56" | "1 234.56" | "1'234.56" | "1234.56" => Some(Self::Point),
            "1.234,56" | "1 234,56" | "1'234,56" | "1234,56" => Some(Self::Comma),
            _ => None,
        }
    }

    /// A sample number in this style.
    pub(crate) fn sample(self) -> &'static str {
        match self {
            Self::Point => "1,234.56",
            Self::Comma => "1.234,56",
        }
    }

    fn decimal_sign(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }

    /// The thousands separator; both styles also allow blanks and apostrophes.
    fn between_thousands(self) -> char {
        match self {
            Self::Point => ',',
            Self::Comma => '.',
        }
    }
}

/// A number without thousands separators and with a decimal point; `None` if the text is not a number in this
/// style.
///
/// Thousands separators are commas (points in the other style), blanks or apostrophes, only one kind in a
/// number. Each is followed by three digits, and the first group does not begin with a zero.
pub(crate) fn plain(text: &str, style: NumberStyle) -> Option<Cow<'_, str>> {
    let (negative, digits) = signed(text);
    let (whole, fraction) = digits
        .split_once(style.decimal_sign())
        .unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(fraction) {
        return None;
    }
    let is_as_it_is = all_digits(whole);
    if is_as_it_is && style == NumberStyle::Point && text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    let mut number = String::with_capacity(text.len());
    if negative {
        number.push('-');
    }
    if is_as_it_is {
        number.push_str(whole);
    } else {
        let separator = whole.chars().find(|c| !c.is_ascii_digit())?;
        let is_known = separator == style.between_thousands()
            || matches!(
                separator,
                ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '\u{2019}'
            );
        let mut groups = whole.split(separator);
        let first = groups.next()?;
        if !is_known
            || !matches!(first.len(), 1..=3)
            || first.starts_with('0')
            || !all_digits(first)
        {
            return None;
        }
        number.push_str(first);
        for group in groups {
            if group.len() != 3 || !all_digits(group) {
                return None;
            }
            number.push_str(group);
        }
    }
    if !fraction.is_empty() {
        number.push('.');
        number.push_str(fraction);
    }
    Some(Cow::Owned(number))
}

/// Whether a text can only be read as a number with a decimal comma, such as `12,50`, `0,500`, `1.234,50` or
/// `1.234.567`. A currency, a sign or brackets around it are ignored.
pub(crate) fn is_only_comma(text: &str) -> bool {
    is_only(text, NumberStyle::Comma, NumberStyle::Point)
}

/// Whether a text can only be read as a number with a decimal point.
pub(crate) fn is_only_point(text: &str) -> bool {
    is_only(text, NumberStyle::Point, NumberStyle::Comma)
}

fn is_only(text: &str, style: NumberStyle, other: NumberStyle) -> bool {
    let number = text.trim_matches(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    let number = number.trim_end_matches(['.', ',']);
    has_separator(number) && plain(number, style).is_some() && plain(number, other).is_none()
}

/// Whether a value has a separator that the two styles read differently.
pub(crate) fn has_separator(text: &str) -> bool {
    text.bytes().any(|byte| byte == b'.' || byte == b',')
}

fn signed(text: &str) -> (bool, &str) {
    for (sign, negative) in [('-', true), ('\u{2212}', true), ('+', false)] {
        if let Some(digits) = text.strip_prefix(sign) {
            return (negative, digits);
        }
    }
    (false, text)
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::NumberStyle::{Comma, Point};
    use super::{is_only_comma, is_only_point, plain};

    #[test]
    fn each_number_format_reads_its_own_numbers() {
        for (text, with_point, with_comma) in [
            ("1234", Some("1234"), Some("1234")),
            ("-12.5", Some("-12.5"), None),
            ("-12,5", None, Some("-12.5")),
            ("\u{2212}12,5", None, Some("-12.5")),
            ("1,234", Some("1234"), Some("1.234")),
            ("1.234", Some("1.234"), Some("1234")),
            ("1,234.50", Some("1234.50"), None),
            ("1.234,50", None, Some("1234.50")),
            ("1.234.567", None, Some("1234567")),
            ("1,234,567", Some("1234567"), None),
            ("1 234,5", None, Some("1234.5")),
            ("1\u{a0}234\u{a0}567", Some("1234567"), Some("1234567")),
            ("1\u{202f}234,5", None, Some("1234.5")),
            ("1'234.50", Some("1234.50"), None),
            ("1\u{2019}234", Some("1234"), Some("1234")),
            ("0,500", None, Some("0.500")),
            ("0.500", Some("0.500"), None),
            ("1,23,456", None, None),
            ("1.234 567,5", None, None),
            ("12,34,5", None, None),
            ("1234,567", None, Some("1234.567")),
            (",5", None, Some(".5")),
            ("12,", None, Some("12")),
            ("1 23", None, None),
            ("1.2.3", None, None),
            ("12 EUR", None, None),
            ("(12)", None, None),
            ("--1", None, None),
            ("", None, None),
            (".", None, None),
            ("-", None, None),
        ] {
            assert_eq!(plain(text, Point).as_deref(), with_point, "{text}");
            assert_eq!(plain(text, Comma).as_deref(), with_comma, "{text}");
        }
    }

    #[test]
    fn decimal_comma_is_detected_where_unambiguous() {
        for text in [
            "12,50",
            "-1.234,50",
            "1.234.567",
            "0,5",
            "12,50 €",
            "EUR 1.234,50",
            "(3,5)",
            "1,5-",
        ] {
            assert!(is_only_comma(text) && !is_only_point(text), "{text}");
        }
        for text in ["12.50", "1,234.50", "1,234,567", "$0.50"] {
            assert!(is_only_point(text) && !is_only_comma(text), "{text}");
        }
        for text in [
            "1,234",
            "1.234",
            "12",
            "1 234",
            "1.2.3",
            "1,23,456",
            "n/a",
            "",
            ",",
            "2024-05-01",
        ] {
            assert!(!is_only_point(text) && !is_only_comma(text), "{text}");
        }
    }
}
