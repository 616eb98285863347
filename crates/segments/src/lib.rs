//! Segments: from criteria in SQL to the exact set of persons who belong.

mod criteria;
pub mod definition;
mod error;
mod evaluation;
mod members;
pub mod refresh;

#[cfg(test)]
mod tests;

pub use criteria::{Criteria, Preview, preview};
pub use definition::{Definition, Draft};
pub use error::SegmentError;
pub use evaluation::{Evaluation, Members};
pub use members::{Membership, SegmentMembers};
pub use refresh::{Evaluated, Refreshed};
