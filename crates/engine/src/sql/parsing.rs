//! Texts are parsed once: what a condition or a query was parsed to is remembered, and everybody
//! who asks for the same text again gets the same tree.
//!
//! A refresh or a preview reads each text many times: for its columns, its windows, its clauses, its
//! warnings. Trees do not change; who rewrites one clones it. What is remembered is bounded by the
//! length of the texts, and the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use rollbook_model::config::Limits;

use crate::error::EngineError;
use crate::sql::diagnosis::Diagnosis;
use crate::sql::limits::tokens;
use crate::sql::statement::{self, ParseError};

/// Bytes of all texts whose trees are remembered. Measured, a tree and its tokens take some 140 times
/// as much.
const MOST_BYTES: usize = 256 << 10;

static CONDITIONS: LazyLock<Remembered<Expr>> = LazyLock::new(Remembered::default);
static QUERIES: LazyLock<Remembered<Statement>> = LazyLock::new(Remembered::default);
static PARSED: AtomicU64 = AtomicU64::new(0);

/// A text and what it was parsed to. Spans in the tree are places in the text.
#[derive(Debug)]
pub(crate) struct Parsed<T> {
    pub(crate) tokens: Arc<[TokenWithSpan]>,
    pub(crate) tree: T,
}

/// How many texts this process has parsed since it began.
pub fn texts_parsed() -> u64 {
    PARSED.load(Ordering::Relaxed)
}

/// A condition, and the diagnosis of what is wrong with it.
///
/// # Errors
/// The text is too long, too complex, or no condition.
pub(crate) fn condition(
    state: &SessionState,
    text: &str,
    limits: &Limits,
) -> Result<(Arc<Parsed<Expr>>, Diagnosis), EngineError> {
    CONDITIONS.get(state, text, limits, statement::condition)
}

/// A condition without a diagnosis: `None` of a text that is none, or has more bytes than that.
pub(crate) fn plain_condition(text: &str, most_bytes: usize) -> Option<Arc<Parsed<Expr>>> {
    match text.len() <= most_bytes {
        true => CONDITIONS.plain(text, statement::condition),
        false => None,
    }
}

/// One query, and the diagnosis of what is wrong with it.
///
/// # Errors
/// The text is too long, too complex, or not one query.
pub(crate) fn query(
    state: &SessionState,
    text: &str,
    limits: &Limits,
) -> Result<(Arc<Parsed<Statement>>, Diagnosis), EngineError> {
    QUERIES.get(state, text, limits, statement::query)
}

/// One query without a diagnosis: `None` of a text that is none.
pub(crate) fn plain_query(text: &str) -> Option<Arc<Parsed<Statement>>> {
    QUERIES.plain(text, statement::query)
}

fn counted<T>(parse: impl FnOnce() -> T) -> T {
    PARSED.fetch_add(1, Ordering::Relaxed);
    parse()
}

/// Trees by their texts.
#[derive(Debug)]
struct Remembered<T>(Mutex<Texts<T>>);

#[derive(Debug)]
struct Texts<T> {
    trees: HashMap<Arc<str>, Arc<Parsed<T>>>,
    /// From the oldest on.
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::new(Texts {
            trees: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }))
    }
}

impl<T> Remembered<T> {
    fn with<R>(&self, what: impl FnOnce(&mut Texts<T>) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self, text: &str) -> Option<Arc<Parsed<T>>> {
        self.with(|texts| texts.trees.get(text).cloned())
    }

    fn get(
        &self,
        state: &SessionState,
        text: &str,
        limits: &Limits,
        parse: impl FnOnce(&[TokenWithSpan]) -> Result<T, ParseError>,
    ) -> Result<(Arc<Parsed<T>>, Diagnosis), EngineError> {
        // A byte is a character or less.
        let known = self.known(text).filter(|_| text.len() <= limits.sql_chars);
        if let Some(known) = known {
            let diagnosis = Diagnosis::new(state, Arc::clone(&known.tokens), *limits);
            return Ok((known, diagnosis));
        }
        let tokens: Arc<[TokenWithSpan]> = tokens(text, limits.sql_chars)?.into();
        let diagnosis = Diagnosis::new(state, Arc::clone(&tokens), *limits);
        match counted(|| parse(&tokens)) {
            Ok(tree) => Ok((self.remember(text, Parsed { tokens, tree }), diagnosis)),
            Err(ParseError::Refused(error)) => Err(error),
            Err(ParseError::Parser(error)) => Err(diagnosis.explain(error)),
        }
    }

    fn plain(
        &self,
        text: &str,
        parse: impl FnOnce(&[TokenWithSpan]) -> Result<T, ParseError>,
    ) -> Option<Arc<Parsed<T>>> {
        if let Some(known) = self.known(text) {
            return Some(known);
        }
        let tokens: Arc<[TokenWithSpan]> = tokens(text, text.len()).ok()?.into();
        let tree = counted(|| parse(&tokens)).ok()?;
        Some(self.remember(text, Parsed { tokens, tree }))
    }

    fn remember(&self, text: &str, parsed: Parsed<T>) -> Arc<Parsed<T>> {
        let parsed = Arc::new(parsed);
        if text.len() > MOST_BYTES {
            return parsed;
        }
        self.with(|texts| {
            let text: Arc<str> = Arc::from(text);
            if texts
                .trees
                .insert(Arc::clone(&text), Arc::clone(&parsed))
                .is_none()
            {
                texts.bytes += text.len();
                texts.order.push_back(text);
            }
            while texts.bytes > MOST_BYTES
                && let Some(oldest) = texts.order.pop_front()
            {
                texts.bytes -= oldest.len();
                texts.trees.remove(&oldest);
            }
        });
        parsed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CONDITIONS, MOST_BYTES, Remembered, plain_condition};

    #[test]
    fn text_is_parsed_once() {
        let text = "country = 'a text that stands nowhere else'";
        let first = plain_condition(text, 1_000).unwrap();
        let again = plain_condition(text, 1_000).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(plain_condition(text, 10).is_none());
        assert!(plain_condition("country =", 1_000).is_none());
        assert!(CONDITIONS.known("country =").is_none());
    }

    #[test]
    fn oldest_texts_are_evicted() {
        let some = Remembered::default();
        let parsed = |text: &str| super::Parsed {
            tokens: Vec::new().into(),
            tree: text.len(),
        };
        let text = |at: usize| format!("{at}{}", "x".repeat(MOST_BYTES / 4 - 1));
        for at in 0..6 {
            some.remember(&text(at), parsed(&text(at)));
            some.remember(&text(at), parsed(&text(at)));
        }
        let known: Vec<bool> = (0..6).map(|at| some.known(&text(at)).is_some()).collect();
        assert_eq!(known, [false, false, true, true, true, true]);
        let long = "x".repeat(MOST_BYTES + 1);
        some.remember(&long, parsed(&long));
        assert!(some.known(&long).is_none() && some.known(&text(5)).is_some());
    }
}
