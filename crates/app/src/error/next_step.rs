//! The next step after an error, independent of the caller: the CLI shows it as a command, the server
//! as a route.

use std::io::ErrorKind;

use rollbook_attribution::AttributionError;
use rollbook_engine::EngineError;
use rollbook_ingest::IngestError;
use rollbook_lake::LakeError;
use rollbook_model::SegmentKey;
use rollbook_scoring::{ScoreKind, ScoringError};
use rollbook_segments::SegmentError;

use super::{AppError, TokenFault};

/// What a caller can do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// A text that fits every caller.
    Words(&'static str),
    /// Ingest rows, which creates the lake, or name another lake.
    MakeLake,
    /// Try again.
    Again,
    /// List the snapshots.
    ListSnapshots,
    /// List the snapshots, and learn how to keep them.
    KeepSnapshots,
    /// List the names of snapshots.
    ListSnapshotNames,
    /// List the runs of ingest.
    ListBatches,
    /// List the segments.
    ListSegments,
    /// Refresh a segment.
    Refresh(SegmentKey),
    /// List the tables that hold rows.
    ListTables,
    /// List all canonical tables.
    ListSchema,
    /// List the columns of the tables; string literals need single quotes.
    ListColumns,
    /// List the records.
    ListRecords,
    /// List the records that wait for a decision.
    ListReviews,
    /// List the decisions that are in force.
    ListDecisions,
    /// List the blocked values.
    ListBlocked,
    /// List the rejected requests of the write-ahead log.
    ListRefused,
    /// List the API keys.
    ListKeys,
    /// List the names of the secrets.
    ListSecrets,
    /// Create an API key at the command line.
    CreateKey,
    /// Send a valid API key.
    SendKey,
    /// Start a session with a key or a JWT.
    StartSession,
    /// Get an API key with this right.
    AskForRight(&'static str),
    /// Name one of the caller's tenants.
    NameTenant,
    /// List the tenants.
    ListTenants,
    /// Provide custom mappings.
    OwnMappings,
    /// Train a score model.
    Train(ScoreKind),
    /// Compute scores.
    Score(ScoreKind),
}

impl AppError {
    /// The next step; `None` if there is none, or the message says it.
    pub fn next_step(&self) -> Option<NextStep> {
        match self.disk_error() {
            Some(ErrorKind::ReadOnlyFilesystem) => {
                let words = "the disk is mounted read-only: reading still works";
                return Some(NextStep::Words(words));
            }
            Some(_) => {
                return Some(NextStep::Words("free space on that disk, then try again"));
            }
            None => {}
        }
        match self {
            Self::Engine(error) => of_engine(error),
            Self::Segment(error) => of_segment(error),
            Self::OfSegment { source, .. } => of_segment(source),
            Self::InFile { source, .. } => of_engine(source),
            Self::Lake(error) => of_lake(error),
            Self::Ingest(error) => of_ingest(error),
            Self::Attribution(AttributionError::Engine(error)) => of_engine(error),
            Self::Scoring(error) => of_scoring(error),
            Self::UnknownTable { .. } => Some(NextStep::ListSchema),
            Self::NotBlocked { .. } => Some(NextStep::ListBlocked),
            Self::UnknownEntry { .. } => Some(NextStep::ListRefused),
            Self::UnknownKey { .. } => Some(NextStep::ListKeys),
            Self::UnknownSecret { .. } => Some(NextStep::ListSecrets),
            Self::FirstKey => Some(NextStep::CreateKey),
            Self::Unauthenticated { .. } => Some(NextStep::SendKey),
            Self::SessionEnded => Some(NextStep::StartSession),
            Self::InvalidToken { fault } => Some(NextStep::Words(of_token(fault))),
            Self::Forbidden { right } => Some(NextStep::AskForRight(right)),
            Self::KeyBusy { .. } | Self::TenantBusy { .. } | Self::AuditUnavailable => {
                Some(NextStep::Again)
            }
            Self::TenantNeeded => Some(NextStep::NameTenant),
            Self::QuotaReached { quota, .. } => Some(NextStep::Words(quota.next_step())),
            Self::Shared(error) => error.next_step(),
            _ => None,
        }
    }
}

fn of_token(fault: &TokenFault) -> &'static str {
    match fault {
        TokenFault::Expired => "get a new token from its issuer",
        TokenFault::NotYetValid => {
            "wait until it is; the clocks of issuer and server may differ by 30 s"
        }
        TokenFault::NoKeys => "try again in a minute; the log of the server says why",
        _ => "docs/SECURITY.md says what a token has to be like",
    }
}

fn of_engine(error: &EngineError) -> Option<NextStep> {
    match error {
        EngineError::UnknownColumn { nearest: None, .. } => Some(NextStep::ListColumns),
        EngineError::UnknownTable { nearest: None, .. } => Some(NextStep::ListTables),
        EngineError::InTrait { source, .. } => of_engine(source),
        error => error.hint().map(NextStep::Words),
    }
}

fn of_segment(error: &SegmentError) -> Option<NextStep> {
    match error {
        SegmentError::Criteria(error) => of_engine(error),
        SegmentError::Lake(error) => of_lake(error),
        SegmentError::Unknown { .. } | SegmentError::UnknownName { .. } => {
            Some(NextStep::ListSegments)
        }
        SegmentError::NotRefreshed { segment, .. } => Some(NextStep::Refresh(segment.clone())),
        _ => None,
    }
}

fn of_lake(error: &LakeError) -> Option<NextStep> {
    match error {
        LakeError::NoLake { .. } => Some(NextStep::MakeLake),
        LakeError::NoSnapshot { .. } => Some(NextStep::ListSnapshots),
        LakeError::Expired { .. } => Some(NextStep::KeepSnapshots),
        LakeError::Removed { .. } => Some(NextStep::ListSnapshots),
        LakeError::SnapshotName { .. } => Some(NextStep::ListSnapshotNames),
        LakeError::Busy { .. } => Some(NextStep::Again),
        LakeError::NoBatch { .. } | LakeError::Overwritten { .. } => Some(NextStep::ListBatches),
        _ => None,
    }
}

fn of_ingest(error: &IngestError) -> Option<NextStep> {
    match error {
        IngestError::MappingSql { source, .. } => of_engine(source),
        IngestError::Engine(error) => of_engine(error),
        IngestError::Lake(error) => of_lake(error),
        IngestError::NoRecord { .. } => Some(NextStep::ListRecords),
        IngestError::NotWaiting { .. } => Some(NextStep::ListReviews),
        IngestError::IsBlocked { .. } => Some(NextStep::ListBlocked),
        IngestError::NoDecision { .. } => Some(NextStep::ListDecisions),
        IngestError::UnknownProvider { .. } => Some(NextStep::OwnMappings),
        _ => None,
    }
}

fn of_scoring(error: &ScoringError) -> Option<NextStep> {
    match error {
        ScoringError::NotTrained { kind } => Some(NextStep::Train(*kind)),
        ScoringError::NotScored { kind } => Some(NextStep::Score(*kind)),
        ScoringError::Engine(error) => of_engine(error),
        ScoringError::Lake(error) => of_lake(error),
        _ => None,
    }
}
