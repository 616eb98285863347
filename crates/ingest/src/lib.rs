//! Ingest: from files to rows of the canonical tables, committed as one snapshot. Each row is accepted,
//! unchanged, or in quarantine with the reason.
//!
//! Lowest first: `mapping` (what a mapping says), `rows` (rows from a mapping's output to the lake's
//! tables), `quarantine` (rows that were refused), `persons` (which records are one person), `inspect`
//! (profile of a file), `retention` (rows and persons whose time is over), `run` (one run from files to a commit).

mod error;
pub mod inspect;
pub mod mapping;
pub mod persons;
mod quarantine;
pub mod retention;
mod rows;
mod run;

pub use error::IngestError;
pub use rows::unknown_statuses::UnknownStatus;
pub use rows::upsert::Unfound;
pub use rows::value_warnings::{ValueWarning, ValueWarningKind};
pub use run::claim::check_claimed;
pub use run::progress::{Event, Progress};
pub use run::report::Report;
pub use run::undo::undo;
pub use run::{PostedRequest, Request, ingest, retry};
