//! The arguments of the command line; their comments are the texts of `--help`.

mod analysis;
mod api_key;
mod audit;
mod files;
mod identity;
mod jwt;
mod lake;
mod retention;
mod secret;
mod segment;
mod serve;
mod tenant;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rollbook_model::{GivenTime, SnapshotNumber, TenantName, config};

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

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Folder or file:// URL of the lake
    #[arg(long, global = true, env = "ROLLBOOK_LAKE", default_value = config::DEFAULT_LAKE, value_name = "DIR|URL")]
    pub(crate) lake: String,
    /// The tenant [default: default, for the demo: demo]
    #[arg(long, global = true, env = "ROLLBOOK_TENANT", value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
    /// Output format
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
    /// Mebibytes of memory that a query may use before it spills to disk; those of the whole server for
    /// `serve`, which needs up to 512 more [default: 2048]
    #[arg(
        long,
        global = true,
        env = "ROLLBOOK_MEMORY_MIB",
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(16..)
    )]
    pub(crate) memory_mib: Option<u32>,
}

/// Format of printed results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table for people
    Table,
    /// One JSON document
    Json,
    /// Comma-separated values with a header
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a demo on built-in sample data
    Demo {
        /// Then serve the lake of the demo over HTTP
        #[arg(long)]
        serve: bool,
        #[command(flatten)]
        how: Serve,
    },
    /// Generate sample data of any size, reproducible by its seed
    Generate(Generate),
    /// Ingest files of a provider, or undo an ingest
    Ingest(Ingest),
    /// Ingest a folder with one subfolder per provider: DIR/shopify, DIR/hubspot …
    Sync {
        /// The folder
        folder: PathBuf,
        /// Also read unchanged files
        #[arg(long)]
        full: bool,
        /// A folder of custom mappings, with one subfolder per provider
        #[arg(long, value_name = "DIR")]
        mappings: Option<PathBuf>,
    },
    /// Profile a file and draft a mapping for it
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Show the rows that were rejected, or try them again
    Quarantine(Quarantine),
    /// List the tables that hold rows
    Tables,
    /// List all canonical tables, or the columns of one
    Schema {
        /// The table
        table: Option<String>,
    },
    /// Run an SQL query
    Sql(Sql),
    /// Show the tenant's settings, or change one
    Settings {
        /// currency, timezone, default_region, fx_days, snapshot_days, journal_seconds or
        /// journal_mebibytes
        key: Option<String>,
        /// The new value
        value: Option<String>,
    },
    /// Manage custom traits, columns of `people`, as a folder of .sql files
    #[command(subcommand)]
    Traits(Traits),
    /// Define segments and list their members
    #[command(subcommand)]
    Segment(Segment),
    /// Look up, show, export, erase or hold a person
    #[command(subcommand)]
    Person(Person),
    /// Decide which records belong to one person
    #[command(subcommand)]
    Identity(Identity),
    /// Manage the list of those who must not be contacted
    #[command(subcommand)]
    Suppression(Suppression),
    /// Attribute conversions to channels
    #[command(subcommand)]
    Attribution(Attribution),
    /// Predict who will buy and who will churn, and explain why
    #[command(subcommand)]
    Score(Score),
    /// Create, list, rotate and revoke the API keys of the servers of a lake
    #[command(subcommand)]
    ApiKey(ApiKey),
    /// Create, list, limit, suspend and delete tenants: businesses whose data are separate
    #[command(subcommand)]
    Tenant(Tenant),
    /// List what callers of servers did, or verify that no record of it was changed
    Audit(Audit),
    /// Store, list and delete secrets for connections to other systems; no command shows a value
    #[command(subcommand)]
    Secret(Secret),
    /// Serve the lake over HTTP: to programs on this machine, or encrypted to others
    Serve(Serve),
    /// Run as a worker process of a server
    #[command(hide = true)]
    Work,
    /// Show the journal (write-ahead log): requests that are in no snapshot yet
    Journal(Journal),
    /// List the snapshots
    Snapshots,
    /// Name snapshots, so that they do not expire
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Expire old snapshots, and delete files that no snapshot refers to
    Vacuum {
        /// Only count what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Say how long rows and personal values are kept, and remove what is older
    #[command(subcommand)]
    Retention(Retention),
    /// Show or rotate the keys that encrypt personal values
    #[command(subcommand)]
    Keys(Keys),
    /// Verify that the lake is complete and undamaged
    Check,
    /// Copy the tenant's lake to an empty location, while others use it
    Backup(Backup),
    /// Restore a backup to the location of --lake, which must be empty
    Restore {
        /// The folder or s3:// URL of the backup
        from: String,
    },
    /// Merge the files of tables into few sorted ones, where it makes queries faster
    Compact {
        /// Compact every table completely
        #[arg(long)]
        all: bool,
    },
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One `select`; `-` reads it from standard input
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) moment: Moment,
    /// The snapshot of the data; the newest by default
    #[arg(long, value_name = "N")]
    pub(crate) snapshot: Option<SnapshotNumber>,
    /// Rows to print at most [default: 10000]; if csv or json is cut, the exit status is 1
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<usize>,
    /// Seconds until the query is cancelled
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Show the physical plan instead of running the query
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Moment {
    /// The moment to query as of: sets now() and hides later facts [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<GivenTime>,
}

pub(crate) use analysis::{Attribution, AttributionRun, Score};
pub(crate) use api_key::ApiKey;
pub(crate) use audit::{Audit, AuditCommand};
pub(crate) use files::{
    FileFormat, Generate, Ingest, IngestCommand, Quarantine, QuarantineCommand,
};
pub(crate) use identity::{
    AmbiguityOption, BlockedCommand, DecidedBy, DecisionOptions, Identity, LinkFiles, Person,
    PersonRequest, ReviewCommand,
};
pub(crate) use jwt::Jwt;
pub(crate) use lake::{Backup, BackupCommand, Journal, JournalCommand, Keys, Snapshot};
pub(crate) use retention::Retention;
pub(crate) use secret::{PutSecret, Secret};
pub(crate) use segment::{Members, Put, Segment, Suppression, Traits};
pub(crate) use serve::Serve;
pub(crate) use tenant::Tenant;
