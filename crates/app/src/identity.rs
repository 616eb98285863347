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
pub use rollbook_ingest::linking::decide::{
    Blocked, Candidate, Decider, Followed, RecordMove, Review, Wanted,
};
pub use rollbook_ingest::linking::erase::Forgotten;
pub use suggesting::{Suggested, suggested};
