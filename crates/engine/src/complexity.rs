//! Refuses texts that would exhaust the planner, before it sees them.
//!
//! DataFusion's statement options forbid kinds of statements, not excess: thousands of `or` or
//! `union all` take the stack, thousands of `+` take minutes, and a chain of `with` that each use
//! the one before twice takes all memory. The counts here are far above what people write and far
//! below what hurts.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{EngineError, Position};

/// Operators in one text: comparisons, arithmetic, `and`, `or`.
pub(crate) const MOST_OPERATORS: usize = 2_000;
/// `union`, `intersect` and `except` in one text.
pub(crate) const MOST_SET_OPERATIONS: usize = 200;
/// `join` and `from` in one text.
pub(crate) const MOST_RELATIONS: usize = 200;
/// Parentheses within parentheses.
pub(crate) const MOST_NESTING: usize = 100;
/// Steps of a plan, once every `with` is put where it is used.
const MOST_STEPS: usize = 5_000;

/// Splits a text into tokens and counts what costs the planner dear.
pub(crate) fn tokens(sql: &str, most_characters: usize) -> Result<Vec<TokenWithSpan>, EngineError> {
    let characters = sql.chars().count();
    if characters > most_characters {
        return Err(EngineError::TooLong { characters, limit: most_characters });
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(
        |error| EngineError::Syntax {
            message: lower_first(&error.message),
            position: position(error.location),
        },
    )?;
    let mut counts = Counts::default();
    let mut previous = None;
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        counts.add(token, previous)?;
        previous = Some(token);
    }
    if previous.is_none_or(|token| token.token == Token::EOF) {
        return Err(EngineError::Empty);
    }
    Ok(tokens)
}

/// Refuses a plan of too many steps. The count stops at the limit, so that a plan which doubles
/// with each `with` is never walked whole.
pub(crate) fn check_steps(plan: &LogicalPlan) -> Result<(), EngineError> {
    let mut steps = 0;
    plan.apply_with_subqueries(|_| {
        steps += 1;
        let within = steps <= MOST_STEPS;
        Ok(if within { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })
    .map_err(|source| EngineError::Internal { source: Box::new(source) })?;
    if steps > MOST_STEPS {
        return Err(EngineError::TooComplex { what: "steps", limit: MOST_STEPS, position: None });
    }
    Ok(())
}

/// The place of a token, unless it has none.
pub(crate) fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column })
}

#[derive(Debug, Default)]
struct Counts {
    operators: usize,
    set_operations: usize,
    relations: usize,
    nesting: usize,
}

impl Counts {
    fn add(
        &mut self,
        token: &TokenWithSpan,
        previous: Option<&TokenWithSpan>,
    ) -> Result<(), EngineError> {
        let (count, limit, what) = match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                (&mut self.nesting, MOST_NESTING, "parentheses within each other")
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.nesting = self.nesting.saturating_sub(1);
                return Ok(());
            }
            Token::Word(Word { keyword, quote_style: None, .. }) => match keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    (&mut self.set_operations, MOST_SET_OPERATIONS, "set operations")
                }
                Keyword::JOIN | Keyword::FROM => {
                    (&mut self.relations, MOST_RELATIONS, "tables to join")
                }
                Keyword::RECURSIVE if previous.is_some_and(is_with) => {
                    return Err(EngineError::Recursive { position: position(token.span.start) });
                }
                Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::CASE
                | Keyword::WHEN => (&mut self.operators, MOST_OPERATORS, "operators"),
                _ => return Ok(()),
            },
            other if is_operator(other) => (&mut self.operators, MOST_OPERATORS, "operators"),
            _ => return Ok(()),
        };
        *count += 1;
        if *count > limit {
            return Err(EngineError::TooComplex {
                what,
                limit,
                position: position(token.span.start),
            });
        }
        Ok(())
    }
}

fn is_with(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == Keyword::WITH)
}

/// Everything that is neither a word, a value, a space nor a separator joins two values.
fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Whitespace(_)
            | Token::Comma
            | Token::Period
            | Token::SemiColon
            | Token::Placeholder(_)
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Word(_)
    )
}

/// Our messages begin in lower case; the parser's begin in upper case.
pub(crate) fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => message.to_owned(),
    }
}
