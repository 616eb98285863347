//! Redaction: removes the values that identify a person from a text, in all their spellings.

use std::ops::Range;

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};

/// The replacement of a removed value.
const GONE: &str = "[erased]";
/// Length of base64 text that may contain a value.
const FEWEST_LETTERS: usize = 8;
/// Backslashes before an escape: JSON in JSON in JSON in JSON has eight.
const MOST_STROKES: usize = 8;

/// A text with these values removed; `None` if it has none of them. A value has one or more parts, in lower
/// case, which together identify a person.
///
/// Letter case is ignored. Values are also found as written in JSON (`J\u00f6rg`), in a URL
/// (`ann%40example.com`) and in base64. Only whole values are found: `ann@example.com` is not part of
/// `joann@example.com`.
pub(crate) fn redacted(text: &str, values: &[Vec<String>]) -> Option<String> {
    let mut changed = without(text, values, Letters::plain);
    let so_far = changed.as_deref().unwrap_or(text);
    if so_far.contains(['\\', '%']) {
        changed = without(so_far, values, Letters::unescaped).or(changed);
    }
    let so_far = changed.as_deref().unwrap_or(text);
    without_packed(so_far, values).or(changed)
}

fn without(text: &str, values: &[Vec<String>], read: fn(&str) -> Letters) -> Option<String> {
    let mut letters = read(text);
    let mut changed: Option<String> = None;
    for parts in values {
        if parts.iter().any(|part| letters.find(part).is_empty()) {
            continue;
        }
        let mut left = changed.take().unwrap_or_else(|| text.to_owned());
        for part in parts {
            // From the last one on, so that the others stay where they were found.
            for found in letters.find(part).into_iter().rev() {
                left.replace_range(found, GONE);
            }
            letters = read(&left);
        }
        changed = Some(left);
    }
    changed
}

/// Removes base64 texts that contain one of the values.
fn without_packed(text: &str, values: &[Vec<String>]) -> Option<String> {
    let holds = |packed: &str| {
        unpacked(packed).is_some_and(|inner| {
            without(&inner, values, Letters::plain).is_some()
                || without(&inner, values, Letters::unescaped).is_some()
        })
    };
    let is_letter = |one: char| one.is_ascii_alphanumeric() || "+/-_".contains(one);
    let (mut left, mut is_changed) = (String::new(), false);
    let mut rest = text;
    while let Some(begin) = rest.find(is_letter) {
        let run = &rest[begin..];
        let run = &run[..run.find(|one| !is_letter(one)).unwrap_or(run.len())];
        left.push_str(&rest[..begin]);
        if run.len() >= FEWEST_LETTERS && holds(run) {
            left.push_str(GONE);
            is_changed = true;
        } else {
            // A path has parts between strokes.
            for (at, part) in run.split('/').enumerate() {
                if at > 0 {
                    left.push('/');
                }
                let is_one = part.len() < run.len() && part.len() >= FEWEST_LETTERS && holds(part);
                left.push_str(if is_one { GONE } else { part });
                is_changed |= is_one;
            }
        }
        rest = &rest[begin + run.len()..];
    }
    left.push_str(rest);
    is_changed.then_some(left)
}

fn unpacked(packed: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = match packed.contains(['-', '_']) {
        true => URL_SAFE,
        false => STANDARD,
    };
    let bytes = GeneralPurpose::new(&alphabet, LENIENT)
        .decode(packed)
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// A text in lower case, with the position from which each of its bytes came.
struct Letters {
    lower: String,
    from: Vec<(usize, usize)>,
}

impl Letters {
    fn plain(text: &str) -> Self {
        Self::read(text, |_| None)
    }

    /// The text with its escapes decoded.
    fn unescaped(text: &str) -> Self {
        Self::read(text, |rest| match rest.as_bytes()[0] {
            b'\\' => of_json(rest),
            b'%' => of_address(rest),
            _ => None,
        })
    }

    /// Reads letter by letter; each may come from several letters of the text.
    fn read(text: &str, escape: impl Fn(&str) -> Option<(char, usize)>) -> Self {
        let (mut lower, mut from) = (String::with_capacity(text.len()), Vec::new());
        let mut at = 0;
        while let Some(plain) = text[at..].chars().next() {
            let (one, length) = escape(&text[at..]).unwrap_or((plain, plain.len_utf8()));
            // A lower-case letter may take more bytes than its upper-case one.
            for small in one.to_lowercase() {
                lower.push(small);
                from.resize(lower.len(), (at, at + length));
            }
            at += length;
        }
        Self { lower, from }
    }

    /// All positions at which a value in lower case occurs as a whole.
    fn find(&self, part: &str) -> Vec<Range<usize>> {
        if part.is_empty() || GONE.contains(part) {
            return Vec::new();
        }
        let lower = &self.lower;
        let stands_alone =
            |begin: &usize| is_alone(&lower[..*begin], &lower[begin + part.len()..], part);
        let found = lower.match_indices(part).map(|(begin, _)| begin);
        let place = |begin: usize| {
            let last = begin + part.len() - 1;
            self.from[begin].0..self.from[last].1
        };
        found.filter(stands_alone).map(place).collect()
    }
}

/// The letter of a JSON escape, also in JSON nested in JSON, and the length of the escape.
fn of_json(text: &str) -> Option<(char, usize)> {
    // Behind the strokes: of any number of them, each is looked at a few times.
    let behind = |text: &str| {
        let strokes = text.bytes().take(MOST_STROKES + 1);
        strokes.take_while(|byte| *byte == b'\\').count()
    };
    let unit = |text: &str| {
        let rest = &text[behind(text)..];
        let digits = rest.strip_prefix('u')?.get(..4)?;
        let strokes = text.len() - rest.len();
        let unit = u16::from_str_radix(digits, 16).ok()?;
        (strokes > 0).then_some((unit, strokes + 5))
    };
    let Some((first, length)) = unit(text) else {
        let rest = &text[behind(text)..];
        let one = match rest.chars().next()? {
            one @ ('"' | '/') => one,
            'b' | 'f' | 'n' | 'r' | 't' => ' ',
            _ => return None,
        };
        return Some((one, text.len() - rest.len() + 1));
    };
    if let Some(one) = char::from_u32(u32::from(first)) {
        return Some((one, length));
    }
    let (second, more) = unit(&text[length..])?;
    let one = char::decode_utf16([first, second]).next()?.ok()?;
    Some((one, length + more))
}

/// The letter of a percent escape, also if escaped twice, and the length of the escape.
fn of_address(text: &str) -> Option<(char, usize)> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while bytes.len() < 4 {
        let mut digits = text[at..].strip_prefix('%')?;
        while digits.len() > 3 && digits.starts_with("25") {
            digits = &digits[2..];
        }
        bytes.push(u8::from_str_radix(digits.get(..2)?, 16).ok()?);
        at = text.len() - digits.len() + 2;
        if let Ok(one) = str::from_utf8(&bytes) {
            return Some((one.chars().next()?, at));
        }
    }
    None
}

