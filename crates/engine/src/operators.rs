//! Physical operators: counting by person, a merge join by person, and views as scans.

pub(crate) mod counting;
pub(crate) mod merge_join;
pub(crate) mod pushdown;
pub(crate) mod view;
