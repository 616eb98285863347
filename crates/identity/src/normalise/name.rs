//! Names of people and places, for counting distinct names and as parts of addresses.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{folded, text};

/// Placeholders that are nobody's name. Null, Nil, Na, Nan and None are real names.
const NOBODY: [&str; 3] = ["n/a", "undefined", "unknown"];
/// Real names that sources also write as placeholders.
const FILLERS: [&str; 5] = ["null", "nil", "na", "nan", "none"];

/// The name of a person in lower case without accents and punctuation: `O’Neil-Smith` is `oneil smith`.
pub fn name(value: &str) -> Option<String> {
    let value = folded(value);
    plain(&value).filter(|_| !NOBODY.contains(&value.as_str()))
}

/// First and family name of a person. If both are placeholders such as `n/a`, there is neither.
pub fn names(first: &str, last: &str) -> (Option<String>, Option<String>) {
    let is_filler = |name: &Option<String>| {
        let name = name.as_deref();
        name.is_none_or(|name| FILLERS.contains(&name))
    };
    match (name(first), name(last)) {
        (first, last) if first.is_some() && is_filler(&first) && is_filler(&last) => (None, None),
        names => names,
    }
}

/// The normal form of a place name; `None` for placeholders such as `n/a`.
pub fn place(value: &str) -> Option<String> {
    plain(&text(value)?)
}

/// The normal form of any text, placeholders included.
pub(super) fn any(value: &str) -> Option<String> {
    plain(&folded(value))
}

fn plain(value: &str) -> Option<String> {
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
    use super::{name, names, place};

    #[test]
    fn names_have_one_normal_form() {
        for (value, form) in [
            ("O’Neil-Smith", Some("oneil smith")),
            ("  José  María ", Some("jose maria")),
            ("J. R. Ewing", Some("j r ewing")),
            ("王小明", Some("王小明")),
            ("--", None),
            ("'", None),
            ("n/a", None),
            ("Unknown", None),
            ("Null", Some("null")),
            ("NA", Some("na")),
            ("Nil", Some("nil")),
        ] {
            assert_eq!(name(value).as_deref(), form, "{value:?}");
        }
        assert_eq!(place("Null"), None);
        assert_eq!(place("St. Gallen").as_deref(), Some("st gallen"));
    }

    #[test]
    fn placeholder_counts_as_a_name_beside_a_real_one() {
        let of = |first: &str, last: &str| {
            let (first, last) = names(first, last);
            [first, last].map(Option::unwrap_or_default).join("/")
        };
        assert_eq!(of("Jen", "Null"), "jen/null");
        assert_eq!(of("Nan", "Goldin"), "nan/goldin");
        assert_eq!(of("", "Na"), "/na");
        assert_eq!(of("null", "NULL"), "/");
        assert_eq!(of("None", ""), "/");
    }
}
