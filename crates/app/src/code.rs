//! What programs call each error, and what kind of trouble it is.

use std::error::Error;
use std::io::ErrorKind;

use rollbook_attribution::AttributionError;
use rollbook_engine::EngineError;
use rollbook_ingest::IngestError;
use rollbook_lake::LakeError;
use rollbook_scoring::ScoringError;
use rollbook_segments::SegmentError;

use crate::AppError;

/// Whose trouble an error is, and what may be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be read as it stands.
    Malformed,
    /// What it names is not there.
    Missing,
    /// What it names is no longer kept.
    Gone,
    /// It contradicts what is there.
    Conflict,
    /// It can be read, and cannot be done.
    Unprocessable,
    /// Whoever asks may not have it.
    Forbidden,
    /// It needs more than it may use.
    Excessive,
    /// Later it may go through.
    Busy,
    /// The lake's disk cannot take it.
    Storage,
    /// It is no fault of the request.
    Internal,
}

impl AppError {
    /// The name of the situation, and its kind.
    pub fn code(&self) -> (&'static str, Kind) {
        match self.trouble_of_disk() {
            Some(ErrorKind::ReadOnlyFilesystem) => return ("read_only_disk", Kind::Storage),
            Some(_) => return ("disk_full", Kind::Storage),
            None => {}
        }
        match self {
            Self::Lake(error) => of_lake(error),
            Self::Engine(error) => of_engine(error),
            Self::Ingest(error) => of_ingest(error),
            Self::Read(_) => ("unreadable_file", Kind::Unprocessable),
            Self::Inspect(_) => ("unreadable_file", Kind::Unprocessable),
            Self::Segment(error) => of_segment(error),
            Self::Attribution(error) => of_attribution(error),
            Self::Scoring(error) => of_scoring(error),
            Self::Generate(_) => ("cannot_generate", Kind::Unprocessable),
            Self::Setting(_) => ("invalid_setting", Kind::Unprocessable),
            Self::UnknownTable { .. } => ("unknown_table", Kind::Missing),
            Self::SegmentExists { .. } => ("segment_exists", Kind::Conflict),
            Self::Linking(_) => ("unreadable_file", Kind::Unprocessable),
            Self::ColumnMap { .. } => ("column_map", Kind::Unprocessable),
            Self::ListFile { .. } => ("file", Kind::Unprocessable),
            Self::OfSegment { source, .. } => of_segment(source),
            Self::SqlFile { .. } => ("sql_file", Kind::Unprocessable),
            Self::InFile { source, .. } => of_engine(source),
            Self::TraitInUse { .. } => ("trait_in_use", Kind::Conflict),
            Self::NotSuppressible { .. } => ("not_suppressible", Kind::Unprocessable),
            Self::ExpiredPageToken => ("expired_page_token", Kind::Gone),
            Self::NotACondition { .. } => ("not_a_condition", Kind::Unprocessable),
            Self::NoProviders { .. } => ("no_providers", Kind::Unprocessable),
            Self::BecameAnother { .. } => ("became_another", Kind::Gone),
            Self::NotBlockable { .. } => ("not_blockable", Kind::Unprocessable),
            Self::NotBlocked { .. } => ("not_blocked", Kind::Missing),
            Self::UnknownPerson { .. } => ("unknown_person", Kind::Missing),
            Self::ForgedPageToken => ("invalid_page_token", Kind::Malformed),
            Self::UnknownEntry { .. } => ("unknown_entry", Kind::Missing),
            Self::Shared(error) => error.code(),
            Self::KeyReused => ("idempotency_key_reused", Kind::Unprocessable),
            Self::Rows { .. } | Self::TemporaryFolder { .. } => ("internal", Kind::Internal),
        }
    }
}

impl AppError {
    /// What keeps a disk from taking anything, if that is what went wrong.
    pub(crate) fn trouble_of_disk(&self) -> Option<ErrorKind> {
        let mut error: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(cause) = error {
            let kind = cause
                .downcast_ref::<std::io::Error>()
                .map(std::io::Error::kind);
            if let Some(
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem,
            ) = kind
            {
                return kind;
            }
            error = cause.source();
        }
        None
    }
}

