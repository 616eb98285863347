//! What a user should know of a column before mapping it.

use serde::Serialize;

/// A peculiarity of a column's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "hint")]
pub enum Hint {
    /// Digits that begin with zeros, which a number would lose.
    LeadingZeros,
    /// Postal codes that have lost their zeros already: some are shorter than most.
    ZerosLost {
        /// The length that most values have.
        length: usize,
    },
    /// Numbers whose decimals follow a comma.
    DecimalComma,
    /// Numbers of seconds or milliseconds since 1970.
    UnixTime {
        /// Whether they count milliseconds.
        milliseconds: bool,
    },
    /// Dates in which each day could as well be a month.
    DayOrMonth,
    /// Times that name no zone.
    NoZone,
    /// E-mail addresses.
    Email,
    /// Phone numbers.
    Phone,
    /// Some e-mail addresses and some phone numbers.
    EmailAndPhone,
    /// Blanks before or after values.
    Padded,
    /// A word that stands for no value.
    Placeholder {
        /// The word, as the file has it.
        value: String,
    },
}

/// Words that people and forms write where there is no value.
const PLACEHOLDERS: [&str; 11] =
    ["select", "n/a", "#n/a", "na", "null", "nan", "none", "-", "--", "?", "not provided"];

/// The hints that texts give, whatever their kind.
pub(super) fn of_texts(values: &[(&str, usize)]) -> Vec<Hint> {
    let rows: usize = values.iter().map(|(_, rows)| rows).sum();
    let count = |is: fn(&str) -> bool| -> usize {
        values.iter().filter(|(text, _)| is(text.trim())).map(|(_, rows)| rows).sum()
    };
    let (emails, phones) = (count(is_email), count(is_phone));
    let mut hints = Vec::new();
    // Nine in ten: a contact column has its typos and remarks.
    if emails * 10 >= rows * 9 && rows > 0 {
        hints.push(Hint::Email);
    } else if phones * 10 >= rows * 9 && rows > 0 {
        hints.push(Hint::Phone);
    } else if emails * 20 >= rows && phones * 20 >= rows && (emails + phones) * 10 >= rows * 8 {
        hints.push(Hint::EmailAndPhone);
    }
    if values.iter().any(|(text, _)| text.trim().len() < text.len()) {
        hints.push(Hint::Padded);
    }
    let word = |text: &&(&str, usize)| {
        PLACEHOLDERS.iter().any(|word| text.0.trim().eq_ignore_ascii_case(word))
    };
    let placeholders = values.iter().filter(word);
    hints.extend(placeholders.map(|(text, _)| Hint::Placeholder { value: (*text).to_owned() }));
    hints
}

/// Whether the words of a placeholder are all that keeps a text from being what the others are.
pub(super) fn is_placeholder(text: &str) -> bool {
    PLACEHOLDERS.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let dotted = domain.split_once('.').is_some_and(|(name, end)| {
        !name.is_empty() && !end.is_empty()
    });
    dotted && !local.is_empty() && !text.contains(char::is_whitespace) && !domain.contains('@')
}

fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let marks = text.bytes().filter(|byte| b" +-()./".contains(byte)).count();
    let set_off = text.starts_with('+') || text.starts_with('(') || text.contains([' ', '-']);
    // A date has eight digits and two dashes as well.
    let date = text.len() <= 10 && marks == 2 && digits == 8 && !text.starts_with(['+', '(']);
    (7..=15).contains(&digits) && digits + marks == text.len() && set_off && !date
}

#[cfg(test)]
mod tests {
    use super::{Hint, of_texts};

    #[test]
    fn contacts_and_placeholders_are_told() {
        let check = |values: &[&str], expected: &[Hint]| {
            let counted: Vec<_> = values.iter().map(|value| (*value, 1)).collect();
            assert_eq!(of_texts(&counted), expected, "{values:?}");
        };
        check(&["ada@example.com", "bo@example.org"], &[Hint::Email]);
        check(&["+49 30 123456", "(206) 555-0100"], &[Hint::Phone]);
        check(&["ada@example.com", "+49 30 123456"], &[Hint::EmailAndPhone]);
        check(&["2024-05-01", "1234567"], &[]);
        check(&["Mumbai", "Select"], &[Hint::Placeholder { value: "Select".to_owned() }]);
        check(&[" a", "b"], &[Hint::Padded]);
        check(&[], &[]);
    }
}
