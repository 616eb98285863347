//! Patterns of file names: `*`, `?` and alternatives with `|`, ignoring case.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// A pattern such as `orders.*|orders_*`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Parses a pattern; every text is a valid one.
    pub fn new(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        // `*` and `?` stand for characters, as nothing else does: neither brackets nor slashes are
        // special, and `?` is a whole character however many bytes it has.
        let one = |one: &str| {
            let escaped = regex::escape(one.trim());
            escaped.replace(r"\*", ".*").replace(r"\?", ".")
        };
        let any = text.split('|').map(one).collect::<Vec<_>>().join("|");
        let regex = RegexBuilder::new(&format!(r"\A(?:{any})\z"))
            .dot_matches_new_line(true)
            .size_limit(usize::MAX)
            .build()
            .expect("what is escaped, with `.` and `.*` in it, is a regular expression");
        Self { text, regex }
    }

    /// Whether a file name matches the pattern.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(&name.to_lowercase())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(
            Pattern::new(pattern).matches(name),
            expected,
            "{pattern} on {name}"
        );
    }

    #[test]
    fn patterns_match_stars_question_marks_and_alternatives() {
        check("*orders_dataset*", "olist_orders_dataset.csv", true);
        check("orders.*|orders_*", "Orders_2024.csv", true);
        check("orders.*|orders-*", "order_lines.csv", false);
        check("a?c.csv", "abc.csv", true);
        check("*a*b*c", "xxaxxbxxc", true);
        check("*a*b*c", "xxaxxbxx", false);
        check("persons.*", "person.csv", false);
    }

    #[test]
    fn a_question_mark_is_one_character_and_nothing_else_is_special() {
        check("caf?.csv", "Café.csv", true);
        check("?", "日", true);
        check("??", "日", false);
        check("a[bc]{1}.csv", "a[bc]{1}.csv", true);
        check("a[bc].csv", "ab.csv", false);
        check(r"a\*", r"a\b", true);
        check("!a+(b)^$.csv", "!a+(b)^$.csv", true);
        check("*", "a/b\nc", true);
        check("a || b", "", true);
        check("", "", true);
    }
}
