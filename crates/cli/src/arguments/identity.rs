//! The arguments of `identity`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Say which rows of plain CSV files are one person; needs and makes no lake
    Link(LinkFiles),
    /// Count records and persons
    Stats,
    /// Look at records that several persons could have, and decide
    #[command(subcommand)]
    Review(Reviewing),
    /// Make two persons one; no fact is rewritten
    Merge {
        /// One
        a: i64,
        /// The other
        b: i64,
        #[command(flatten)]
        how: Deciding,
    },
    /// Take a record away from the person that it belongs to
    Split {
        /// The record, as `identities` names it
        identity: i64,
        #[command(flatten)]
        how: Deciding,
    },
    /// Take a merge, a split or the decision of a review back
    Undo {
        /// The entry, as `decisions` lists it
        entry: String,
        #[command(flatten)]
        how: Deciding,
    },
    /// List persons who are probably one though no exact rule says so; links nobody
    Suggest {
        /// How probable it has to be, from 0 to 1
        #[arg(long, value_name = "P", default_value_t = 0.9, value_parser = probability)]
        at_least: f64,
        /// Pairs to list at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Two persons are not one: they are not suggested again
    Different {
        /// One
        a: i64,
        /// The other
        b: i64,
        #[command(flatten)]
        how: Deciding,
    },
    /// List the decisions that hold
    Decisions,
    /// List the values that match nobody, or add and remove one
    Blocked {
        #[command(subcommand)]
        change: Option<Blocking>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blocking {
    /// An e-mail address or a phone number that many share matches nobody
    Add {
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        how: Deciding,
    },
    /// It matches again
    Remove {
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        how: Deciding,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Person {
    /// Show what is known of one
    Show {
        /// The id
        person: i64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find the persons who have a record with this value
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
    /// List what happened with one, the latest first
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
    /// Forget one for good: what identifies them goes, their orders stay without a name
    Erase {
        /// The id
        person: i64,
        #[command(flatten)]
        how: Deciding,
    },
    /// Let somebody who was erased come in again, with these values and records of theirs
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
        how: Deciding,
    },
    /// Write all that is held on one, as JSON
    Export {
        /// The id
        person: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Reviewing {
    /// List the records that wait
    List,
    /// Show one, and whom it could belong to
    Show {
        /// The record
        identity: i64,
    },
    /// Say whose it is
    Decide {
        /// The record
        identity: i64,
        /// Whose it is
        #[arg(long, value_name = "PERSON", required_unless_present_any = ["different", "later"])]
        same: Option<i64>,
        /// It is of none of those
        #[arg(long, conflicts_with_all = ["same", "later"])]
        different: bool,
        /// Put it off: it is listed after the others
        #[arg(long, conflicts_with = "same")]
        later: bool,
        #[command(flatten)]
        how: Deciding,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Deciding {
    /// Only say what would follow
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Who decides
    #[arg(long, env = "USER", default_value = "somebody", hide_env_values = true)]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct LinkFiles {
    /// One CSV file with a header, or two of which pairs across are wanted
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A TOML file that says which column is what, and by which rows are linked
    #[arg(long, value_name = "MAP.toml")]
    pub(crate) columns: PathBuf,
    /// What becomes of a row that joins two persons
    #[arg(long, value_enum, default_value_t = AtBridges::Review)]
    pub(crate) bridges: AtBridges,
    /// Also write pairs that are one person with at least this probability
    #[arg(long, value_name = "P", requires = "pairs", value_parser = probability)]
    pub(crate) suggest: Option<f64>,
    /// The file for these pairs
    #[arg(long, value_name = "OUT.csv", requires = "suggest")]
    pub(crate) pairs: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtBridges {
    /// It is linked to neither
    Review,
    /// They are one person
    Merge,
}

fn probability(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    match (0.0..=1.0).contains(&number) {
        true => Ok(number),
        false => Err("a probability lies between 0 and 1".to_owned()),
    }
}
