//! Tables of one tenant in one object-store prefix, and the snapshots that commit them together.
//!
//! A commit is one object, `_snapshots/<n>.json`, put only if it is absent. Every object that it
//! refers to is durable before the commit. The actions of the commit are copied to the Delta logs
//! after it, by the writer or by the next program that opens the lake. So a crash leaves unreferenced
//! objects or a log to be copied, and never half a batch.

pub mod documents;
mod encryption;
pub mod error;
mod json;
pub mod lake;
pub mod maintenance;
pub mod secrets;
pub mod snapshot;
pub mod state;
pub mod storage;
pub mod table;
pub mod vault;
pub mod wal;

pub use encryption::authentication::AuthenticationKey;
pub use error::LakeError;
pub use lake::{Lake, LakeRoot};
pub use maintenance::backup::BackupReport;
pub use maintenance::check::{CheckReport, Problem};
pub use maintenance::removal::RemovedTenant;
pub use maintenance::retire::OlderSnapshots;
pub use maintenance::vacuum::{Retention, VacuumReport};
pub use secrets::{InvalidSecret, SecretInfo, SecretValue};
pub use snapshot::batch_change::BatchChange;
pub use snapshot::bitmaps::BitmapRef;
pub use snapshot::changes::Changes;
pub use snapshot::commit::{Commit, Committed};
pub use snapshot::update::Update;
pub use snapshot::writer_lease::WriterLease;
pub use state::record::{Cause, IdentityChange, SnapshotRecord};
pub use state::value_name::{IDENTITY_REMAP, LINKED, ORDERS_COMPLETE, PERSON_REDIRECTS, ValueName};
pub use state::{DataFile, Removals, State, TableChange, TableState};
pub use storage::Store;
pub use table::identity_remap::{IdentityRemap, RemappedIdentity};
pub use table::nearest_rows::NearestRow;
pub use table::person_redirects::PersonRedirects;
pub use table::provider::LakeTable;
pub use table::ranges::SplitPoints;
pub use table::time_index::TimeSpan;
pub use table::unused_ordering::RemoveUnusedOrdering;
pub use wal::{Entry, EntryHeader, Refused, WalObject};
