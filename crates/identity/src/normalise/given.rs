//! First names: which member of a family a record belongs to, and how certain that is.

use super::name;

/// Titles before a name.
const TITLES: [&str; 16] = [
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "herr", "frau", "mme", "mlle",
    "monsieur", "madame", "sr", "sra",
];
/// Words between the names of two people.
const BOTH: [&str; 5] = ["and", "und", "et", "y", "e"];

/// Separators between them.
const SEVERAL: [char; 3] = ['&', '+', '/'];

/// A first name, as far as a record has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given {
    /// The whole name without middle initials; `None` for an initial such as `J.`, and without a name.
    pub whole: Option<String>,
    /// Its first word.
    pub first: Option<String>,
    /// Its first letter.
    pub initial: Option<String>,
}

/// The first name of a record; if it has none, the display name without the family name (`surname`, in normal
/// form). `None` if the field names two people.
pub fn given(first_name: &str, display_name: &str, surname: Option<&str>) -> Given {
    if first_name.contains(SEVERAL) {
        return Given::default();
    }
    let found = name::name(first_name).or_else(|| shown(display_name, surname));
    found.map_or_else(Given::default, |found| of_words(&found))
}

/// The part beside the last name: `Ann` in `Ann Lee` and in `Lee, Ann`.
fn shown(display_name: &str, surname: Option<&str>) -> Option<String> {
    if display_name.contains(SEVERAL) {
        return None;
    }
    let (whole, surname) = (name::name(display_name)?, surname?);
    let after = whole.strip_suffix(surname);
    let before = whole
        .strip_prefix(surname)
        .filter(|_| display_name.contains(','));
    let rest = before.filter(|rest| rest.starts_with(' '));
    let rest = rest.or_else(|| after.filter(|rest| rest.ends_with(' ')));
    rest.map(str::to_owned)
}

fn of_words(name: &str) -> Given {
    let words = name
        .split_whitespace()
        .skip_while(|word| TITLES.contains(word));
    let words: Vec<&str> = words.collect();
    if words.iter().any(|word| BOTH.contains(word)) {
        return Given::default();
    }
    let Some((first, others)) = words.split_first() else {
        return Given::default();
    };
    let initial = first.chars().next().map(String::from);
    if is_initial(first) {
        return Given {
            initial,
            ..Given::default()
        };
    }
    let others = others.iter().filter(|word| !is_initial(word));
    let whole: Vec<&str> = std::iter::once(first).chain(others).copied().collect();
    Given {
        whole: Some(whole.join(" ")),
        first: Some((*first).to_owned()),
        initial,
    }
}

/// Whether a word is one letter of a script with upper and lower case; in other scripts one character may be
/// a whole name.
fn is_initial(word: &str) -> bool {
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => letter.is_lowercase(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::given;
    use crate::normalise::name::name;

    #[test]
    fn first_name_is_found_in_the_display_name() {
        for (first, shown, surname, whole, initial) in [
            ("Ann", "", "Lee", "ann", "a"),
            ("Ann M.", "", "Lee", "ann", "a"),
            ("Ann Marie", "", "Lee", "ann marie", "a"),
            ("Jean-Pierre", "", "Lee", "jean pierre", "j"),
            ("Dr. Ann", "", "Lee", "ann", "a"),
            ("J.", "", "Lee", "", "j"),
            ("J. R.", "", "Lee", "", "j"),
            ("Mrs.", "", "Lee", "", ""),
            ("明", "", "王", "明", "明"),
            ("", "Ann Lee", "Lee", "ann", "a"),
            ("", "Lee, Ann", "Lee", "ann", "a"),
            ("", "Ms. Ann Lee", "Lee", "ann", "a"),
            ("", "Lee", "Lee", "", ""),
            ("", "Ann O'Neil", "O’Neil", "ann", "a"),
            ("", "Lee Lee", "Lee", "lee", "l"),
            ("", "Acme Ltd.", "Lee", "", ""),
            ("", "John & Mary Lee", "Lee", "", ""),
            ("", "John and Mary Lee", "Lee", "", ""),
            ("John und Mary", "", "Lee", "", ""),
            ("John & Mary", "John Lee", "Lee", "", ""),
            ("", "", "", "", ""),
        ] {
            let found = given(first, shown, name(surname).as_deref());
            let found = [found.whole, found.initial].map(Option::unwrap_or_default);
            assert_eq!(found, [whole, initial], "{first} {shown}");
        }
        let found = given("Ann Marie", "", Some("lee"));
        assert_eq!(found.first.as_deref(), Some("ann"));
    }
}
