//! The command line, as `--help` tells it.

mod identity;
mod segment;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rollbook_app::attribution::{By, Model};
use rollbook_app::scores::ScoreKind;
use rollbook_model::{BatchId, GivenTime, ProviderName, SnapshotNumber, Span, TenantName, config};

/// Segments, scores and attribution over your customers' data, in SQL
#[derive(Debug, Parser)]
#[command(
    name = "rollbook",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes, before or after its name.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Folder or file:// URL of the lake
    #[arg(long, global = true, env = "ROLLBOOK_LAKE", default_value = config::DEFAULT_LAKE, value_name = "DIR|URL")]
    pub(crate) lake: String,
    /// Whose data; `default`, and `demo` for the demo
    #[arg(long, global = true, env = "ROLLBOOK_TENANT", value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
    /// How to print the answer
    #[arg(long, global = true, value_enum, default_value_t = Form::Table)]
    pub(crate) output: Form,
    /// Mebibytes of memory that a query may use before it spills to disk [default: 2048]
    #[arg(
        long,
        global = true,
        env = "ROLLBOOK_MEMORY_MIB",
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(16..)
    )]
    pub(crate) memory_mib: Option<u32>,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// Comma-separated, with a header
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what rollbook does, on sample data of its own
    Demo {
        /// Then answer over HTTP on the lake that it made
        #[arg(long)]
        serve: bool,
        #[command(flatten)]
        how: Serve,
    },
    /// Write made-up data of any size, the same for the same seed
    Generate(Generate),
    /// Take in files of a provider, or take such a run back
    Ingest(Ingest),
    /// Take in a folder of what all providers sent: DIR/shopify, DIR/hubspot …
    Sync {
        /// The folder
        folder: PathBuf,
        /// Also read files that are as they were
        #[arg(long)]
        full: bool,
        /// A folder with a folder of mappings for each provider of your own
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Profile a file and draft a mapping for it
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Show the rows that could not be taken in, or try them again
    Quarantine(Quarantine),
    /// List the tables that hold rows
    Tables,
    /// List all canonical tables, or the columns of one
    Schema {
        /// The table
        table: Option<String>,
    },
    /// Answer a query
    Sql {
        /// One `select`; `-` reads it from standard input
        query: String,
        #[command(flatten)]
        moment: Moment,
        /// The snapshot of the data; the newest by default
        #[arg(long, value_name = "N")]
        snapshot: Option<SnapshotNumber>,
        /// Rows to print at most [default: 10000]; csv and json that are cut exit with 1
        #[arg(long, value_name = "ROWS")]
        limit: Option<usize>,
        /// Seconds until the query is given up
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        /// Show how it would be run, and do not run it
        #[arg(long)]
        explain: bool,
    },
    /// Show the tenant's settings, or change one
    Settings {
        /// currency, timezone, default_region, fx_days, snapshot_days, journal_seconds or
        /// journal_mebibytes
        key: Option<String>,
        /// The new value
        value: Option<String>,
    },
    /// Columns of `people` of your own, as a folder of .sql files
    #[command(subcommand)]
    Traits(Traits),
    /// Define segments and pull their members
    #[command(subcommand)]
    Segment(Segment),
    /// Look at one person
    #[command(subcommand)]
    Person(Person),
    /// Say which records are one human being
    #[command(subcommand)]
    Identity(Identity),
    /// Say whom nobody may write to
    #[command(subcommand)]
    Suppression(Suppression),
    /// Credit what was sold to the channels that led to it
    #[command(subcommand)]
    Attribution(Attribution),
    /// Score who will buy and who will leave, and say why
    #[command(subcommand)]
    Score(Score),
    /// Answer over HTTP, to programs on this machine
    Serve(Serve),
    /// Answer what a server hands on
    #[command(hide = true)]
    Work,
    /// Show what was posted and is in no snapshot yet, and take it in
    Journal(Journal),
    /// List the snapshots
    Snapshots,
    /// Give snapshots names under which they stay
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Let old snapshots expire, and remove files that nothing names any more
    Vacuum {
        /// Only count what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Show or rotate the keys that personal values are sealed with
    #[command(subcommand)]
    Keys(Keys),
    /// Look whether everything that the lake should hold is there and unharmed
    Check,
    /// Copy the tenant's lake to an empty place, while others go on using it
    Backup(Backup),
    /// Bring a backup back to where --lake says, which must be empty
    Restore {
        /// The folder or s3:// URL of the backup
        from: String,
    },
    /// Write rows anew in order and in few files, where that pays
    Compact {
        /// Until every table is in order throughout
        #[arg(long)]
        all: bool,
    },
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Keys {
    /// Say which master key wraps the tenant's key, and where it comes from
    Show,
    /// Make a new master key, where rollbook keeps it in a file, and wrap all keys anew
    Rotate,
}

#[derive(Debug, Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) command: Option<JournalCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Take in what waits, as a server does
    Fold {
        /// A folder with a folder of mappings for each provider of your own
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Try again what could not be taken in
    Retry {
        /// A folder with a folder of mappings for each provider of your own
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Remove rows that could not be taken in, for good
    Drop {
        /// The id, as `journal` lists it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Keep a snapshot for good, under a name
    Keep {
        /// The snapshot
        number: SnapshotNumber,
        /// Its name
        name: String,
    },
    /// Take a name away: the snapshot expires like any other
    Release {
        /// The name
        name: String,
    },
    /// List the snapshots that have names
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Moment {
    /// The moment to look from: sets now() and hides every later fact [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<GivenTime>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on; one of this machine's own
    #[arg(long, value_name = "ADDRESS", default_value = config::DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// A folder with a folder of mappings for each provider of your own
    #[arg(long, value_name = "DIR")]
    pub(crate) mappings: Option<PathBuf>,
    /// Bytes that a body of rows may have
    #[arg(long, value_name = "BYTES", default_value_t = config::SERVE_BODY_BYTES)]
    pub(crate) body_bytes: u64,
    /// Seconds in which a body has to come
    #[arg(long, value_name = "SECONDS", default_value_t = config::SERVE_BODY_SECONDS)]
    pub(crate) body_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Persons to make up
    #[arg(long)]
    pub(crate) persons: u64,
    /// Orders in all [default: three for every two persons]
    #[arg(long)]
    pub(crate) orders: Option<u64>,
    /// Activities in all [default: six for every person]
    #[arg(long)]
    pub(crate) activities: Option<u64>,
    /// Deals in all [default: one for every ten persons]
    #[arg(long)]
    pub(crate) deals: Option<u64>,
    /// Of 1,000 persons, how many have a second record at another provider, with typos
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    pub(crate) duplicates: u64,
    /// Also write what the data were made from, to `truth/` in that folder
    #[arg(long)]
    pub(crate) truth: bool,
    /// The number that everything follows from
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The kind of files
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    pub(crate) format: FileFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    Csv,
    Parquet,
}

#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Ingest {
    /// Whose mappings to use: native, olist, shopify, or any name with --mappings
    #[arg(required = true)]
    pub(crate) provider: Option<ProviderName>,
    /// Files and folders; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) mapping: MappingFolder,
    /// The file name that standard input goes by
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) named: Option<String>,
    /// Show what would happen, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) command: Option<IngestCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IngestCommand {
    /// Take a run back
    Undo {
        /// The run, as `ingest` and `snapshots` name it
        batch: BatchId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MappingFolder {
    /// A folder with mappings of your own
    #[arg(long, value_name = "DIR")]
    pub(crate) mappings: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Quarantine {
    /// Only rows that were meant for this table
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Rows to print at most [default: 10000]; csv and json that are cut exit with 1
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<usize>,
    #[command(subcommand)]
    pub(crate) command: Option<QuarantineCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Run them through their mappings again
    Retry {
        /// Only rows of this provider [default: all that have rows there]
        #[arg(long)]
        provider: Option<ProviderName>,
        /// Files that the mappings join
        paths: Vec<PathBuf>,
        #[command(flatten)]
        mapping: MappingFolder,
    },
}

pub(crate) use identity::{AtBridges, Blocking, Deciding, Identity, LinkFiles, Person, Reviewing};
pub(crate) use segment::{Members, Put, Segment, Suppression, Traits};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// A folder or an s3:// URL
    #[arg(required = true)]
    pub(crate) to: Option<String>,
    /// The snapshot; the newest by default
    #[arg(long, value_name = "N")]
    pub(crate) snapshot: Option<SnapshotNumber>,
    #[command(subcommand)]
    pub(crate) what: Option<OfBackup>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OfBackup {
    /// Take from a backup the keys of everybody who was erased since it was made
    Forget {
        /// The folder or s3:// URL of the backup
        at: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Attribution {
    /// Share each conversion among the touches before it, by several models
    Run(AttributionRun),
}

#[derive(Debug, Args)]
pub(crate) struct AttributionRun {
    /// first, last, linear, time-decay
    #[arg(long, value_delimiter = ',', default_values_t = Model::ALL)]
    pub(crate) models: Vec<Model>,
    /// What to sum by
    #[arg(long, default_value = "channel")]
    pub(crate) by: By,
    /// Conversions from this moment on [default: the first]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<GivenTime>,
    /// Conversions before this moment [default: the last]
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<GivenTime>,
    /// How long before a conversion a touch counts
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, default_value_t = config::ATTRIBUTION_LOOKBACK)]
    pub(crate) lookback: Span,
    /// The time in which the weight of a touch halves
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true, default_value_t = config::ATTRIBUTION_HALF_LIFE)]
    pub(crate) half_life: Span,
    #[command(flatten)]
    pub(crate) moment: Moment,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Score {
    /// Learn from earlier moments, and test on the last one
    Train {
        /// lead or churn
        kind: ScoreKind,
        #[command(flatten)]
        moment: Moment,
    },
    /// Score everybody whom it is about
    Run {
        /// lead or churn
        kind: ScoreKind,
        #[command(flatten)]
        moment: Moment,
    },
    /// Say why a person has their score
    Explain {
        /// lead or churn
        kind: ScoreKind,
        /// The person's id
        person: i64,
        #[command(flatten)]
        moment: Moment,
    },
}
