//! Persons: linking of records, decisions about records, and erasure.

mod component;
pub mod decide;
pub(crate) mod decisions;
pub mod erase;
pub(crate) mod erasure;
pub mod erasure_list;
pub mod holds;
pub(crate) mod identifying_values;
pub(crate) mod identities;
pub(crate) mod link;
mod links;
pub(crate) mod log;
pub(crate) mod match_keys;
pub mod owners;
mod records;
mod redact;
mod resolution;
mod review;
mod suggestions;
pub(crate) mod without_records;

pub use erasure::named_in_quarantine;
pub use links::LinkCounts;
