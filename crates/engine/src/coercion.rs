//! Analyzer rules that give expressions the types and the meaning of standard SQL: comparisons,
//! intervals, decimals, subqueries, windows.

pub(crate) mod arithmetic;
pub(crate) mod comparisons;
mod intervals;
pub(crate) mod subqueries;
pub(crate) mod windows;
