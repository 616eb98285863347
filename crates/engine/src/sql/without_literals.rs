//! Statements without their literals, for records of who asked what: literals may be personal values.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// What stands for a literal.
const LITERAL: &str = "?";

/// A statement with `?` for each literal and for each quoted name that is not a plain one, without comments, on one
/// line; `None` for a text that cannot be split into words.
pub fn without_literals(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
    let mut text = String::with_capacity(sql.len());
    for token in tokens {
        match token {
            Token::Whitespace(_) => {
                if !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
            }
            Token::Word(word) if word.quote_style.is_none() || is_plain(&word.value) => {
                text.push_str(&word.to_string());
            }
            other => {
                let other = other.to_string();
                text.push_str(if is_operator(&other) { &other } else { LITERAL });
            }
        }
    }
    text.truncate(text.trim_end().len());
    Some(text)
}

fn is_plain(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn is_operator(token: &str) -> bool {
    let mut chars = token.chars();
    chars.all(|c| c.is_ascii_punctuation() && !matches!(c, '\'' | '"' | '`' | '$'))
}

#[cfg(test)]
mod tests {
    use super::without_literals;

    #[test]
    fn literals_and_comments_are_left_out() {
        for (sql, expected) in [
            (
                "select person_id\n from people where email = 'ann@example.com' -- Ann\n and age>=30",
                "select person_id from people where email = ? and age>=?",
            ),
            (
                "select 1.5e3, x'ab', e'a\\n', $$a$$, N'x'",
                "select ?, ?, ?, ?, ?",
            ),
            (
                "select date '2026-01-01', \"Ann Lee\", \"email\"",
                "select date ?, ?, \"email\"",
            ),
            (
                "select a::int, a[1], a || b, :x -> '$.y' /* c */",
                "select a::int, a[?], a || b, :x -> ?",
            ),
            ("", ""),
        ] {
            assert_eq!(without_literals(sql).as_deref(), Some(expected));
        }
        assert_eq!(without_literals("select 'ann"), None);
    }
}
