//! The arguments of `identity` and `person`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Link the rows of CSV files that are the same person; uses no lake
    Link(LinkFiles),
    /// Count records and persons
    Stats,
    /// Review records that match several persons
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Merge two persons; no fact is rewritten
    Merge {
        /// One person
        a: i64,
        /// The other person
        b: i64,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// Split a record from its person
    Split {
        /// The record, as `identities` names it
        identity: i64,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// Undo a merge, a split or the decision of a review
    Undo {
        /// The entry, as `decisions` lists it
        entry: String,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// List pairs of persons who are probably the same; links nobody
    Suggest {
        /// Minimum probability, from 0 to 1
        #[arg(long, value_name = "P", default_value_t = 0.9, value_parser = probability)]
        at_least: f64,
        /// Pairs to list at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Decide that two persons are different: they are not suggested again
    Different {
        /// One person
        a: i64,
        /// The other person
        b: i64,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// List the decisions in force
    Decisions,
    /// List the values that never link records, or add and remove one
    Blocked {
        #[command(subcommand)]
        change: Option<BlockedCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlockedCommand {
    /// Block an e-mail address or a phone number: it no longer links records
    Add {
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// Unblock a value: it links records again
    Remove {
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        how: DecisionOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Person {
    /// Show a person
    Show {
        /// The id
        person: i64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find the persons who have a record with a value
    #[command(arg_required_else_help = true)]
    Find {
        /// An e-mail address
        #[arg(long, group = "sought")]
        email: Option<String>,
        /// A phone number
        #[arg(long, group = "sought", allow_hyphen_values = true)]
        phone: Option<String>,
        /// A record's id at its provider
        #[arg(long, group = "sought", value_name = "PROVIDER:ID")]
        external: Option<String>,
    },
    /// List the events of a person, newest first
    Timeline {
        /// The id
        person: i64,
        /// order, refund, deal, deal_stage, activity, ticket or identity
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Events to list at most
        #[arg(long, default_value_t = 100)]
        limit: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Erase a person for good: personal values are deleted, orders stay anonymous
    Erase {
        /// The id
        person: i64,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// Fulfil a request of a person about their data, and keep a receipt
    #[command(subcommand)]
    Request(PersonRequest),
    /// List the receipts of requests
    Receipts,
    /// Put a person under legal hold: nothing of them is erased, nor removed by retention
    Hold {
        /// The id
        person: i64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// End the legal hold of a person
    Release {
        /// The id
        person: i64,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// List the persons under legal hold
    Holds,
    /// Allow records of an erased person to be ingested again, by these values and records
    #[command(arg_required_else_help = true)]
    Readmit {
        /// An e-mail address
        #[arg(long)]
        email: Vec<String>,
        /// A phone number
        #[arg(long, allow_hyphen_values = true)]
        phone: Vec<String>,
        /// A record's id at its provider
        #[arg(long, value_name = "PROVIDER:ID")]
        external: Vec<String>,
        #[command(flatten)]
        how: DecisionOptions,
    },
    /// Export all data on a person, as JSON
    Export {
        /// The id
        person: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PersonRequest {
    /// Print all data on the person, as JSON
    Export {
        /// The id
        person: i64,
        #[command(flatten)]
        by: DecidedBy,
    },
    /// Erase the person for good
    Erase {
        /// The id
        person: i64,
        #[command(flatten)]
        by: DecidedBy,
    },
    /// Suppress the person on all channels: `suppression remove` undoes it
    Restrict {
        /// The id
        person: i64,
        #[command(flatten)]
        by: DecidedBy,
    },
}

/// Who fulfils a request.
#[derive(Debug, Args)]
pub(crate) struct DecidedBy {
    /// Who fulfils the request
    #[arg(long, env = "USER", default_value = "somebody", hide_env_values = true)]
    pub(crate) by: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// List the records that wait
    List,
    /// Show a record and its candidate persons
    Show {
        /// The record
        identity: i64,
    },
    /// Decide which person a record belongs to
    Decide {
        /// The record
        identity: i64,
        /// It belongs to this person
        #[arg(long, value_name = "PERSON", required_unless_present_any = ["different", "later"])]
        same: Option<i64>,
        /// It belongs to none of the candidates
        #[arg(long, conflicts_with_all = ["same", "later"])]
        different: bool,
        /// Postpone it: it is listed after the others
        #[arg(long, conflicts_with = "same")]
        later: bool,
        #[command(flatten)]
        how: DecisionOptions,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DecisionOptions {
    /// Only show the effect, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Who decides
    #[arg(long, env = "USER", default_value = "somebody", hide_env_values = true)]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct LinkFiles {
    /// One CSV file with a header, or two to find pairs across
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A TOML file that maps columns to roles and defines the rules
    #[arg(long, value_name = "MAP.toml")]
    pub(crate) columns: PathBuf,
    /// How to treat a row that matches two persons
    #[arg(long, value_enum, default_value_t = AmbiguityOption::Review)]
    pub(crate) bridges: AmbiguityOption,
    /// Also write pairs that are the same person with at least this probability
    #[arg(long, value_name = "P", requires = "pairs", value_parser = probability)]
    pub(crate) suggest: Option<f64>,
    /// The file for these pairs
    #[arg(long, value_name = "OUT.csv", requires = "suggest")]
    pub(crate) pairs: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AmbiguityOption {
    /// Link it to neither
    Review,
    /// Merge the persons
    Merge,
}

fn probability(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match (0.0..=1.0).contains(&number) {
        true => Ok(number),
        false => Err("a probability is from 0 to 1".to_owned()),
    }
}
