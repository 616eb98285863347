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
    /// Count the members of criteria, without saving anything
    Preview {
        /// A condition on `people`, or one `select person_id …`
        #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
        criteria: String,
        #[command(flatten)]
        moment: Moment,
    },
    /// Refresh segments; all of them by default
    Refresh {
        keys: Vec<SegmentKey>,
        /// Evaluate all persons, not only those whom changes may concern
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// List the members as of the last refresh
    Members(Members),
    /// Count the members, with a checksum and the freshness
    Count { key: SegmentKey },
    /// Explain why a person is a member, or is not
    Explain {
        key: SegmentKey,
        /// The id of a person
        #[arg(value_name = "PERSON")]
        person: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// Show who would enter and leave with other criteria, without saving anything
    Impact {
        key: SegmentKey,
        /// A condition on `people`, or one `select person_id …`
        #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
        criteria: String,
        #[command(flatten)]
        moment: Moment,
    },
    /// Predict entries and exits of the coming days, assuming no new data
    Calendar {
        key: SegmentKey,
        /// Days to look ahead
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find near misses: persons who fail exactly one clause
    NearMiss {
        key: SegmentKey,
        #[command(flatten)]
        moment: Moment,
    },
    /// Find the threshold of a clause that yields about so many members
    Fit {
        key: SegmentKey,
        /// The number of the clause, from 1
        #[arg(long, value_name = "N")]
        clause: usize,
        /// The number of members to aim for
        #[arg(long, value_name = "M")]
        size: u64,
        #[command(flatten)]
        moment: Moment,
    },
    /// List who entered and left, and why
    Changes {
        key: SegmentKey,
        /// The `until` of the answer before, or a time [default: the beginning]
        #[arg(long, value_name = "NUMBER|TIME")]
        since: Option<Since>,
    },
    /// List the size over time, with the changes
    History { key: SegmentKey },
    /// Count the members who can be contacted, and those lost at each step
    Reach {
        key: SegmentKey,
        /// email or sms [default: the segment's own, else email]
        #[arg(long)]
        channel: Option<Channel>,
        #[command(flatten)]
        moment: Moment,
    },
    /// Compute how segments overlap, pair by pair
    Overlap { keys: Vec<SegmentKey> },
    /// Apply a folder of .sql files: create, change and delete segments to match it
    Apply {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only show the changes; exit with 1 if there are any
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
    /// A file of person ids or e-mail addresses, one per line, instead of criteria
    #[arg(long, value_name = "FILE")]
    pub(crate) members: Option<PathBuf>,
    /// Compute the members now, and never again
    #[arg(long = "static", conflicts_with_all = ["refresh", "members"])]
    pub(crate) is_static: bool,
    /// on_ingest, manual, or an interval such as '15 minutes'
    #[arg(long, value_name = "WHEN")]
    pub(crate) refresh: Option<Schedule>,
    /// The channel to contact its members: email or sms
    #[arg(long)]
    pub(crate) channel: Option<Channel>,
    /// Percentage of the members that is held out
    #[arg(long, value_name = "PCT")]
    pub(crate) holdout: Option<Percent>,
    /// The display name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// The owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Comma-separated tags
    #[arg(long, value_delimiter = ',')]
    pub(crate) tags: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct Members {
    pub(crate) key: SegmentKey,
    /// The members as computed from the data of this snapshot
    #[arg(long, value_name = "N", conflicts_with_all = ["or", "and", "not", "deliverable", "sample"])]
    pub(crate) snapshot: Option<SnapshotNumber>,
    /// Union with the members of this segment
    #[arg(long, value_name = "KEY")]
    pub(crate) or: Vec<SegmentKey>,
    /// Then intersection with the members of this segment
    #[arg(long, value_name = "KEY")]
    pub(crate) and: Vec<SegmentKey>,
    /// Then without the members of this segment
    #[arg(long, value_name = "KEY")]
    pub(crate) not: Vec<SegmentKey>,
    /// Only members who can be contacted
    #[arg(long)]
    pub(crate) deliverable: bool,
    /// The channel: email or sms [default: the segment's own, else email]
    #[arg(long, requires = "deliverable")]
    pub(crate) channel: Option<Channel>,
    /// Only a sample of this size in percent, drawn by a hash of the person id
    #[arg(long, value_name = "PCT")]
    pub(crate) sample: Option<Percent>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Traits {
    /// Apply a folder of .sql files: create, change and delete traits to match it
    Apply {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only show the changes; exit with 1 if there are any
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
    /// Add e-mail addresses, phone numbers or person ids
    Add {
        #[arg(required = true)]
        values: Vec<String>,
        /// Only for email or sms [default: both]
        #[arg(long)]
        channel: Option<Channel>,
        /// The reason
        #[arg(long)]
        reason: Option<String>,
    },
    /// Remove entries
    Remove {
        #[arg(required = true)]
        values: Vec<String>,
        /// Only for email or sms [default: whatever the channel]
        #[arg(long)]
        channel: Option<Channel>,
    },
    /// List the entries: addresses as keyed hashes, since they are not stored in the clear
    List,
}