/// Whether the text around a value is not part of it.
fn is_alone(before: &str, after: &str, part: &str) -> bool {
    let is_address = part.contains('@');
    let goes_before = |one: char| one.is_alphanumeric() || is_address && "._%+-".contains(one);
    let mut after = after.chars();
    let follows = match after.next() {
        Some(one) if is_address && ".-".contains(one) => after.next(),
        next => next,
    };
    !before.chars().next_back().is_some_and(goes_before)
        && !follows.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn values_are_redacted_in_any_case() {
        let values = [
            vec!["ann@example.com".to_owned()],
            vec!["ann".to_owned(), "östberg".to_owned()],
            vec!["(415) 555-2671".to_owned()],
        ];
        for (text, left) in [
            (
                "email = 'Ann@Example.com' or x",
                Some("email = '[erased]' or x"),
            ),
            ("ANN ÖSTBERG, Ann", Some("[erased] [erased], [erased]")),
            ("İ ann östberg", Some("İ [erased] [erased]")),
            ("to ann@example.com.", Some("to [erased].")),
            ("+1 (415) 555-2671x", None),
            ("+1 (415) 555-2671", Some("+1 [erased]")),
            ("joann@example.com, jo.ann@example.com", None),
            ("ann@example.com.au, ann@example.community", None),
            (
                "joann@example.com, ann@example.com",
                Some("joann@example.com, [erased]"),
            ),
            ("Anna Östberg", None),
            ("Ann Lee", None),
            ("", None),
        ] {
            assert_eq!(redacted(text, &values).as_deref(), left, "{text}");
        }
    }

    #[test]
    fn values_are_redacted_in_every_spelling() {
        let values = [
            vec!["ann@example.com".to_owned()],
            vec!["jörg".to_owned(), "müller".to_owned()],
            vec!["😀 fan".to_owned()],
            vec!["x/y \"z\"".to_owned()],
        ];
        for (text, left) in [
            (
                r#"{"who":"J\u00f6rg M\u00FCller"}"#,
                Some(r#"{"who":"[erased] [erased]"}"#),
            ),
            (
                r#"{"in":"{\"who\":\"J\\u00d6rg\\tM\\u00fcller\"}"}"#,
                Some(r#"{"in":"{\"who\":\"[erased]\\t[erased]\"}"}"#),
            ),
            (r"a \ud83d\ude00 fan", Some("a [erased]")),
            (r#""x\/y \"z\"""#, Some(r#""[erased]""#)),
            ("/x?e=ann%40example.com&y", Some("/x?e=[erased]&y")),
            ("/x?e=Ann%2540Example%2Ecom", Some("/x?e=[erased]")),
            ("n=J%C3%B6rg+M%c3%bcller", Some("n=[erased]+[erased]")),
            ("d=YW5uQGV4YW1wbGUuY29t", Some("d=[erased]")),
            ("d=QW5uQEV4YW1wbGUuY29t.", Some("d=[erased].")),
            ("/u/dG86IGFubkBleGFtcGxlLmNvbQ==/z", Some("/u/[erased]==/z")),
            (
                "{\"e\":\"eyJlIjoiYW5uXHUwMDQwZXhhbXBsZS5jb20ifQ\"}",
                Some("{\"e\":\"[erased]\"}"),
            ),
            // Nothing of these names her.
            ("joann%40example.com", None),
            (r"C:\users\ann %zz \u12 100%", None),
            ("am9hbm5AZXhhbXBsZS5jb20=", None),
            (r"\ud83d and %E2%82", None),
        ] {
            assert_eq!(redacted(text, &values).as_deref(), left, "{text}");
        }
        // However long a text is, it is looked through a few times.
        for one in ["\\", "%25", "ann@example.com "] {
            let text = one.repeat(100_000);
            let left = redacted(&text, &values);
            assert_eq!(left.is_some(), one.contains('@'), "{one}");
            assert!(!left.is_some_and(|left| left.contains('@')), "{one}");
        }
    }
}
