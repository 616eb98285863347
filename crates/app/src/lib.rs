//! Use cases: one function per command of a user. They return plain data; the CLI and the server present it.

pub mod access;
pub mod attribution;
pub mod audit;
pub mod data;
pub mod demo;
mod error;
pub mod identity;
pub mod ingest;
pub mod maintenance;
mod page_token;
pub mod persons;
pub mod process_usage;
mod quotas;
pub mod readiness;
mod recent;
pub mod retention;
pub mod rows;
pub mod scores;
pub mod secrets;
pub mod segments;
mod sql_files;
pub mod suppressions;
pub mod tenants;
pub mod traits;
mod versioned;
mod workspace;

pub use error::{AppError, ErrorClass, NextStep, Quota, TokenFault};
pub use quotas::{QuotaChange, Quotas};
pub use workspace::{CacheStats, Workspace};

/// Types of lower crates that callers need.
pub use arrow::array::RecordBatch;
pub use arrow::error::ArrowError;
pub use rollbook_engine::{Answer, Position, texts_parsed};
pub use rollbook_generate::{Format, Options, generate};
pub use rollbook_ingest::inspect;
pub use rollbook_ingest::{Event, Progress, Unfound, UnknownStatus};
pub use rollbook_lake::Entry;
pub use rollbook_read::{Compression, DeclaredCharset, UnknownCharset};
