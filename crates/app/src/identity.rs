//! Which records are one human being.

mod deciding;
mod files;
mod suggesting;

pub use deciding::{
    InvalidRecord, ReviewShown, Sought, Stats, became, block, blocked, decide, decisions, erase,
    find, readmit, review, stats, unblock, waiting,
};
pub use files::{Suggest, link_files};
pub use rollbook_identity::files::Link;
pub use rollbook_identity::resolve::AmbiguityPolicy;
pub use rollbook_ingest::persons::decide::{
    Blocked, Candidate, Decider, DecisionRequest as Wanted, Followed, RecordMove, Review,
};
pub use rollbook_ingest::persons::erase::Forgotten;
pub use suggesting::{Suggested, suggested};
