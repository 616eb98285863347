//! The arguments of `retention`.

use clap::Subcommand;

use super::DecisionOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// List the rules; nothing is removed by a rule that is not set
    Show,
    /// Set how many days rows of a table are kept
    Set {
        /// A table with a time, quarantine, segment_changes, personal (persons not seen for so long) or
        /// data_retention_date (days after it)
        #[arg(value_name = "TABLE")]
        rule: String,
        /// The days
        days: u32,
    },
    /// Remove a rule: rows are kept
    Unset {
        /// The rule
        #[arg(value_name = "TABLE")]
        rule: String,
    },
    /// Remove what is too old, for good, and all older snapshots with it, also those with a name
    Run {
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// List what runs removed
    Reports,
}
