//! Tables of one tenant in one object-store prefix, and the snapshots that commit them together.
//!
//! A commit is one object, `_snapshots/<n>.json`, put if absent. Everything that it names was
//! durable before; publishing its actions to the Delta logs is a redo step after. So a crash
//! leaves garbage or a redo, and never half a batch.

mod actions;
mod bitmaps;
mod changes;
pub mod check;
mod checkpoint;
pub mod cluster;
mod commit;
pub mod compact;
pub mod copy;
pub mod delta;
pub mod error;
mod gone;
mod heads;
mod identity_remap;
pub mod ids;
pub mod journal;
mod json;
pub mod keys;
pub mod lake;
mod lease;
mod leases;
mod merge;
mod moved_rows;
pub mod objects;
mod ordered;
mod replay;
pub mod retain;
pub mod scan;
pub mod snapshot;
mod snapshots;
pub mod state;
pub mod store;
mod times;
mod times_beside;
pub mod undo;
mod unused_ordering;
pub mod vault;
pub mod write;
pub mod writer_lease;

pub use bitmaps::BitmapRef;
pub use changes::Changes;
pub use check::{Checked, Problem};
pub use cluster::SplitPoints;
pub use commit::{Commit, Committed};
pub use copy::Copied;
pub use error::LakeError;
pub use gone::{GONE, Gone};
pub use identity_remap::{IdentityRemap, LINKED, MOVES, Moved};
pub use journal::{Appended, Entry, EntryHeader, Refused};
pub use lake::Lake;
pub use retain::{Collected, Retention};
pub use scan::LakeTable;
pub use snapshot::{Cause, IdentityChange, SnapshotRecord};
pub use state::{DataFile, ORDERS_COMPLETE, State, TableChange, TableState};
pub use store::Store;
pub use times::TimeSpan;
pub use times_beside::Beside;
pub use undo::BatchChange;
pub use unused_ordering::RemoveUnusedOrdering;
pub use writer_lease::WriterLease;
