//! Normal forms, in which values are compared.
//!
//! Values that identify nobody have none: an e-mail address without a domain, an invalid phone number.
//! Nothing is guessed or truncated.

use unicode_normalization::UnicodeNormalization;

pub mod address;
pub mod date;
pub mod email;
pub mod given;
pub mod name;
pub mod phone;
pub mod place;

/// Version of the normal forms; part of every token, so that tokens of different versions differ.
pub const VERSION: u16 = 2;

/// Placeholders that sources write for missing values.
const NOTHING: [&str; 12] = [
    "null",
    "none",
    "nil",
    "n/a",
    "na",
    "nan",
    "undefined",
    "unknown",
    "-",
    "--",
    ".",
    "?",
];

/// A text in NFKC and lower case, without invisible characters and with single blanks; `None` if it is then
/// empty or a placeholder such as `n/a`.
pub fn text(value: &str) -> Option<String> {
    let folded = folded(value);
    let is_nothing = folded.is_empty() || NOTHING.contains(&folded.as_str());
    (!is_nothing).then_some(folded)
}

/// The normal form, also of placeholders.
fn folded(value: &str) -> String {
    let visible = value.chars().filter(|one| !is_invisible(*one));
    let folded: String = visible.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let mut joined = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

/// Zero-width and control characters, which copied texts may contain.
fn is_invisible(one: char) -> bool {
    let is_format = matches!(one,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    is_format || (one.is_control() && !one.is_whitespace())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{address, date, email, given, name, phone, place, text};

    /// Any text, and texts made of the characters of numbers and addresses.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[+0-9()xe., ;=a-z-]{0,24}",
            "[a-zÀ-ÿ.+@\u{200b}-]{0,12}@[a-zÀ-ÿ.-]{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn normal_forms_are_stable(value in texts(), other in texts()) {
            for form in [text(&value), name::name(&value), email::email(&value), date::date(&value)]
                .into_iter()
                .flatten()
            {
                prop_assert!(!form.is_empty());
            }
            // The form of a form is itself.
            if let Some(exact) = email::email(&value) {
                prop_assert_eq!(email::email(&exact), Some(exact));
            }
            if let Some(number) = phone::phone(&value, Some("US")) {
                let again = phone::phone(&number.e164, None);
                prop_assert_eq!(again.map(|again| again.e164), Some(number.e164));
            }
            let _ = phone::phone(&value, None);
            if let Some(code) = place::country(&value) {
                prop_assert_eq!(place::country(code), Some(code));
            }
            let who = given::given(&value, &other, name::name(&other).as_deref());
            prop_assert!(who.whole.is_none() || who.first.is_some() && who.initial.is_some());
            let _ = address::street(&value, &other);
            for country in [None, Some("US"), Some("DE")] {
                if let Some(code) = address::postal_code(&value, country) {
                    prop_assert_eq!(address::postal_code(&code, country), Some(code));
                }
            }
        }
    }

    #[test]
    fn spellings_share_a_form() {
        for (value, form) in [
            ("  Ann \t Lee\r\n", Some("ann lee")),
            ("A\u{200b}nn", Some("ann")),
            ("\u{feff}ann", Some("ann")),
            ("ＡＮＮ", Some("ann")),
            ("N/A", None),
            ("null", None),
            (" ", None),
            ("", None),
        ] {
            assert_eq!(text(value).as_deref(), form, "{value:?}");
        }
        // Composed or not, an accent is the same; a look-alike of another script is not.
        assert_eq!(text("Jose\u{301}"), text("José"));
        assert_ne!(text("аnn"), text("ann"));
        assert_eq!(text("İ"), text("i\u{307}"));
    }
}
