//! Segments: definitions, refresh, members, changes, previews and explanations.

mod changes;
mod context;
mod cost;
mod definitions;
mod explain;
mod freshness;
mod list_file;
mod listing;
mod members;
mod named;
mod person_columns;
mod preview;
mod reach;
mod refresh;
mod schedule;
mod set_operations;
pub mod sql_folder;

pub(crate) use changes::changes_of_person;
pub use changes::{ChangeRow, Changes, PersonChange, Since, changes, history};
pub use cost::{are_built_in_columns, bounded_segments, have_bounded_cost, saved_has_bounded_cost};
pub use list_file::{SavedList, put_list};
pub use members::{MemberCount, MemberPage, Pull, count, members, members_page, selected_members};
pub use person_columns::{Hashing, fields};
pub use preview::{Impact, Previewed, default_as_of, impact, matches, preview};
pub use reach::{Reach, reach};
pub use schedule::{SegmentHealth, due, health, record_memory_failure, refresh_due};
pub use set_operations::{Overlap, OverlapPair, SetOperations, overlap};

pub use definitions::{create, delete, put};
pub use explain::{Calendar, Explanation, NearMiss, calendar, explain, fit, near_miss};
pub use listing::{ListedSegment, freshness_at, list, saved, show};
pub(crate) use named::NamedSegments;
pub use refresh::{Outcome, refresh, refresh_one};

pub use rollbook_segments::clause_stats::ClauseStats;
pub use rollbook_segments::definition::RESERVED_KEYS;
pub use rollbook_segments::explain::Line;
pub use rollbook_segments::forecast::calendar::Day;
pub use rollbook_segments::ledger::{Change, Direction, Reason};
pub use rollbook_segments::{
    Channel, Definition, Done, Draft, Freshness, How, Percent, Refreshed, Schedule, Status,
};
