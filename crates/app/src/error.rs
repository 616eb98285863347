//! Errors of all use cases, with their position in the SQL and the next step, where known.

mod class;
mod code;
mod next_step;
mod quota;
mod token_fault;

use std::sync::Arc;

use rollbook_attribution::AttributionError;
use rollbook_engine::{EngineError, Position};
use rollbook_generate::GenerateError;
use rollbook_identity::files::{FileError, InvalidMap};
use rollbook_ingest::IngestError;
use rollbook_ingest::inspect::InspectError;
use rollbook_lake::LakeError;
use rollbook_model::settings::InvalidSetting;
use rollbook_model::{SecretName, SegmentKey, TenantName, TraitName};
use rollbook_read::ReadError;
use rollbook_scoring::ScoringError;
use rollbook_segments::SegmentError;

pub use class::ErrorClass;
pub use next_step::NextStep;
pub use quota::Quota;
pub use token_fault::TokenFault;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An error of the lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A text that is neither an e-mail address nor a phone number cannot be blocked.
    #[error(
        "`{text}` is neither an e-mail address nor a phone number that could match: write it as the source does, a phone number with its country code"
    )]
    NotBlockable {
        /// The text.
        text: String,
    },
    /// A value to be unblocked is not blocked.
    #[error("`{text}` is not blocked")]
    NotBlocked {
        /// The text.
        text: String,
    },
    /// An error of a query.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An error of ingest.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A source file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A source file cannot be profiled.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// An error of segments.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// An error of attribution.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// An error of scoring.
    #[error(transparent)]
    Scoring(#[from] ScoringError),
    /// Sample data cannot be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// An unknown setting or an invalid value.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The segment is a query or a list, so it has no clauses.
    #[error("segment `{segment}` is a query or a list: only a condition has clauses")]
    NotACondition {
        /// The segment.
        segment: SegmentKey,
    },
    /// CSV files cannot be linked.
    #[error(transparent)]
    Linking(#[from] FileError),
    /// A file that maps columns cannot be parsed.
    #[error("{}: {source}", path.display())]
    ColumnMap {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: Box<InvalidMap>,
    },
    /// A file or folder of the user cannot be read or written.
    #[error("{}: {source}", path.display())]
    ListFile {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A `.sql` file of a segment or a trait is invalid.
    #[error("{}: {reason}", path.display())]
    SqlFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The SQL of a file is invalid; positions refer to the file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: Arc<EngineError>,
    },
    /// A trait cannot be removed because segments use it.
    #[error(
        "trait `{name}` cannot be removed: {} it",
        match segments.as_slice() {
            [one] => format!("segment `{one}` uses"),
            all => {
                let all: Vec<_> = all.iter().map(|key| format!("`{key}`")).collect();
                format!("segments {} use", all.join(", "))
            }
        }
    )]
    TraitInUse {
        /// The trait.
        name: TraitName,
        /// The segments.
        segments: Vec<SegmentKey>,
    },
    /// One of several segments is invalid.
    #[error("segment `{segment}`: {source}")]
    OfSegment {
        /// The segment.
        segment: SegmentKey,
        /// The cause.
        source: Box<SegmentError>,
    },
    /// A text is neither an e-mail address, nor a phone number, nor a person id.
    #[error("`{text}` is neither an e-mail address, nor a phone number, nor a person id")]
    NotSuppressible {
        /// The text.
        text: String,
    },
    /// The members that a page token refers to were removed.
    #[error(
        "the page token has expired: its members were removed; start again with the first page"
    )]
    ExpiredPageToken,
    /// There is no such canonical table.
    #[error("there is no table `{table}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownTable {
        /// The name that was given.
        table: String,
        /// The table that was probably meant.
        nearest: Option<String>,
    },
    /// A segment to be created exists already.
    #[error("segment `{segment}` exists already")]
    SegmentExists {
        /// The segment.
        segment: SegmentKey,
    },
    /// A folder to be synced has no folder of a provider.
    #[error("{} has no subfolder of a provider: put files into DIR/shopify, DIR/hubspot …", path.display())]
    NoProviders {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// The person was merged into another one.
    #[error("person {person} was merged into person {now}")]
    MergedPerson {
        /// The id that was given.
        person: i64,
        /// The person that they were merged into.
        now: i64,
    },
    /// No person has this id.
    #[error("there is no person {person}")]
    UnknownPerson {
        /// The id that was given.
        person: i64,
    },
    /// A page token that this lake did not issue.
    #[error("the page token was not issued by this lake: ask for the first page again")]
    ForgedPageToken,
    /// An idempotency key was used before, with another body.
    #[error("this idempotency key was used for another body: use a new one for each request")]
    KeyReused,
    /// Rows cannot be converted to the requested format.
    #[error("the rows cannot be written: {source}")]
    Rows {
        /// The error of the writer.
        source: arrow::error::ArrowError,
    },
    /// No rejected entry of the write-ahead log has this id.
    #[error("there is no rejected request with the id `{id}`")]
    UnknownEntry {
        /// The id that was given.
        id: String,
    },
    /// Several requests that shared a commit failed together.
    #[error(transparent)]
    Shared(Arc<AppError>),
    /// The caller lacks a right.
    #[error("this takes the right `{right}`, which the caller does not have")]
    Forbidden {
        /// The right.
        right: &'static str,
    },
    /// The key of the caller is bound, and what was asked for is beyond its bounds.
    #[error("the key of the caller is bound to segments or columns, and this is beyond them")]
    BoundKey,
    /// The key of the caller is one for a trial, and the other one is not.
    #[error("the key of the caller is for a trial, and creates and revokes only such keys")]
    TrialKey,
    /// A key that is bound cannot have a right.
    #[error("a key that is bound to segments or columns cannot have the right `{right}`")]
    UnboundRight {
        /// The right.
        right: &'static str,
    },
    /// What a key cannot be bound to.
    #[error(
        "a key is bound to at most 100 segments, tags and columns each, and columns have names of 1 to 255 letters"
    )]
    InvalidBounds,
    /// The caller has no valid API key. The message does not say what is wrong with a key.
    #[error("{}", match is_missing {
        true => "this server answers requests with an API key only",
        false => "the API key is unknown, expired or revoked",
    })]
    Unauthenticated {
        /// Whether there is no key in the request.
        is_missing: bool,
    },
    /// The JWT of the caller is not accepted.
    #[error("{fault}")]
    InvalidToken {
        /// Why.
        fault: TokenFault,
    },
    /// The session of the caller is unknown or has ended, or its key has. The message does not say which.
    #[error("the session has ended")]
    SessionEnded,
    /// The caller used neither a key nor a JWT that a session could be for.
    #[error("this server needs no key: there is nothing to start a session with")]
    NoLogin,
    /// There is no such tenant, or the caller may not know of it.
    #[error("there is no tenant `{tenant}`")]
    UnknownTenant {
        /// The name that was given.
        tenant: String,
    },
    /// The caller has several tenants and named none.
    #[error("the caller has several tenants, and the request names none")]
    TenantNeeded,
    /// The tenant of the caller is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// There is such a tenant already.
    #[error("there is a tenant `{tenant}` already")]
    TenantExists {
        /// Its name.
        tenant: TenantName,
    },
    /// There was such a tenant. Its name is not used again, since keys for it may still be around.
    #[error("tenant `{tenant}` was deleted, and its name is not used again")]
    TenantDeleted {
        /// Its name.
        tenant: TenantName,
    },
    /// Others changed a tenant again and again.
    #[error("tenant `{tenant}` is being changed by others")]
    TenantBusy {
        /// Its name.
        tenant: TenantName,
    },
    /// The tenant uses what it may.
    #[error("the tenant has reached its quota of {limit} {quota}")]
    QuotaReached {
        /// Of what.
        quota: Quota,
        /// How much.
        limit: u64,
    },
    /// The caller is for other tenants than the one that is served. The message does not name any.
    #[error("the caller may use no tenant of this server")]
    NoTenantOfKey,
    /// There is no such API key, or the caller may not know of it.
    #[error("there is no API key `{prefix}`")]
    UnknownKey {
        /// The prefix that was given.
        prefix: String,
    },
    /// An API key that expired or was revoked cannot be rotated.
    #[error("API key `{prefix}` is {status}: create a new one")]
    KeyEnded {
        /// Its prefix.
        prefix: String,
        /// `expired` or `revoked`.
        status: &'static str,
    },
    /// Others changed an API key again and again.
    #[error("API key `{prefix}` is being changed by others")]
    KeyBusy {
        /// Its prefix.
        prefix: String,
    },
    /// A name that an API key cannot have.
    #[error("the name of an API key has 1 to 255 characters, not only blanks, on one line")]
    InvalidKeyName,
    /// What a caller did could not be recorded, so it is not answered.
    #[error(
        "the audit of this lake cannot be written, so nothing is answered that has to be recorded"
    )]
    AuditUnavailable,
    /// The first API key cannot be created by a request that has none.
    #[error("the first API key is not created over HTTP: from then on every request needs one")]
    FirstKey,
    /// No rule of retention has this name.
    #[error(
        "`{rule}` has no rows that grow old{}; rules are for {known}",
        nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
    )]
    UnknownRetentionRule {
        /// The name that was given.
        rule: String,
        /// The rule that was probably meant.
        nearest: Option<&'static str>,
        /// The names of all rules.
        known: String,
    },
    /// A number of days that no rule of retention can have.
    #[error("a rule of retention takes from {least} to {most} days", least = bounds.start(), most = bounds.end())]
    RetentionDays {
        /// The least and the greatest number.
        bounds: std::ops::RangeInclusive<u32>,
    },
    /// There is no secret of this name.
    #[error("there is no secret `{name}`")]
    UnknownSecret {
        /// The name that was given.
        name: SecretName,
    },
    /// Temporary files cannot be written.
    #[error("cannot use a temporary folder: {source}")]
    TemporaryFolder {
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl AppError {
    /// The error of a query that needs more memory than its pool of `pool` bytes.
    pub fn memory_exhausted(pool: usize) -> Self {
        let limit = pool as u64;
        Self::Engine(EngineError::MemoryExhausted { limit })
    }

    /// The error of a request that got no memory because others use it.
    pub fn memory_in_use() -> Self {
        Self::Engine(EngineError::MemoryInUse)
    }

    /// Whether the lake does not exist yet.
    pub fn is_no_lake(&self) -> bool {
        matches!(self, Self::Lake(LakeError::NoLake { .. }))
    }

    /// Whether the request itself is at fault, so that it would fail again at any time.
    pub(crate) fn is_fault_of_request(&self) -> bool {
        let (_, class) = self.code();
        matches!(
            class,
            ErrorClass::Malformed
                | ErrorClass::Missing
                | ErrorClass::Conflict
                | ErrorClass::Unprocessable
        )
    }

    /// The message for logs: without values of the data, which may be personal.
    pub fn without_values(&self) -> String {
        match self {
            Self::Engine(error) => error.without_values(),
            Self::Segment(error) => error.without_values(),
            Self::Shared(error) => error.without_values(),
            _ => self.to_string(),
        }
    }

    /// The message with values of the data, or without them for those who may not read personal ones.
    pub fn message(&self, with_values: bool) -> String {
        match with_values {
            true => self.to_string(),
            false => self.without_values(),
        }
    }

    /// Its position in the SQL, if known.
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
