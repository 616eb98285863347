//! Segments: from criteria in SQL to the exact set of persons who belong.
//!
//! Lowest first: leaves (`error`, `names`, `schedule`, `criteria`, `values`, `sessions`), `ledger` (entries
//! and exits), `custom_traits`, `definition`, `membership` (the stored members), `outcome` and `status` of
//! refreshes, `affected` (persons whom changes may concern), `evaluation`, `refresh`; on top `deletion`,
//! `explain`, `clause_stats` and `forecast`.

mod affected;
pub mod clause_stats;
mod criteria;
pub mod custom_traits;
pub mod definition;
mod deletion;
mod error;
mod evaluation;
pub mod explain;
pub mod forecast;
pub mod ledger;
pub mod membership;
mod names;
mod outcome;
pub mod refresh;
mod schedule;
mod sessions;
pub mod status;
mod values;

#[cfg(test)]
mod tests;

pub use affected::written;
pub use criteria::{Criteria, Preview, preview};
pub use custom_traits::TraitDefinition;
pub use definition::{Definition, Draft};
pub use deletion::delete;
pub use error::SegmentError;
pub use evaluation::{Evaluation, Members};
pub use ledger::view::SegmentChanges;
pub use membership::Refreshed;
pub use membership::view::SegmentMembers;
pub use outcome::{Done, Evaluated, How, RefreshRequest};
pub use schedule::{Channel, InvalidSchedule, Percent, Schedule};
pub use sessions::Sessions;
pub use status::{Failure, Freshness, Status};
