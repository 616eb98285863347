//! The errors of all floors below, with the place in the SQL and the next step where they have one.

use std::sync::Arc;

use rollbook_attribution::AttributionError;
use rollbook_engine::{EngineError, Position};
use rollbook_generate::GenerateError;
use rollbook_identity::files::{FileError, InvalidMap};
use rollbook_ingest::IngestError;
use rollbook_ingest::inspect::InspectError;
use rollbook_lake::LakeError;
use rollbook_model::settings::InvalidSetting;
use rollbook_model::{SegmentKey, TraitName};
use rollbook_read::ReadError;
use rollbook_scoring::ScoringError;
use rollbook_segments::SegmentError;

use crate::Kind;

/// Why a verb could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A text that cannot be blocked.
    #[error(
        "`{text}` is neither an e-mail address nor a phone number that could match: write it as a source has it, a phone with its country's code"
    )]
    NotBlockable {
        /// The text.
        text: String,
    },
    /// A value that is not blocked.
    #[error("`{text}` is not blocked")]
    NotBlocked {
        /// The text.
        text: String,
    },
    /// A query.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An ingest.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A file that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that cannot be profiled.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A segment.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Attribution.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// Scores.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// Data that cannot be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A setting.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A segment that is a query, or a list, and has no clauses.
    #[error("segment `{segment}` is no condition: it has no clauses to look at one by one")]
    NotACondition {
        /// The segment.
        segment: SegmentKey,
    },
    /// Plain files that cannot be resolved.
    #[error(transparent)]
    Linking(#[from] FileError),
    /// A map of columns that cannot be understood.
    #[error("{}: {source}", path.display())]
    ColumnMap {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: Box<InvalidMap>,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    ListFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a segment or a trait that cannot be understood.
    #[error("{}: {reason}", path.display())]
    SqlFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// What is wrong with the SQL of a file; places are those in the file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: std::path::PathBuf,
        /// What.
        source: Arc<EngineError>,
    },
    /// A trait that cannot go, since segments name it.
    #[error(
        "trait `{name}` cannot be removed: {} it",
        match segments.as_slice() {
            [one] => format!("segment `{one}` names"),
            all => {
                let all: Vec<_> = all.iter().map(|key| format!("`{key}`")).collect();
                format!("segments {} name", all.join(", "))
            }
        }
    )]
    TraitInUse {
        /// The trait.
        name: TraitName,
        /// The segments.
        segments: Vec<SegmentKey>,
    },
    /// What is wrong with one of several segments.
    #[error("segment `{segment}`: {source}")]
    OfSegment {
        /// The segment.
        segment: SegmentKey,
        /// What.
        source: Box<SegmentError>,
    },
    /// A text that is no e-mail, phone or person.
    #[error("`{text}` is no e-mail, no phone number, and no id of a person")]
    NotSuppressible {
        /// The text.
        text: String,
    },
    /// A page token whose members are no longer kept.
    #[error("the page token has expired: its members are no longer kept; begin again")]
    ExpiredPageToken,
    /// A table that is not one of ours.
    #[error("there is no table `{table}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownTable {
        /// The name that was given.
        table: String,
        /// The table that was probably meant.
        nearest: Option<String>,
    },
    /// A segment that is to be made is there already.
    #[error("there is a segment `{segment}` already")]
    SegmentExists {
        /// The segment.
        segment: SegmentKey,
    },
    /// A folder without a folder of any provider.
    #[error("{} has no folder of a provider: put files into DIR/shopify, DIR/hubspot …", path.display())]
    NoProviders {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// A person whose records are all another's.
    #[error("person {person} is person {now} now: their records were brought together")]
    BecameAnother {
        /// The id that was given.
        person: i64,
        /// Whose the records are.
        now: i64,
    },
    /// A person whom the lake does not know.
    #[error("there is no person {person}")]
    UnknownPerson {
        /// The id that was given.
        person: i64,
    },
    /// A page token that this lake did not give out.
    #[error("this page token is not one of this lake's: ask for the first page again")]
    ForgedPageToken,
    /// A key that stood for another request before.
    #[error("this idempotency key was used for another body: use a new one for each request")]
    KeyReused,
    /// Rows that could not be turned into what was asked for.
    #[error("the rows cannot be written: {source}")]
    Rows {
        /// What the writer said.
        source: arrow::error::ArrowError,
    },
    /// Rows that are not among those that could not be taken in.
    #[error("nothing with the id `{id}` was put aside")]
    UnknownEntry {
        /// The id that was given.
        id: String,
    },
    /// What kept several requests that were done together from being done.
    #[error(transparent)]
    Shared(Arc<AppError>),
    /// Files could not be laid out for a while.
    #[error("cannot use a temporary folder: {source}")]
    TemporaryFolder {
        /// What the system said.
        source: std::io::Error,
    },
}

impl AppError {
    /// What a query needs more memory than, whose pool has so many bytes.
    pub fn memory_exhausted(pool: usize) -> Self {
        let limit = pool as u64;
        Self::Engine(EngineError::MemoryExhausted { limit })
    }

    /// Whether there is no lake yet.
    pub fn is_no_lake(&self) -> bool {
        matches!(self, Self::Lake(LakeError::NoLake { .. }))
    }

    /// Whether the same request would fail again, on another day and another machine too.
    pub(crate) fn is_about_the_request(&self) -> bool {
        let (_, kind) = self.code();
        matches!(
            kind,
            Kind::Malformed | Kind::Missing | Kind::Conflict | Kind::Unprocessable
        )
    }

    /// The same for the log: without a value that could not be computed with.
    pub fn without_values(&self) -> String {
        match self {
            Self::Engine(error) => error.without_values(),
            Self::Segment(error) => error.without_values(),
            Self::Shared(error) => error.without_values(),
            _ => self.to_string(),
        }
    }

    /// Where in the SQL it is, if that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Engine(error) => error.position(),
            Self::Segment(error) => error.position(),
            Self::Attribution(AttributionError::Engine(error)) => error.position(),
            Self::Ingest(IngestError::MappingSql { source, .. }) => source.position(),
            Self::Shared(error) => error.position(),
            _ => None,
        }
    }
}
