//! Plain data that all other crates share: names, times, money, table definitions, settings. Nothing here
//! reads a file, a clock or a random source.

pub mod batch;
pub mod calendar;
pub mod config;
pub mod memory;
pub mod names;
pub mod nearest;
pub mod settings;
pub mod shares;
pub mod span;
pub mod table;
pub mod tables;
pub mod time;
pub mod whole;

pub use batch::{BatchId, TableCounts};
pub use names::{
    InvalidName, ProviderName, SecretName, SegmentKey, SnapshotNumber, TenantName, TraitName,
};
pub use nearest::nearest;
pub use settings::Settings;
pub use span::{InvalidSpan, Span};
pub use table::{Ages, ColumnDef, ColumnType, Shape, TableDef};
pub use time::{GivenTime, InvalidTime, Timestamp};
pub use whole::whole;
