//! Patterns of file names: `*`, `?` and alternatives with `|`, whatever the case.

use std::fmt;

/// A pattern such as `orders.*|orders_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern from its text; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// Whether a file of that name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        self.0.split('|').any(|one| {
            let pattern: Vec<char> = one.trim().chars().collect();
            matches(&pattern, &name)
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Greedy matching that goes back to the last `*` only: linear but for one factor.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
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
    fn stars_question_marks_and_alternatives() {
        check("*orders_dataset*", "olist_orders_dataset.csv", true);
        check("orders.*|orders_*", "Orders_2024.csv", true);
        check("orders.*|orders-*", "order_lines.csv", false);
        check("a?c.csv", "abc.csv", true);
        check("*a*b*c", "xxaxxbxxc", true);
        check("*a*b*c", "xxaxxbxx", false);
        check("persons.*", "person.csv", false);
    }
}
