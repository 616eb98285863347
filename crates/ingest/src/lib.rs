//! From files to rows of the canonical tables, committed as one snapshot; nothing is lost on the
//! way: a row is accepted, unchanged, or in quarantine with the reason.

mod absent;
mod canonical;
mod claim;
mod columns;
mod entries;
mod error;
mod execute;
mod existing;
mod fill;
mod fingerprint;
mod identify;
mod identities;
pub mod inspect;
mod kept;
mod lacking;
pub mod linking;
pub mod mapping;
mod odd;
mod orders;
mod people;
mod presence;
mod progress;
mod quarantine;
mod report;
mod run;
mod settle;
mod sorted;
mod sorter;
mod source;
mod stage;
mod tally;
mod undo;
mod unknown;
mod upsert;

pub use claim::check_claimed;
pub use error::IngestError;
pub use odd::{Odd, Oddity};
pub use progress::{Event, Progress};
pub use report::{Report, Unfound};
pub use run::{Asked, Request, ingest, retry};
pub use undo::undo;
pub use unknown::UnknownStatus;
