//! Audit: who did what, when and from where, as chains of records that nobody can change unnoticed.
//!
//! Each server writes a chain of its own, from its start to its end. A record is a line of JSON that ends with the
//! SHA-256 of the line before `hash`, and holds the hash of the record before it: whoever changes or removes a record
//! breaks the chain after it. Every minute the length and the head of the chain are sealed: a seal has an
//! authentication code under the master key, a number without gaps, and the hash of the seal before it. So records
//! cannot be cut off, replaced or invented either, up to the last seal.
//!
//! ```text
//! _audit/chains/<chain>/<first record>-<records>-<times>-<filter>.ndjson    records, first in groups, later folded
//! _audit/seals/<number>.json                                                seals of all chains of the lake
//! ```

mod act;
mod chain;
mod log;
mod read;
mod record;
mod seals;
mod summary;
mod table;
mod verify;

pub use act::{Act, AskedStatement, BEGUN, Caller, DONE};
pub use log::AuditLog;
pub use read::{ActFilter, DEFAULT_ACTS, acts};
pub(crate) use table::audit_table;
pub use verify::{Finding, Verified, verify};

#[cfg(test)]
mod tests;