fn of_lake(error: &LakeError) -> (&'static str, Kind) {
    match error {
        LakeError::NoLake { .. } => ("no_lake", Kind::Missing),
        LakeError::NoSnapshot { .. } => ("unknown_snapshot", Kind::Missing),
        LakeError::Expired { .. } => ("expired_snapshot", Kind::Missing),
        LakeError::Name { .. } => ("invalid_name", Kind::Conflict),
        LakeError::Occupied { .. } => ("occupied", Kind::Conflict),
        LakeError::NotACopy => ("not_a_copy", Kind::Conflict),
        LakeError::NoBatch { .. } => ("unknown_batch", Kind::Missing),
        LakeError::AlreadyUndone { .. } | LakeError::Overwritten { .. } => {
            ("cannot_undo", Kind::Conflict)
        }
        LakeError::Busy { .. } => ("lake_busy", Kind::Busy),
        LakeError::Location { .. }
        | LakeError::NoConditionalPut { .. }
        | LakeError::NewerFormat { .. }
        | LakeError::OlderFormat { .. }
        | LakeError::MasterKey { .. }
        | LakeError::ForeignCommit { .. }
        | LakeError::Damaged { .. }
        | LakeError::Outside { .. }
        | LakeError::Vanished { .. }
        | LakeError::File { .. }
        | LakeError::Store { .. }
        | LakeError::Parquet { .. }
        | LakeError::Schema { .. } => ("lake_unavailable", Kind::Internal),
    }
}

fn of_engine(error: &EngineError) -> (&'static str, Kind) {
    match error {
        EngineError::Empty => ("empty_sql", Kind::Unprocessable),
        EngineError::Syntax { .. } => ("sql_syntax", Kind::Unprocessable),
        EngineError::UnknownColumn { .. } => ("unknown_column", Kind::Unprocessable),
        EngineError::AmbiguousColumn { .. } => ("ambiguous_column", Kind::Unprocessable),
        EngineError::UnknownTable { .. } => ("unknown_table", Kind::Unprocessable),
        EngineError::UnknownFunction { .. } => ("unknown_function", Kind::Unprocessable),
        EngineError::NotReadOnly { .. } => ("not_read_only", Kind::Unprocessable),
        EngineError::MoreThanOneStatement { .. } => {
            ("more_than_one_statement", Kind::Unprocessable)
        }
        EngineError::TooLong { .. } | EngineError::TooComplex { .. } => {
            ("sql_too_complex", Kind::Unprocessable)
        }
        EngineError::MemoryExhausted { .. } => ("memory_exhausted", Kind::Excessive),
        EngineError::DiskExhausted { .. } => ("disk_exhausted", Kind::Excessive),
        EngineError::TimeExhausted { .. } => ("time_exhausted", Kind::Excessive),
        EngineError::AsOfOutOfRange { .. } => ("invalid_time", Kind::Unprocessable),
        EngineError::Personal { .. } => ("needs_pii", Kind::Forbidden),
        // As it is without the trait's name.
        EngineError::InTrait { source, .. } => of_engine(source),
        EngineError::Types { .. }
        | EngineError::Value { .. }
        | EngineError::Invalid { .. }
        | EngineError::Unsupported { .. }
        | EngineError::Recursive { .. }
        | EngineError::Volatile { .. }
        | EngineError::ManyRows { .. }
        | EngineError::Behaviour { .. }
        | EngineError::InWhere { .. }
        | EngineError::NotBoolean { .. }
        | EngineError::TraitOfPeople { .. }
        | EngineError::NotATrait { .. }
        | EngineError::TraitDefault { .. }
        | EngineError::TraitTwice { .. }
        | EngineError::NotPersonIds { .. } => ("invalid_sql", Kind::Unprocessable),
        EngineError::TableExists { .. }
        | EngineError::TableLacksColumn { .. }
        | EngineError::Storage { .. }
        | EngineError::Setup { .. }
        | EngineError::Threads { .. }
        | EngineError::Internal { .. }
        | EngineError::WorkerPanicked => ("internal", Kind::Internal),
    }
}

