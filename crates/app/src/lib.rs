//! One function per verb of a user. What they answer is plain data; showing it is the caller's.

pub mod attribution;
mod cache;
mod code;
pub mod compacting;
pub mod data;
pub mod demo;
mod error;
pub mod export;
mod first_changes;
pub mod idempotency;
pub mod identity;
pub mod ingest;
pub mod maintenance;
mod next_step;
mod normal;
mod page;
pub mod persons;
pub mod rights;
pub mod rows;
pub mod scores;
pub mod segments;
mod sql_files;
pub mod suppressions;
pub mod sync;
pub mod traits;
pub mod usage;
pub mod wal;
mod workspace;

pub use cache::CacheStats;
pub use code::Kind;
pub use error::AppError;
pub use next_step::NextStep;
pub use workspace::Workspace;

/// What callers need of the floors below, under one name.
pub use arrow::array::RecordBatch;
pub use rollbook_engine::{Answer, Position, texts_parsed};
pub use rollbook_generate::{Format, Options, generate};
pub use rollbook_ingest::inspect;
pub use rollbook_ingest::{Event, Progress, Unfound, UnknownStatus};
pub use rollbook_lake::Entry;
pub use rollbook_read::{Compression, DeclaredCharset, UnknownCharset};
