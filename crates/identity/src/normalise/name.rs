//! Names of people: for telling how many differ, and as a part of an address.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::text;

/// A name in lower case without accents and punctuation: `O’Neil-Smith` is `oneil smith`.
pub fn name(value: &str) -> Option<String> {
    let value = text(value)?;
    let mut plain = String::with_capacity(value.len());
    for one in value.nfd().filter(|one| !is_combining_mark(*one)) {
        match one {
            '\'' | '’' | '`' | '´' | '.' => {}
            _ if one.is_alphanumeric() => plain.push(one),
            _ => plain.push(' '),
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_come_to_one_form() {
        for (value, form) in [
            ("O’Neil-Smith", Some("oneil smith")),
            ("  José  María ", Some("jose maria")),
            ("J. R. Ewing", Some("j r ewing")),
            ("王小明", Some("王小明")),
            ("--", None),
            ("'", None),
        ] {
            assert_eq!(name(value).as_deref(), form, "{value:?}");
        }
    }
}
