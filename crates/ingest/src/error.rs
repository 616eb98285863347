//! Errors of a whole ingest run; single bad rows go to quarantine instead.

use rollbook_engine::EngineError;
use rollbook_lake::LakeError;
use rollbook_model::ProviderName;
use rollbook_read::ReadError;

/// An error that stops an ingest. Nothing has been committed when one is returned.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A person without records, or one whose records all belong to other persons now.
    #[error("there is no person {person}, or all of their records belong to other persons now")]
    NoPerson {
        /// The id.
        person: i64,
    },
    /// A person under legal hold.
    #[error("person {person} is under legal hold: nothing of them may be deleted")]
    Held {
        /// The id.
        person: i64,
    },
    /// One person is named twice.
    #[error("person {person} cannot be merged with themselves")]
    SamePerson {
        /// The id.
        person: i64,
    },
    /// A record that does not exist.
    #[error("there is no record {identity}")]
    NoRecord {
        /// The id.
        identity: i64,
    },
    /// The person of a record has no other.
    #[error("record {identity} is the only one of its person: there is nothing to split it from")]
    OnlyRecord {
        /// The id.
        identity: i64,
    },
    /// A record without an open review.
    #[error("record {identity} has no open review")]
    NotWaiting {
        /// The id.
        identity: i64,
    },
    /// A value that is blocked already.
    #[error("`{value}` is blocked already")]
    IsBlocked {
        /// The value.
        value: String,
    },
    /// A decision that is not in force.
    #[error("no decision `{entry}` is in force")]
    NoDecision {
        /// The entry as given.
        entry: String,
    },
    /// No folder of mappings has this name.
    #[error(
        "there is no provider `{provider}`{}; built in: {known}",
        did_you_mean(nearest)
    )]
    UnknownProvider {
        /// The name that was given.
        provider: ProviderName,
        /// The provider that was probably meant.
        nearest: Option<String>,
        /// The names of those built in.
        known: String,
    },
    /// A folder of mappings that cannot be read, or has none.
    #[error("no mapping can be read from `{folder}`: {detail}")]
    MappingFolder {
        /// The folder.
        folder: String,
        /// The reason.
        detail: String,
    },
    /// The header of a mapping is incomplete or wrong.
    #[error("mapping `{mapping}`: {detail}")]
    MappingHeader {
        /// Provider and name.
        mapping: String,
        /// The error, and how to correct it.
        detail: String,
    },
    /// The statement of a mapping cannot be planned over its sources.
    #[error("mapping `{mapping}`: {source}")]
    MappingSql {
        /// Provider and name.
        mapping: String,
        /// The error of the engine.
        source: Box<EngineError>,
    },
    /// A mapping failed while it ran.
    #[error("mapping `{mapping}` failed: {source}")]
    MappingRun {
        /// Provider and name.
        mapping: String,
        /// The error of DataFusion.
        source: Box<datafusion::error::DataFusionError>,
    },
    /// A mapping yields a column that its table does not have.
    #[error(
        "mapping `{mapping}` yields a column `{column}`, which `{table}` does not have{}",
        did_you_mean(nearest)
    )]
    UnknownOutput {
        /// Provider and name.
        mapping: String,
        /// The column.
        column: String,
        /// The target table.
        table: &'static str,
        /// The column that was probably meant.
        nearest: Option<String>,
    },
    /// A person was erased while a run had their rows; the run is repeated.
    #[error("persons were erased during every attempt of the run: try again")]
    ErasedMeanwhile,
    /// A mapping does not yield a column that a row needs, such as its key.
    #[error("mapping `{mapping}` yields no `{column}`: {hint}")]
    MissingOutput {
        /// Provider and name.
        mapping: String,
        /// The column.
        column: &'static str,
        /// How to correct it.
        hint: &'static str,
    },
    /// A mapping joins a source of which no file was given.
    #[error(
        "mapping `{mapping}` needs the source `{wanted}` ({pattern}), and no such file was given: give its folder, or both files"
    )]
    MissingSource {
        /// Provider and name.
        mapping: String,
        /// The source's name in the mapping.
        wanted: String,
        /// The pattern of its files.
        pattern: String,
    },
    /// No mapping reads any of the files.
    #[error(
        "no mapping of `{provider}` reads any of the {files} files given; its mappings read {patterns}"
    )]
    NothingClaimed {
        /// The provider.
        provider: ProviderName,
        /// How many files were given.
        files: usize,
        /// The file patterns of its mappings.
        patterns: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A session could not be created.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The temporary files could not be written or read.
    #[error("rows cannot be written to a temporary file: {source}")]
    Staging {
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Rows could not be sorted, filtered or concatenated.
    #[error("rows for `{table}` cannot be {doing}: {detail}")]
    Rows {
        /// The table.
        table: &'static str,
        /// What was being done, such as `sorted`.
        doing: &'static str,
        /// The error of the library.
        detail: String,
    },
    /// More rows than one run may take.
    #[error("table `{table}` gets more than {limit} rows in one run: ingest the files in parts")]
    TooManyRows {
        /// The table.
        table: &'static str,
        /// The limit.
        limit: u32,
    },
    /// Two first runs of a tenant at once: e-mail addresses would get two kinds of ids.
    #[error("another process created this lake at the same time: try again")]
    FirstRunOvertaken,
    /// Another process has ingested one of the requests.
    #[error("another process has ingested the same request meanwhile")]
    Answered,
    /// More rows of a request are refused than quarantine keeps.
    #[error(
        "more than {most} rows were refused, so none was ingested; the first is line {line} (`{code}`)"
    )]
    TooManyRefused {
        /// How many are kept.
        most: u64,
        /// The line of the first.
        line: i64,
        /// The code of its error, as in quarantine; not the value, since this is stored.
        code: &'static str,
    },
    /// Several requests that cannot be ingested as one run.
    #[error("these requests cannot be ingested as one run")]
    NotTogether,
    /// No row in quarantine can be tried again.
    #[error("nothing in quarantine can be tried again")]
    NothingQuarantined,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

impl IngestError {
    /// The error of an Arrow operation on rows of a table; `doing` names the operation.
    pub(crate) fn rows(
        table: &'static str,
        doing: &'static str,
    ) -> impl Fn(arrow::error::ArrowError) -> Self {
        move |error| match error {
            arrow::error::ArrowError::IoError(_, source) => Self::Staging { source },
            error => Self::Rows {
                table,
                doing,
                detail: error.to_string(),
            },
        }
    }
}

/// The error of an I/O failure in the temporary files of staged rows.
pub(crate) fn staging(source: impl Into<std::io::Error>) -> IngestError {
    IngestError::Staging {
        source: source.into(),
    }
}
