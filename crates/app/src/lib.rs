//! One function per verb of a user. What they answer is plain data; showing it is the caller's.

pub mod attribution;
mod code;
pub mod compacting;
pub mod data;
pub mod demo;
mod error;
pub mod export;
mod first_changes;
pub mod identity;
pub mod journaling;
pub mod keeping;
mod next_step;
mod normal;
mod page;
pub mod persons;
mod place;
pub mod posting;
pub mod rights;
pub mod rows;
pub mod scores;
pub mod segments;
mod sql_files;
pub mod suppressions;
pub mod sync;
pub mod taking_in;
pub mod traits;
pub mod usage;
mod warm;

pub use code::Kind;
pub use error::AppError;
pub use next_step::NextStep;
pub use place::Place;
pub use warm::InMemory;

/// What callers need of the floors below, under one name.
pub use arrow::array::RecordBatch;
pub use rollbook_engine::{Answer, Position};
pub use rollbook_generate::{Format, Options, generate};
pub use rollbook_ingest::inspect;
pub use rollbook_ingest::{Event, Progress, Unfound, UnknownStatus};
pub use rollbook_lake::Entry;
pub use rollbook_read::{Compression, DeclaredCharset, UnknownCharset};
