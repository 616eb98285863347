//! What may be done about an error, where its message does not say it. Each caller says it in its
//! own terms: as a command, or as a route.

use std::io::ErrorKind;

use rollbook_attribution::AttributionError;
use rollbook_engine::EngineError;
use rollbook_ingest::IngestError;
use rollbook_lake::LakeError;
use rollbook_model::SegmentKey;
use rollbook_scoring::ScoringError;
use rollbook_segments::SegmentError;

use crate::AppError;
use crate::scores::ScoreKind;

/// What may be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// What holds for everybody.
    Words(&'static str),
    /// Take rows in, which makes the lake, or name another one.
    MakeLake,
    /// Do it again.
    Again,
    /// Look which snapshots there are.
    ListSnapshots,
    /// Look which snapshots there are, and what keeps them.
    KeepSnapshots,
    /// Look which names snapshots have.
    ListSnapshotNames,
    /// Look which runs of ingest there were.
    ListBatches,
    /// Look which segments there are.
    ListSegments,
    /// Compute the members of a segment.
    Refresh(SegmentKey),
    /// Look which tables hold rows.
    ListTables,
    /// Look which tables there can be.
    ListSchema,
    /// Look which columns the tables have; texts are no columns.
    ListColumns,
    /// Look which records there are.
    ListRecords,
    /// Look which records wait for a decision.
    ListReviews,
    /// Look which decisions hold.
    ListDecisions,
    /// Look which values are blocked.
    ListBlocked,
    /// Look which requests of the journal were put aside.
    ListRefused,
    /// Give mappings of one's own.
    OwnMappings,
    /// Train a model.
    Train(ScoreKind),
    /// Compute scores.
    Score(ScoreKind),
}

impl AppError {
    /// The next step, where the message itself does not say it.
    pub fn next_step(&self) -> Option<NextStep> {
        match self.trouble_of_disk() {
            Some(ErrorKind::ReadOnlyFilesystem) => {
                let words = "the disk is mounted for reading only: what is there can be read";
                return Some(NextStep::Words(words));
            }
            Some(_) => {
                return Some(NextStep::Words("make room on that disk, then do it again"));
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
            Self::Shared(error) => error.next_step(),
            _ => None,
        }
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
        LakeError::Name { .. } => Some(NextStep::ListSnapshotNames),
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
