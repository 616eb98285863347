//! Identity resolution: which records belong to one person.

mod csv_files;
mod decisions;
mod lookup;
pub(crate) mod normal_form;
mod reviews;
mod stats;
mod suggestions;

pub use csv_files::{SuggestedPairs, link_files};
pub use decisions::{block, blocked, decide, decisions, erase, readmit, unblock};
pub use lookup::{InvalidRecordName, PersonLookup, find, merged_into};
pub use reviews::{ReviewDetails, review, reviews};
pub use rollbook_identity::files::Link;
pub use rollbook_identity::resolve::AmbiguityPolicy;
pub use rollbook_ingest::persons::decide::{
    Blocked, Candidate, Decider, DecisionRequest, Followed, RecordMove, Review,
};
pub use rollbook_ingest::persons::erase::Forgotten;
pub use stats::{IdentityStats, stats};
pub use suggestions::{SuggestedPair, suggested};
