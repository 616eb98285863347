//! The arguments of `generate`, `ingest` and `quarantine`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rollbook_model::{BatchId, ProviderName};

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Number of persons
    #[arg(long)]
    pub(crate) persons: u64,
    /// Number of orders [default: three for every two persons]
    #[arg(long)]
    pub(crate) orders: Option<u64>,
    /// Number of activities [default: six for every person]
    #[arg(long)]
    pub(crate) activities: Option<u64>,
    /// Number of deals [default: one for every ten persons]
    #[arg(long)]
    pub(crate) deals: Option<u64>,
    /// Persons per 1,000 who have a second record at another provider, with typos
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    pub(crate) duplicates: u64,
    /// Also write the ground truth, to `truth/` in that folder
    #[arg(long)]
    pub(crate) truth: bool,
    /// Seed of the random generator
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Format of the files
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
    /// The provider: native, olist, shopify, or any name with --mappings
    #[arg(required = true)]
    pub(crate) provider: Option<ProviderName>,
    /// Files and folders; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) mapping: MappingFolder,
    /// The file name of standard input
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) named: Option<String>,
    /// Show the result, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) command: Option<IngestCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IngestCommand {
    /// Undo a run
    Undo {
        /// The run, as `ingest` and `snapshots` name it
        batch: BatchId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MappingFolder {
    /// A folder of custom mappings
    #[arg(long, value_name = "DIR")]
    pub(crate) mappings: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Quarantine {
    /// Only rows of this table
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Rows to print at most [default: 10000]; if csv or json is cut, the exit status is 1
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<usize>,
    #[command(subcommand)]
    pub(crate) command: Option<QuarantineCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Ingest rows in quarantine again
    Retry {
        /// Only rows of this provider [default: the only one with rows in quarantine]
        #[arg(long)]
        provider: Option<ProviderName>,
        /// Files that the mappings join
        paths: Vec<PathBuf>,
        #[command(flatten)]
        mapping: MappingFolder,
    },
}
