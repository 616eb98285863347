//! Rules of planning that make types fit as SQL says: comparisons, intervals, decimals, subqueries, windows.

pub(crate) mod arithmetic;
pub(crate) mod comparisons;
mod intervals;
pub(crate) mod subqueries;
pub(crate) mod windows;
