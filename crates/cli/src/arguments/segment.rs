//! The arguments of `segment`, `traits` and `suppression`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rollbook_app::segments::{Channel, Percent, Schedule, Since};
use rollbook_model::{SegmentKey, SnapshotNumber};

use super::Moment;

#[derive(Debug, Subcommand)]
pub(crate) enum Segment {
    /// Save a segment, or a new revision of one
    Put(Box<Put>),
    /// List all segments
    List,
    /// Show one segment
    Show { key: SegmentKey },
    /// Delete a segment
    Delete { key: SegmentKey },
    /// Count who would belong, without saving anything
    Preview {
        /// A condition on `people`, or one `select person_id …`
        #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
        criteria: String,
        #[command(flatten)]
        moment: Moment,
    },
    /// Compute who belongs, to the segments named or to all
    Refresh {
        keys: Vec<SegmentKey>,
        /// Evaluate all persons, also where those whom changes may concern would do
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// List who belongs, as of the last refresh
    Members(Members),
    /// Count who belongs, with a checksum and whether it is up to date
    Count { key: SegmentKey },
    /// Tell why a person belongs, or does not
    Explain {
        key: SegmentKey,
        /// The id of a person
        #[arg(value_name = "PERSON")]
        person: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Tell who would enter and leave with other criteria, without saving anything
    Impact {
        key: SegmentKey,
        /// A condition on `people`, or one `select person_id …`
        #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
        criteria: String,
        #[command(flatten)]
        moment: Moment,
    },
    /// Foretell who comes and goes over the coming days if nothing happens
    Calendar {
        key: SegmentKey,
        /// Days to look ahead
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find who fails one clause and no other
    NearMiss {
        key: SegmentKey,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find the bound of a clause that gives about so many members
    Fit {
        key: SegmentKey,
        /// The number of the clause, from 1
        #[arg(long, value_name = "N")]
        clause: usize,
        /// The members that are wanted
        #[arg(long, value_name = "M")]
        size: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// List who came and who went, and why
    Changes {
        key: SegmentKey,
        /// The `until` of the answer before, or a time [default: the beginning]
        #[arg(long, value_name = "NUMBER|TIME")]
        since: Option<Since>,
    },
    /// List how large it was, and what changed that
    History { key: SegmentKey },
    /// Count who can be reached, and what holds the others back
    Reach {
        key: SegmentKey,
        /// email or sms [default: the segment's own, else email]
        #[arg(long)]
        channel: Option<Channel>,
        #[command(flatten)]
        moment: Moment,
    },
    /// Count how segments overlap, every pair once
    Overlap { keys: Vec<SegmentKey> },
    /// Make the lake have the segments of a folder of .sql files
    Apply {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only say what would change; fail where anything would
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// Write the segments into a folder, as .sql files
    Export {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    pub(crate) key: SegmentKey,
    /// A condition on `people`, or one `select person_id …`
    #[arg(
        long,
        value_name = "SQL",
        allow_hyphen_values = true,
        required_unless_present = "members",
        conflicts_with = "members"
    )]
    pub(crate) criteria: Option<String>,
    /// A list of ids or e-mails, one a line, instead
    #[arg(long, value_name = "FILE")]
    pub(crate) members: Option<PathBuf>,
    /// Compute it now and never again
    #[arg(long = "static", conflicts_with_all = ["refresh", "members"])]
    pub(crate) is_static: bool,
    /// on_ingest, manual, or a pause such as '15 minutes'
    #[arg(long, value_name = "WHEN")]
    pub(crate) refresh: Option<Schedule>,
    /// How its members are reached: email or sms
    #[arg(long)]
    pub(crate) channel: Option<Channel>,
    /// The part of its members that is held out, in percent
    #[arg(long, value_name = "PCT")]
    pub(crate) holdout: Option<Percent>,
    /// The name to show
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Who answers for it
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Words to find it by, with commas between
    #[arg(long, value_delimiter = ',')]
    pub(crate) tags: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct Members {
    pub(crate) key: SegmentKey,
    /// As computed from the data of this snapshot
    #[arg(long, value_name = "N", conflicts_with_all = ["or", "and", "not", "deliverable", "sample"])]
    pub(crate) snapshot: Option<SnapshotNumber>,
    /// Together with the members of this segment
    #[arg(long, value_name = "KEY")]
    pub(crate) or: Vec<SegmentKey>,
    /// Of these, only the members of this one too
    #[arg(long, value_name = "KEY")]
    pub(crate) and: Vec<SegmentKey>,
    /// Of these, no members of this one
    #[arg(long, value_name = "KEY")]
    pub(crate) not: Vec<SegmentKey>,
    /// Only those who can be reached
    #[arg(long)]
    pub(crate) deliverable: bool,
    /// Over which channel: email or sms [default: the segment's own, else email]
    #[arg(long, requires = "deliverable")]
    pub(crate) channel: Option<Channel>,
    /// Only this part of them in percent, drawn by a hash of the person
    #[arg(long, value_name = "PCT")]
    pub(crate) sample: Option<Percent>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Traits {
    /// Make the lake have the traits of a folder of .sql files
    Apply {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only say what would change; fail where anything would
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// List all traits
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Suppression {
    /// Add e-mails, phone numbers or ids of persons
    Add {
        #[arg(required = true)]
        values: Vec<String>,
        /// Only for email or sms [default: both]
        #[arg(long)]
        channel: Option<Channel>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take them away
    Remove {
        #[arg(required = true)]
        values: Vec<String>,
        /// Only for email or sms [default: whatever the channel]
        #[arg(long)]
        channel: Option<Channel>,
    },
    /// List them: addresses as keyed hashes, since they are not kept in the clear
    List,
}
