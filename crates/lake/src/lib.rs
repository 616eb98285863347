//! Tables of one tenant in one object-store prefix, and the snapshots that commit them together.
//!
//! A commit is one object, `_snapshots/<n>.json`, put if absent. Everything that it names was
//! durable before; publishing its actions to the Delta logs is a redo step after. So a crash
//! leaves garbage or a redo, and never half a batch.

pub mod documents;
mod encryption;
pub mod error;
mod json;
pub mod lake;
pub mod maintenance;
pub mod snapshot;
pub mod state;
pub mod storage;
pub mod table;
pub mod vault;
pub mod wal;

pub use error::LakeError;
pub use lake::{Lake, LakeRoot};
pub use maintenance::backup::BackupReport;
pub use maintenance::check::{CheckReport, Problem};
pub use maintenance::vacuum::{Retention, VacuumReport};
pub use snapshot::batch_change::BatchChange;
pub use snapshot::bitmaps::BitmapRef;
pub use snapshot::changes::Changes;
pub use snapshot::commit::{Commit, Committed};
pub use snapshot::update::Update;
pub use snapshot::writer_lease::WriterLease;
pub use state::record::{Cause, IdentityChange, SnapshotRecord};
pub use state::{DataFile, ORDERS_COMPLETE, State, TableChange, TableState};
pub use storage::Store;
pub use table::identity_remap::{IDENTITY_REMAP, IdentityRemap, LINKED, RemappedIdentity};
pub use table::person_redirects::{PERSON_REDIRECTS, PersonRedirects};
pub use table::provider::LakeTable;
pub use table::ranges::SplitPoints;
pub use table::rows_in_span::Beside;
pub use table::time_index::TimeSpan;
pub use table::unused_ordering::RemoveUnusedOrdering;
pub use wal::{Entry, EntryHeader, Refused, WalObject};
