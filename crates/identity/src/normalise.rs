//! Values in the one form in which two of them are compared.
//!
//! What cannot identify anybody gives `None`: an e-mail address without a domain, a phone number
//! that no network would connect. Nothing is guessed, and nothing is cut to fit.

use unicode_normalization::UnicodeNormalization;

pub mod address;
pub mod date;
pub mod email;
pub mod given;
pub mod name;
pub mod phone;
pub mod place;

/// Of these rules; part of every token, so that tokens of other rules are told apart.
pub const VERSION: u16 = 2;

/// What sources write where they have no value.
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

/// A text without invisible characters, in compatibility form (NFKC), lower case, its white space
/// one blank each; `None` where nothing is left or it stands for nothing.
pub fn text(value: &str) -> Option<String> {
    let folded = folded(value);
    let is_nothing = folded.is_empty() || NOTHING.contains(&folded.as_str());
    (!is_nothing).then_some(folded)
}

/// The same, whatever the text stands for.
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

/// Characters without width or of control, which come along when texts are copied.
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

    /// Any text, and texts of what numbers and addresses are made of.
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
        fn normalising_a_normal_form_changes_nothing(value in texts(), other in texts()) {
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
    fn texts_have_one_normal_form() {
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
