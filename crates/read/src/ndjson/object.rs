//! The entries of one JSON object, with their values as written.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr2;
use serde::de::IgnoredAny;
use serde_json::error::Category;

/// The reason why a document is not a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    /// An undecodable byte, with its position from 0.
    Encoding(usize),
    /// A record that is too long.
    TooLong,
    /// The error in the JSON, without its content.
    Json(String),
}

/// The keys and values of the object in `text`, in order; values are as written.
pub(super) fn entries(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, JsonFault> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax(&error))?;
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        return Err(JsonFault::Json("it is JSON but not an object".to_owned()));
    }
    // From here on the text is known to be a JSON object, so that brackets and quotes suffice.
    let mut entries = Vec::new();
    let mut rest = text[1..].trim_ascii_start();
    while rest.starts_with('"') {
        let (key, after) = split_value(rest);
        let after = after
            .trim_ascii_start()
            .trim_start_matches(':')
            .trim_ascii_start();
        let (value, after) = split_value(after);
        entries.push((string(key)?, value));
        rest = after
            .trim_ascii_start()
            .trim_start_matches(',')
            .trim_ascii_start();
    }
    let mut seen = HashSet::with_capacity(entries.len());
    for (position, (key, _)) in entries.iter().enumerate() {
        if !seen.insert(key) {
            let reason = format!("key {} of the object stands in it twice", position + 1);
            return Err(JsonFault::Json(reason));
        }
    }
    Ok(entries)
}

/// A value as text: strings without quotes, `null` as nothing, all others as written.
pub(super) fn text_of(value: &str) -> Result<Option<Cow<'_, str>>, JsonFault> {
    match value.as_bytes().first() {
        Some(b'"') => string(value).map(Some),
        Some(b'n') => Ok(None),
        _ => Ok(Some(Cow::Borrowed(value))),
    }
}

/// The end of the JSON value at the start of `bytes`, found by brackets and quotes only; `None` if the value
/// does not end in `bytes`. A number or word may end at the end of `bytes`.
pub(super) fn value_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + depth),
            b'}' | b']' => depth -= 1,
            _ if depth == 0 => {
                let scalar = |byte: &u8| !byte.is_ascii_whitespace() && !b",]}".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| scalar(byte)).count();
                return Some(at + length);
            }
            _ => {}
        }
        at += 1;
    }
}

/// The position after the closing quote of the string that opens at `open`.
fn string_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn split_value(text: &str) -> (&str, &str) {
    text.split_at(value_end(text.as_bytes()).unwrap_or(text.len()))
}

fn string(quoted: &str) -> Result<Cow<'_, str>, JsonFault> {
    if !quoted.contains('\\') {
        return Ok(Cow::Borrowed(quoted.trim_matches('"')));
    }
    serde_json::from_str::<String>(quoted)
        .map(Cow::Owned)
        .map_err(|error| syntax(&error))
}

/// The position of a syntax error; the message of the parser may quote a value.
fn syntax(error: &serde_json::Error) -> JsonFault {
    JsonFault::Json(match error.classify() {
        Category::Eof => "the JSON ends in the middle of a value".to_owned(),
        _ => format!("it is not valid JSON at character {}", error.column()),
    })
}

#[cfg(test)]
mod tests {
    use super::{JsonFault, entries, text_of, value_end};

    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let read: Vec<_> = entries(text)
            .unwrap()
            .into_iter()
            .map(|(key, value)| (key, text_of(value).unwrap()))
            .collect();
        let read: Vec<_> = read
            .iter()
            .map(|(k, v)| (k.as_ref(), v.as_deref()))
            .collect();
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn values_stay_as_they_are_written() {
        check("{}", &[]);
        check(
            r#" { "a" : 1.10 , "b":-2e400,"c": true, "d":null } "#,
            &[
                ("a", Some("1.10")),
                ("b", Some("-2e400")),
                ("c", Some("true")),
                ("d", None),
            ],
        );
        check(
            r#"{"s":"say \"hi\", ü ü","n":{"x": [1, "}"]},"l":[ ]}"#,
            &[
                ("s", Some("say \"hi\", ü ü")),
                ("n", Some(r#"{"x": [1, "}"]}"#)),
                ("l", Some("[ ]")),
            ],
        );
        check(
            r#"{"a\"b":"","c":"\\"}"#,
            &[("a\"b", Some("")), ("c", Some("\\"))],
        );
    }

    #[test]
    fn errors_have_positions_and_no_values() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                entries(text).unwrap_err(),
                JsonFault::Json(expected.to_owned()),
                "{text}"
            );
        };
        check(r#"{"a": }"#, "it is not valid JSON at character 7");
        check(r#"{"a": 1"#, "the JSON ends in the middle of a value");
        check("[1]", "it is JSON but not an object");
        check(r#"{"a":1,"a":2}"#, "key 2 of the object stands in it twice");
        check(r#"{"a":1} {"a":2}"#, "it is not valid JSON at character 9");
    }

    #[test]
    fn the_end_of_a_value_is_found_by_brackets() {
        let check = |text: &str, expected| assert_eq!(value_end(text.as_bytes()), expected);
        check(r#"{"a":"}\""} ,"#, Some(11));
        check(r#"{"a":[1,{}"#, None);
        check("12,", Some(2));
        check("]", Some(0));
        check(r#""a\"#, None);
    }
}
