//! Refuses texts that would exhaust the planner, before it sees them.
//!
//! DataFusion's statement options forbid kinds of statements, not excess: thousands of `or` or
//! `union all` take the stack, thousands of `+` take minutes, and a chain of `with` that each use
//! the one before twice takes all memory. The counts here are far above what people write and far
//! below what hurts.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    JoinConstraint, JoinOperator, ObjectName, Query, Select, TableFactor, TableWithJoins, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{EngineError, Position};
use crate::rewriting::walk::walk;

/// Comparisons, `and`, `or`, `not` and the like in one text.
pub(crate) const MOST_OPERATORS: usize = 2_000;
/// `+`, `-`, `*`, `/`, `%` and `||` in one text. The planner's time grows with the square of a
/// chain of these, and faster.
pub(crate) const MOST_ARITHMETIC: usize = 400;
/// `union`, `intersect` and `except` in one text.
pub(crate) const MOST_SET_OPERATIONS: usize = 200;
/// Tables and subqueries that a text reads, each `with` counted where it is used.
pub(crate) const MOST_RELATIONS: usize = 200;
/// Parentheses and `case` within each other.
pub(crate) const MOST_NESTING: usize = 100;
/// Splits a text into tokens and counts what costs the planner dear.
///
/// # Errors
/// [`EngineError::TooLong`], [`EngineError::TooComplex`] and [`EngineError::Recursive`] where the text
/// exceeds a limit; [`EngineError::Syntax`] where it cannot be split; [`EngineError::Empty`].
pub(crate) fn tokens(sql: &str, most_characters: usize) -> Result<Vec<TokenWithSpan>, EngineError> {
    let characters = sql.chars().count();
    if characters > most_characters {
        return Err(EngineError::TooLong {
            characters,
            limit: most_characters,
        });
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| EngineError::Syntax {
            message: lower_first(&error.message),
            position: position(error.location),
        })?;
    let mut counts = Counts::default();
    let mut previous = None;
    for token in tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
    {
        counts.add(token, previous)?;
        previous = Some(token);
    }
    if previous.is_none_or(|token| token.token == Token::EOF) {
        return Err(EngineError::Empty);
    }
    Ok(tokens)
}

/// Refuses a parsed text that reads too many tables and subqueries, once every `with` is put where
/// it is used: a chain of them that each use the one before twice doubles at every step.
///
/// # Errors
/// [`EngineError::TooComplex`]; [`EngineError::Unsupported`] for samples of tables, and for joins that
/// lose the column of one side.
pub(crate) fn check_relations(parsed: &impl Visit) -> Result<(), EngineError> {
    let mut relations = Relations {
        sizes: vec![0],
        ..Relations::default()
    };
    match walk(parsed, &mut relations) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The place of a token, unless it has none.
pub(crate) fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position {
        line: location.line,
        column: location.column,
    })
}

#[derive(Debug, Default)]
struct Counts {
    operators: usize,
    arithmetic: usize,
    set_operations: usize,
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
                (&mut self.nesting, MOST_NESTING, "levels within each other")
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.nesting = self.nesting.saturating_sub(1);
                return Ok(());
            }
            Token::Word(Word {
                keyword,
                quote_style: None,
                ..
            }) => match keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => (
                    &mut self.set_operations,
                    MOST_SET_OPERATIONS,
                    "set operations",
                ),
                Keyword::CASE => (&mut self.nesting, MOST_NESTING, "levels within each other"),
                Keyword::END => {
                    self.nesting = self.nesting.saturating_sub(1);
                    return Ok(());
                }
                Keyword::RECURSIVE if previous.is_some_and(is_with) => {
                    return Err(EngineError::Recursive {
                        position: position(token.span.start),
                    });
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
                | Keyword::WHEN => (&mut self.operators, MOST_OPERATORS, "operators"),
                _ => return Ok(()),
            },
            Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
                if previous.is_some_and(|token| !stands_before_a_sign(&token.token)) =>
            {
                (
                    &mut self.arithmetic,
                    MOST_ARITHMETIC,
                    "arithmetic operators",
                )
            }
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

/// How many tables and subqueries each query reads, itself among them.
#[derive(Debug, Default)]
struct Relations {
    /// The queries that are being walked, innermost last.
    sizes: Vec<usize>,
    /// The names of `with` queries, by where they lie in the parsed text.
    names: HashMap<*const Query, String>,
    /// The sizes of `with` queries, by name.
    known: HashMap<String, usize>,
}

impl Visitor for Relations {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<EngineError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.names
                .insert(&raw const *cte.query, cte.alias.name.value.to_lowercase());
        }
        self.sizes.push(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<EngineError> {
        let size = self.sizes.pop().unwrap_or_default();
        match self.names.remove(&(&raw const *query)) {
            Some(name) => {
                self.known.insert(name, size);
                ControlFlow::Continue(())
            }
            None => self.add(size),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<EngineError> {
        select.from.iter().try_for_each(joins)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<EngineError> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => joins(table_with_joins),
            // The planner takes all rows.
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => unsupported("`tablesample`: write `order by hash(…) limit …`"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<EngineError> {
        let name = relation.to_string().to_lowercase();
        self.add(self.known.get(&name).copied().unwrap_or(1))
    }
}

/// Refuses joins that name a column of both sides where the left side may lack the row: the planner
/// gives the left side's column, which is null then.
fn joins(table: &TableWithJoins) -> ControlFlow<EngineError> {
    table.joins.iter().try_for_each(|join| {
        let constraint = match &join.join_operator {
            JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => constraint,
            _ => return ControlFlow::Continue(()),
        };
        match constraint {
            JoinConstraint::Using(_) | JoinConstraint::Natural => unsupported(
                "`using` and `natural` in a right or full join: write `on a.k = b.k`, and \
                 `coalesce(a.k, b.k)` where the column is wanted",
            ),
            JoinConstraint::On(_) | JoinConstraint::None => ControlFlow::Continue(()),
        }
    })
}

fn unsupported(what: &str) -> ControlFlow<EngineError> {
    ControlFlow::Break(EngineError::Unsupported {
        message: what.to_owned(),
    })
}

impl Relations {
    fn add(&mut self, size: usize) -> ControlFlow<EngineError> {
        let Some(sum) = self.sizes.last_mut() else {
            return ControlFlow::Continue(());
        };
        *sum = sum.saturating_add(size);
        if *sum <= MOST_RELATIONS {
            return ControlFlow::Continue(());
        }
        let what = "tables and subqueries";
        ControlFlow::Break(EngineError::TooComplex {
            what,
            limit: MOST_RELATIONS,
            position: None,
        })
    }
}

/// Whether a `-` after this token is the sign of a number, as in `in (-1, -2)`.
fn stands_before_a_sign(token: &Token) -> bool {
    matches!(token, Token::Comma | Token::LParen) || is_operator(token)
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
            | Token::LParen
            | Token::RParen
            | Token::LBracket
            | Token::RBracket
            | Token::LBrace
            | Token::RBrace
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
