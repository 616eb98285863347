//! Keys in JSON columns that identify persons, found by name or value.

use std::net::IpAddr;

use serde_json::Value;

use super::names::snake;
use super::notes::is_email;

/// Words that are names of such keys, or their endings.
const WORDS: [&str; 22] = [
    "email",
    "e_mail",
    "mail",
    "email_address",
    "phone",
    "phone_number",
    "telephone",
    "mobile",
    "first_name",
    "last_name",
    "full_name",
    "given_name",
    "family_name",
    "surname",
    "street",
    "address_line1",
    "address",
    "date_of_birth",
    "birthday",
    "ip",
    "ip_address",
    "iban",
];
/// The maximum number of keys listed.
const MOST: usize = 50;
/// Number of digits of a phone number with country code.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// The personal keys, in order of first occurrence.
pub(super) fn keys(values: &[(&str, usize)]) -> Vec<String> {
    let mut found = Vec::new();
    for (text, _) in values {
        if let Ok(document) = serde_json::from_str(text) {
            look(&document, &mut found);
        }
    }
    found
}

fn look(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_one = is_named(key) && !value.is_null() || is_told(value);
                let can_be_named = !key.contains(|c: char| c == '"' || c.is_control());
                if is_one && can_be_named {
                    if !found.contains(key) && found.len() < MOST {
                        found.push(key.clone());
                    }
                } else {
                    look(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        _ => {}
    }
}

fn is_named(key: &str) -> bool {
    let key = snake(key);
    WORDS.iter().any(|word| {
        let before = key.strip_suffix(word);
        before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
    })
}

fn is_told(value: &Value) -> bool {
    let Value::String(text) = value else {
        return false;
    };
    let text = text.trim();
    is_email(text) || is_phone(text) || text.parse::<IpAddr>().is_ok()
}

/// Whether a text is a phone number with a country code.
fn is_phone(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || " -()./".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.strip_prefix('+')
        .is_some_and(|rest| rest.chars().all(is_part))
        && DIGITS.contains(&digits)
}

#[cfg(test)]
mod tests {
    use super::keys;

    fn check(documents: &[&str], expected: &[&str]) {
        let values: Vec<_> = documents.iter().map(|document| (*document, 1)).collect();
        assert_eq!(keys(&values), expected, "{documents:?}");
    }

    #[test]
    fn personal_columns_are_found_by_name_and_value() {
        check(
            &[r#"{"url":"/x","customerEmail":"","who":"a@b.example"}"#],
            &["customerEmail", "who"],
        );
        check(
            &[r#"{"form":{"tel.":"+49 151 234567"},"seen":["::1"],"from":"10.0.0.7"}"#],
            &["tel.", "from"],
        );
        check(
            &[r#"{"items":[{"name":"Cup","zip":1}],"total":"+5"}"#, "[1]"],
            &[],
        );
        check(&[r#"{"email":null,"voicemail":true}"#, "no document"], &[]);
    }
}
