//! What rules of planning share: expressions, the columns that functions give, and rewriting by types.

pub(crate) mod columnar;
pub(crate) mod expressions;
pub(crate) mod typed;
pub(crate) mod walk;
