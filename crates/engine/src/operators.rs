//! Physical operators of our own: counting by person, joining by person, and views as scans.

pub(crate) mod counting;
pub(crate) mod merge_join;
pub(crate) mod pushdown;
pub(crate) mod view;
