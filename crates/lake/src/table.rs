//! Tables: Parquet files, their indexes, and scans over them.

pub(crate) mod identity_remap;
pub mod key_index;
mod merge;
mod moved_rows;
pub(crate) mod nearest_rows;
pub(crate) mod person_redirects;
pub mod provider;
mod range_scan;
pub mod ranges;
pub(crate) mod time_index;
pub(crate) mod unused_ordering;
pub mod writer;
