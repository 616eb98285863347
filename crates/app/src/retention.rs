//! Retention: how long rows and personal values are kept, and removing what is older.

mod holds;
mod rules;
mod run;

pub use holds::{hold, holds, release};
pub use rollbook_ingest::persons::holds::Hold;
pub use rules::{RetentionRule, rules, set};
pub use run::{HeldBack, RetentionReport, reports, run};
