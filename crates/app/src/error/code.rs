//! The code and the class of every error.

use std::error::Error;
use std::io::ErrorKind;

use rollbook_attribution::AttributionError;
use rollbook_engine::EngineError;
use rollbook_ingest::IngestError;
use rollbook_lake::LakeError;
use rollbook_scoring::ScoringError;
use rollbook_segments::SegmentError;

use super::AppError;
use super::class::ErrorClass;

impl AppError {
    /// The stable code of the situation, for programs, and its class.
    pub fn code(&self) -> (&'static str, ErrorClass) {
        match self.disk_error() {
            Some(ErrorKind::ReadOnlyFilesystem) => return ("read_only_disk", ErrorClass::Storage),
            Some(_) => return ("disk_full", ErrorClass::Storage),
            None => {}
        }
        match self {
            Self::Lake(error) => of_lake(error),
            Self::Engine(error) => of_engine(error),
            Self::Ingest(error) => of_ingest(error),
            Self::Read(_) => ("unreadable_file", ErrorClass::Unprocessable),
            Self::Inspect(_) => ("unreadable_file", ErrorClass::Unprocessable),
            Self::Segment(error) => of_segment(error),
            Self::Attribution(error) => of_attribution(error),
            Self::Scoring(error) => of_scoring(error),
            Self::Generate(_) => ("cannot_generate", ErrorClass::Unprocessable),
            Self::Setting(_) => ("invalid_setting", ErrorClass::Unprocessable),
            Self::UnknownTable { .. } => ("unknown_table", ErrorClass::Missing),
            Self::SegmentExists { .. } => ("segment_exists", ErrorClass::Conflict),
            Self::Linking(_) => ("unreadable_file", ErrorClass::Unprocessable),
            Self::ColumnMap { .. } => ("column_map", ErrorClass::Unprocessable),
            Self::ListFile { .. } => ("file", ErrorClass::Unprocessable),
            Self::OfSegment { source, .. } => of_segment(source),
            Self::SqlFile { .. } => ("sql_file", ErrorClass::Unprocessable),
            Self::InFile { source, .. } => of_engine(source),
            Self::TraitInUse { .. } => ("trait_in_use", ErrorClass::Conflict),
            Self::NotSuppressible { .. } => ("not_suppressible", ErrorClass::Unprocessable),
            Self::ExpiredPageToken => ("expired_page_token", ErrorClass::Gone),
            Self::NotACondition { .. } => ("not_a_condition", ErrorClass::Unprocessable),
            Self::NoProviders { .. } => ("no_providers", ErrorClass::Unprocessable),
            Self::MergedPerson { .. } => ("became_another", ErrorClass::Gone),
            Self::NotBlockable { .. } => ("not_blockable", ErrorClass::Unprocessable),
            Self::NotBlocked { .. } => ("not_blocked", ErrorClass::Missing),
            Self::UnknownPerson { .. } => ("unknown_person", ErrorClass::Missing),
            Self::ForgedPageToken => ("invalid_page_token", ErrorClass::Malformed),
            Self::UnknownEntry { .. } => ("unknown_entry", ErrorClass::Missing),
            Self::Shared(error) => error.code(),
            Self::KeyReused => ("idempotency_key_reused", ErrorClass::Unprocessable),
            Self::Forbidden { .. } | Self::BoundKey | Self::TrialKey => {
                ("forbidden", ErrorClass::Forbidden)
            }
            Self::UnboundRight { .. } | Self::InvalidBounds => {
                ("invalid_bounds", ErrorClass::Unprocessable)
            }
            Self::Unauthenticated { .. } | Self::SessionEnded => {
                ("unauthenticated", ErrorClass::Unauthenticated)
            }
            Self::InvalidToken { .. } => ("invalid_token", ErrorClass::Unauthenticated),
            Self::NoLogin => ("no_login", ErrorClass::Conflict),
            Self::UnknownTenant { .. } | Self::NoTenantOfKey => {
                ("unknown_tenant", ErrorClass::Missing)
            }
            Self::TenantNeeded => ("tenant_needed", ErrorClass::Malformed),
            Self::TenantSuspended => ("tenant_suspended", ErrorClass::Forbidden),
            Self::TenantExists { .. } => ("tenant_exists", ErrorClass::Conflict),
            Self::TenantDeleted { .. } => ("tenant_deleted", ErrorClass::Conflict),
            Self::TenantBusy { .. } => ("tenant_busy", ErrorClass::Busy),
            Self::QuotaReached { .. } => ("quota_reached", ErrorClass::Forbidden),
            Self::UnknownKey { .. } => ("unknown_key", ErrorClass::Missing),
            Self::KeyEnded { .. } => ("key_ended", ErrorClass::Conflict),
            Self::KeyBusy { .. } => ("key_busy", ErrorClass::Busy),
            Self::InvalidKeyName => ("invalid_key_name", ErrorClass::Unprocessable),
            Self::AuditUnavailable => ("audit_unavailable", ErrorClass::Busy),
            Self::FirstKey => ("first_key", ErrorClass::Conflict),
            Self::UnknownRetentionRule { .. } => ("unknown_rule", ErrorClass::Missing),
            Self::RetentionDays { .. } => ("invalid_days", ErrorClass::Unprocessable),
            Self::UnknownSecret { .. } => ("unknown_secret", ErrorClass::Missing),
            Self::Rows { .. } | Self::TemporaryFolder { .. } => ("internal", ErrorClass::Internal),
        }
    }