fn of_ingest(error: &IngestError) -> (&'static str, Kind) {
    match error {
        IngestError::UnknownProvider { .. } => ("unknown_provider", Kind::Missing),
        IngestError::NothingClaimed { .. } => ("unknown_source", Kind::Missing),
        IngestError::MissingSource { .. } => ("missing_source", Kind::Unprocessable),
        IngestError::TooManyRefused { .. } => ("too_many_refused", Kind::Unprocessable),
        IngestError::NoPerson { .. } => ("unknown_person", Kind::Missing),
        IngestError::NoRecord { .. } => ("unknown_record", Kind::Missing),
        IngestError::NotWaiting { .. } => ("not_waiting", Kind::Missing),
        IngestError::IsBlocked { .. } => ("is_blocked", Kind::Conflict),
        IngestError::NoDecision { .. } => ("unknown_decision", Kind::Missing),
        IngestError::SamePerson { .. } => ("same_person", Kind::Unprocessable),
        IngestError::OnlyRecord { .. } => ("only_record", Kind::Unprocessable),
        IngestError::Lake(error) => of_lake(error),
        IngestError::Engine(error) => of_engine(error),
        IngestError::Staging { .. }
        | IngestError::FirstRunOvertaken
        | IngestError::ErasedMeanwhile => ("busy", Kind::Busy),
        _ => ("cannot_ingest", Kind::Unprocessable),
    }
}

fn of_attribution(error: &AttributionError) -> (&'static str, Kind) {
    match error {
        AttributionError::UnknownModel { .. } => ("unknown_model", Kind::Unprocessable),
        AttributionError::RepeatedModel { .. } => ("repeated_model", Kind::Unprocessable),
        AttributionError::UnknownBy { .. } => ("unknown_by", Kind::Unprocessable),
        AttributionError::EmptyTime { .. } => ("empty_time", Kind::Unprocessable),
        AttributionError::Engine(error) => of_engine(error),
        AttributionError::Unbalanced { .. } => ("internal", Kind::Internal),
    }
}

fn of_scoring(error: &ScoringError) -> (&'static str, Kind) {
    match error {
        ScoringError::UnknownKind { .. } => ("unknown_score", Kind::Missing),
        ScoringError::NotTrained { .. } => ("not_trained", Kind::Conflict),
        ScoringError::NotScored { .. } => ("not_scored", Kind::Conflict),
        ScoringError::NoCandidate { .. } => ("no_candidate", Kind::Missing),
        ScoringError::Engine(error) => of_engine(error),
        ScoringError::Lake(error) => of_lake(error),
        ScoringError::Rows { .. } => ("internal", Kind::Internal),
    }
}

fn of_segment(error: &SegmentError) -> (&'static str, Kind) {
    match error {
        SegmentError::EmptyCriteria => ("empty_criteria", Kind::Unprocessable),
        SegmentError::ReservedKey { .. } => ("reserved_key", Kind::Unprocessable),
        SegmentError::Unknown { .. } => ("unknown_segment", Kind::Missing),
        SegmentError::UnknownName { .. } => ("unknown_segment_named", Kind::Unprocessable),
        SegmentError::Named { .. } => ("named_segment_failed", Kind::Unprocessable),
        SegmentError::Circle { .. } => ("segments_in_circle", Kind::Unprocessable),
        SegmentError::NotRefreshed { .. } => ("segment_not_refreshed", Kind::Conflict),
        SegmentError::NoThreshold { .. } => ("no_threshold", Kind::Unprocessable),
        SegmentError::Session { .. } => ("internal", Kind::Internal),
        SegmentError::Lake(error) => of_lake(error),
        SegmentError::Criteria(error) => of_engine(error),
    }
}
