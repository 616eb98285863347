//! Conditions and queries for persons, parsed once where they come in.
//!
//! What needs a condition takes it as a tree with the tokens of the text that it was written in, so
//! nothing is parsed again and every error has its position in that text.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::{Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use rollbook_model::config::Limits;

use crate::criteria::names::Names;
use crate::error::EngineError;
use crate::sql::parsing::{self, Parsed};

/// A condition on `people`, or another expression of its columns. A clone shares the tree.
#[derive(Clone)]
pub struct Condition(Parsed<Expr>);

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// [`EngineError::Empty`], [`EngineError::TooLong`] and [`EngineError::TooComplex`] where the
    /// text is empty or exceeds a limit; [`EngineError::Syntax`], [`EngineError::Recursive`] and
    /// [`EngineError::Unsupported`] where it is no condition. Columns and functions are looked up
    /// when it is planned.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, EngineError> {
        parsing::condition(text, limits).map(Self)
    }

    /// The condition that everybody meets.
    pub fn everybody() -> Self {
        Self::of_expr(Expr::value(Value::Boolean(true)))
    }

    /// The condition in SQL: as it was written, or as a part of a text is printed.
    pub fn source(&self) -> &str {
        &self.0.text
    }

    /// Those of some columns that it names.
    pub fn names_among(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        let mut names = Names::default();
        names.note(self.expr());
        names.among(wanted)
    }

    /// A condition without an explanation of what is wrong: `None` where it cannot be parsed, or has
    /// more bytes than that.
    pub(crate) fn parse_plain(text: &str, most_bytes: usize) -> Option<Self> {
        parsing::plain_condition(text, most_bytes).map(Self)
    }

    /// An expression that no text of a user's has in it.
    pub(crate) fn of_expr(expr: Expr) -> Self {
        Self(Parsed {
            text: expr.to_string().into(),
            tokens: Vec::new().into(),
            tree: Arc::new(expr),
        })
    }

    /// A part of this condition, or an expression that is made of its parts.
    pub(crate) fn part(&self, expr: Expr) -> Self {
        self.part_in_words(&expr.to_string(), expr)
    }

    /// The same with a text of the caller's.
    pub(crate) fn part_in_words(&self, text: &str, expr: Expr) -> Self {
        Self(Parsed {
            text: text.into(),
            tokens: Arc::clone(&self.0.tokens),
            tree: Arc::new(expr),
        })
    }

    /// The tree. Its spans are places in the text that [`Condition::tokens`] are of.
    pub(crate) fn expr(&self) -> &Expr {
        &self.0.tree
    }

    /// The tokens of the whole text in which it was written.
    pub(crate) fn tokens(&self) -> &Arc<[TokenWithSpan]> {
        &self.0.tokens
    }
}

impl Debug for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.source()).finish()
    }
}

// Different trees may print the same: the printer leaves doubled quotes in a string as they are.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Condition {}

impl PartialOrd for Condition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Condition {
    fn cmp(&self, other: &Self) -> Ordering {
        let texts = self.source().cmp(other.source());
        texts.then_with(|| match Arc::ptr_eq(&self.0.tree, &other.0.tree) {
            true => Ordering::Equal,
            false => self.0.tree.cmp(&other.0.tree),
        })
    }
}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source().hash(state);
    }
}

/// A `select` that gives persons: the criteria of a segment, or a trait of the tenant's own. A clone
/// shares the tree.
#[derive(Clone)]
pub struct PersonQuery(Parsed<Statement>);

impl PersonQuery {
    /// Parses a query.
    ///
    /// # Errors
    /// [`EngineError::Empty`], [`EngineError::TooLong`] and [`EngineError::TooComplex`] where the
    /// text is empty or exceeds a limit; [`EngineError::Syntax`], [`EngineError::NotReadOnly`],
    /// [`EngineError::MoreThanOneStatement`], [`EngineError::Recursive`] and
    /// [`EngineError::Unsupported`] where it is not one query. Tables, columns and functions are
    /// looked up when it is planned.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, EngineError> {
        parsing::query(text, limits).map(Self)
    }

    /// The query as it was written.
    pub fn source(&self) -> &str {
        &self.0.text
    }

    /// Those of some columns that it names: of `people`, or of any other table.
    pub fn names_among(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        let mut names = Names::default();
        names.note_query(self.statement());
        names.among(wanted)
    }

    pub(crate) fn statement(&self) -> &Statement {
        &self.0.tree
    }

    pub(crate) fn tokens(&self) -> &Arc<[TokenWithSpan]> {
        &self.0.tokens
    }
}

impl Debug for PersonQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PersonQuery").field(&self.source()).finish()
    }
}

impl PartialEq for PersonQuery {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for PersonQuery {}

#[cfg(test)]
mod tests {
    use rollbook_model::config::Limits;

    use super::Condition;

    fn parsed(text: &str) -> Condition {
        Condition::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn conditions_are_equal_by_their_text_and_tree() {
        assert_eq!(parsed("country = 'DE'"), parsed("country = 'DE'"));
        assert_ne!(parsed("country = 'DE'"), parsed("country  = 'DE'"));
        let part = |text: &str| {
            let whole = parsed(text);
            whole.part(whole.expr().clone())
        };
        assert_eq!(part("country = 'DE'"), part("country  =  'DE'"));
        let (one, two) = (part("city = 'a''b'"), part("city = 'a''''b'"));
        assert_eq!(one.source(), two.source());
        assert_ne!(one, two);
        assert_eq!(Condition::everybody().source(), "true");
    }
}