    /// The kind of the I/O error, if the cause is a disk that is full, over quota or read-only.
    pub(crate) fn disk_error(&self) -> Option<ErrorKind> {
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

fn of_lake(error: &LakeError) -> (&'static str, ErrorClass) {
    match error {
        LakeError::NoLake { .. } => ("no_lake", ErrorClass::Missing),
        LakeError::NoSnapshot { .. } => ("unknown_snapshot", ErrorClass::Missing),
        LakeError::Expired { .. } => ("expired_snapshot", ErrorClass::Missing),
        LakeError::Removed { .. } => ("removed_snapshot", ErrorClass::Gone),
        LakeError::SnapshotName { .. } => ("invalid_name", ErrorClass::Conflict),
        LakeError::Occupied { .. } => ("occupied", ErrorClass::Conflict),
        LakeError::NotACopy => ("not_a_copy", ErrorClass::Conflict),
        LakeError::NoBatch { .. } => ("unknown_batch", ErrorClass::Missing),
        LakeError::AlreadyUndone { .. } | LakeError::Overwritten { .. } => {
            ("cannot_undo", ErrorClass::Conflict)
        }
        LakeError::Busy { .. } => ("lake_busy", ErrorClass::Busy),
        LakeError::Location { .. }
        | LakeError::NoConditionalPut { .. }
        | LakeError::NewerFormat { .. }
        | LakeError::OlderFormat { .. }
        | LakeError::MasterKey { .. }
        | LakeError::ForeignCommit { .. }
        | LakeError::Damaged { .. }
        | LakeError::PathOutsideLake { .. }
        | LakeError::MissingObject { .. }
        | LakeError::File { .. }
        | LakeError::Store { .. }
        | LakeError::Parquet { .. }
        | LakeError::Schema { .. } => ("lake_unavailable", ErrorClass::Internal),
    }
}

fn of_engine(error: &EngineError) -> (&'static str, ErrorClass) {
    match error {
        EngineError::Empty => ("empty_sql", ErrorClass::Unprocessable),
        EngineError::Syntax { .. } => ("sql_syntax", ErrorClass::Unprocessable),
        EngineError::UnknownColumn { .. } => ("unknown_column", ErrorClass::Unprocessable),
        EngineError::AmbiguousColumn { .. } => ("ambiguous_column", ErrorClass::Unprocessable),
        EngineError::UnknownTable { .. } => ("unknown_table", ErrorClass::Unprocessable),
        EngineError::UnknownFunction { .. } => ("unknown_function", ErrorClass::Unprocessable),
        EngineError::NotReadOnly { .. } => ("not_read_only", ErrorClass::Unprocessable),
        EngineError::MoreThanOneStatement { .. } => {
            ("more_than_one_statement", ErrorClass::Unprocessable)
        }
        EngineError::TooLong { .. } | EngineError::TooComplex { .. } => {
            ("sql_too_complex", ErrorClass::Unprocessable)
        }
        EngineError::MemoryExhausted { .. } => ("memory_exhausted", ErrorClass::Excessive),
        EngineError::MemoryInUse => ("busy", ErrorClass::Busy),
        EngineError::DiskExhausted { .. } => ("disk_exhausted", ErrorClass::Excessive),
        EngineError::TimeExhausted { .. } => ("time_exhausted", ErrorClass::Excessive),
        EngineError::AsOfOutOfRange { .. } => ("invalid_time", ErrorClass::Unprocessable),
        EngineError::Personal { .. } => ("needs_pii", ErrorClass::Forbidden),
        // The same code as outside a trait.
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
        | EngineError::TraitReadsPeople { .. }
        | EngineError::NotATrait { .. }
        | EngineError::TraitDefault { .. }
        | EngineError::DuplicateTraitRow { .. }
        | EngineError::NotPersonIds { .. } => ("invalid_sql", ErrorClass::Unprocessable),
        EngineError::TableExists { .. }
        | EngineError::TableLacksColumn { .. }
        | EngineError::Storage { .. }
        | EngineError::Setup { .. }
        | EngineError::Threads { .. }
        | EngineError::Internal { .. }
        | EngineError::WorkerPanicked => ("internal", ErrorClass::Internal),
    }
}

fn of_ingest(error: &IngestError) -> (&'static str, ErrorClass) {
    match error {
        IngestError::UnknownProvider { .. } => ("unknown_provider", ErrorClass::Missing),
        IngestError::NothingClaimed { .. } => ("unknown_source", ErrorClass::Missing),
        IngestError::MissingSource { .. } => ("missing_source", ErrorClass::Unprocessable),
        IngestError::TooManyRefused { .. } => ("too_many_refused", ErrorClass::Unprocessable),
        IngestError::NoPerson { .. } => ("unknown_person", ErrorClass::Missing),
        IngestError::NoRecord { .. } => ("unknown_record", ErrorClass::Missing),
        IngestError::NotWaiting { .. } => ("not_waiting", ErrorClass::Missing),
        IngestError::IsBlocked { .. } => ("is_blocked", ErrorClass::Conflict),
        IngestError::NoDecision { .. } => ("unknown_decision", ErrorClass::Missing),
        IngestError::Held { .. } => ("legal_hold", ErrorClass::Conflict),
        IngestError::SamePerson { .. } => ("same_person", ErrorClass::Unprocessable),
        IngestError::OnlyRecord { .. } => ("only_record", ErrorClass::Unprocessable),
        IngestError::Lake(error) => of_lake(error),
        IngestError::Engine(error) => of_engine(error),
        IngestError::Staging { .. }
        | IngestError::FirstRunOvertaken
        | IngestError::ErasedMeanwhile => ("busy", ErrorClass::Busy),
        _ => ("cannot_ingest", ErrorClass::Unprocessable),
    }
}

fn of_attribution(error: &AttributionError) -> (&'static str, ErrorClass) {
    match error {
        AttributionError::UnknownModel { .. } => ("unknown_model", ErrorClass::Unprocessable),
        AttributionError::RepeatedModel { .. } => ("repeated_model", ErrorClass::Unprocessable),
        AttributionError::UnknownBy { .. } => ("unknown_by", ErrorClass::Unprocessable),
        AttributionError::EmptyTime { .. } => ("empty_time", ErrorClass::Unprocessable),
        AttributionError::Engine(error) => of_engine(error),
        AttributionError::Unbalanced { .. } => ("internal", ErrorClass::Internal),
    }
}

fn of_scoring(error: &ScoringError) -> (&'static str, ErrorClass) {
    match error {
        ScoringError::NotTrained { .. } => ("not_trained", ErrorClass::Conflict),
        ScoringError::NotScored { .. } => ("not_scored", ErrorClass::Conflict),
        ScoringError::NoCandidate { .. } => ("no_candidate", ErrorClass::Missing),
        ScoringError::Engine(error) => of_engine(error),
        ScoringError::Lake(error) => of_lake(error),
        ScoringError::Rows { .. } => ("internal", ErrorClass::Internal),
    }
}

fn of_segment(error: &SegmentError) -> (&'static str, ErrorClass) {
    match error {
        SegmentError::EmptyCriteria => ("empty_criteria", ErrorClass::Unprocessable),
        SegmentError::ReservedKey { .. } => ("reserved_key", ErrorClass::Unprocessable),
        SegmentError::Unknown { .. } => ("unknown_segment", ErrorClass::Missing),
        SegmentError::UnknownName { .. } => ("unknown_segment_named", ErrorClass::Unprocessable),
        SegmentError::Named {
            is_personal: true, ..
        } => ("needs_pii", ErrorClass::Forbidden),
        SegmentError::Named { .. } => ("named_segment_failed", ErrorClass::Unprocessable),
        SegmentError::Circle { .. } => ("segments_in_circle", ErrorClass::Unprocessable),
        SegmentError::NotRefreshed { .. } => ("segment_not_refreshed", ErrorClass::Conflict),
        SegmentError::NoThreshold { .. } => ("no_threshold", ErrorClass::Unprocessable),
        SegmentError::Session { .. } => ("internal", ErrorClass::Internal),
        SegmentError::Lake(error) => of_lake(error),
        SegmentError::Criteria(error) => of_engine(error),
    }
}
