//! Helpers of analyzer rules: expressions, results of functions, and rewriting by types.

pub(crate) mod columnar;
pub(crate) mod expressions;
pub(crate) mod typed;
pub(crate) mod walk;
