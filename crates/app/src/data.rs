//! The content of a lake: SQL, tables and columns, snapshots, settings.

mod settings;
mod snapshots;
mod sql;
mod tables;

pub use settings::{moment, set, settings};
pub(crate) use snapshots::watermarks_of;
pub use snapshots::{SnapshotLine, newest_snapshot, snapshots, watermarks};
pub(crate) use sql::own_query;
pub use sql::{answer, explain, sql};
pub use tables::{TableSize, columns, table, table_sizes};
