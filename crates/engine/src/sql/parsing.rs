//! Each text is parsed once, and its tree is shared.
//!
//! A request parses its texts where they come in, and hands the trees on. This module remembers the
//! trees of recent texts, for those who meet the same text again: the definitions of segments and
//! traits, which every request and refresh of a server reads anew; the check of what a request
//! costs, which comes before the request; and the conditions on facts that stand in quotes within
//! calls (`where => '…'`). Trees do not change; who rewrites one clones it. The memory is bounded by
//! the length of the texts, and the oldest text goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

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
    pub(crate) text: Arc<str>,
    pub(crate) tokens: Arc<[TokenWithSpan]>,
    pub(crate) tree: Arc<T>,
}

impl<T> Clone for Parsed<T> {
    fn clone(&self) -> Self {
        Self {
            text: Arc::clone(&self.text),
            tokens: Arc::clone(&self.tokens),
            tree: Arc::clone(&self.tree),
        }
    }
}

/// How many texts this process has parsed since it began.
pub fn texts_parsed() -> u64 {
    PARSED.load(Ordering::Relaxed)
}

/// A condition, or another expression.
///
/// # Errors
/// The text is empty, too long or too complex, or is no expression.
pub(crate) fn condition(text: &str, limits: &Limits) -> Result<Parsed<Expr>, EngineError> {
    CONDITIONS.get(text, limits, statement::condition)
}

/// A condition without a diagnosis: `None` for a text that is none, or that has more bytes than that.
pub(crate) fn plain_condition(text: &str, most_bytes: usize) -> Option<Parsed<Expr>> {
    match text.len() <= most_bytes {
        true => CONDITIONS.plain(text, statement::condition),
        false => None,
    }
}

/// One query.
///
/// # Errors
/// The text is empty, too long or too complex, is not one query, or does not only read.
pub(crate) fn query(text: &str, limits: &Limits) -> Result<Parsed<Statement>, EngineError> {
    QUERIES.get(text, limits, statement::query)
}

/// One query without a diagnosis: `None` for a text that is none.
pub(crate) fn plain_query(text: &str) -> Option<Parsed<Statement>> {
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
    trees: HashMap<Arc<str>, Parsed<T>>,
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

    fn known(&self, text: &str) -> Option<Parsed<T>> {
        self.with(|texts| texts.trees.get(text).cloned())
    }

    fn get(
        &self,
        text: &str,
        limits: &Limits,
        parse: impl FnOnce(&[TokenWithSpan]) -> Result<T, ParseError>,
    ) -> Result<Parsed<T>, EngineError> {
        // A byte is a character or less.
        let known = self.known(text).filter(|_| text.len() <= limits.sql_chars);
        if let Some(known) = known {
            return Ok(known);
        }
        let tokens: Arc<[TokenWithSpan]> = tokens(text, limits.sql_chars)?.into();
        match counted(|| parse(&tokens)) {
            Ok(tree) => Ok(self.remember(text, tokens, tree)),
            Err(ParseError::Refused(error)) => Err(error),
            Err(ParseError::Parser(error)) => {
                Err(Diagnosis::of_text(&tokens, limits).explain(error))
            }
        }
    }

    fn plain(
        &self,
        text: &str,
        parse: impl FnOnce(&[TokenWithSpan]) -> Result<T, ParseError>,
    ) -> Option<Parsed<T>> {
        if let Some(known) = self.known(text) {
            return Some(known);
        }
        let tokens: Arc<[TokenWithSpan]> = tokens(text, text.len()).ok()?.into();
        let tree = counted(|| parse(&tokens)).ok()?;
        Some(self.remember(text, tokens, tree))
    }

    fn remember(&self, text: &str, tokens: Arc<[TokenWithSpan]>, tree: T) -> Parsed<T> {
        let text: Arc<str> = Arc::from(text);
        let parsed = Parsed {
            text: Arc::clone(&text),
            tokens,
            tree: Arc::new(tree),
        };
        if text.len() > MOST_BYTES {
            return parsed;
        }
        self.with(|texts| {
            let before = texts.trees.insert(Arc::clone(&text), parsed.clone());
            if before.is_none() {
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
        assert!(Arc::ptr_eq(&first.tree, &again.tree));
        assert!(plain_condition(text, 10).is_none());
        assert!(plain_condition("country =", 1_000).is_none());
        assert!(CONDITIONS.known("country =").is_none());
    }

    #[test]
    fn oldest_texts_are_evicted() {
        let some = Remembered::default();
        let remember = |text: &str| some.remember(text, Vec::new().into(), text.len());
        let text = |at: usize| format!("{at}{}", "x".repeat(MOST_BYTES / 4 - 1));
        for at in 0..6 {
            remember(&text(at));
            remember(&text(at));
        }
        let known: Vec<bool> = (0..6).map(|at| some.known(&text(at)).is_some()).collect();
        assert_eq!(known, [false, false, true, true, true, true]);
        let long = "x".repeat(MOST_BYTES + 1);
        remember(&long);
        assert!(some.known(&long).is_none() && some.known(&text(5)).is_some());
    }
}
