//! Segments: from criteria in SQL to the exact set of persons who belong.

pub mod ahead;
mod atoms;
pub mod calendar;
mod changed;
mod changes;
mod criteria;
pub mod custom_traits;
pub mod definition;
mod error;
mod evaluation;
pub mod explain;
pub mod ledger;
mod members;
pub mod membership;
mod names;
mod outcome;
mod persist;
pub mod refresh;
mod removal;
mod schedule;
pub mod status;
mod values;
pub mod weigh;

#[cfg(test)]
mod tests;

pub use changed::written;
pub use changes::SegmentChanges;
pub use criteria::{Criteria, Preview, preview};
pub use custom_traits::TraitDefinition;
pub use definition::{Definition, Draft};
pub use error::SegmentError;
pub use evaluation::{Evaluation, Members};
pub use members::SegmentMembers;
pub use membership::Refreshed;
pub use outcome::{Done, Evaluated, How, Wanted};
pub use refresh::Sessions;
pub use removal::delete;
pub use schedule::{Channel, InvalidSchedule, Percent, Schedule};
pub use status::{Failure, Freshness, Status};
