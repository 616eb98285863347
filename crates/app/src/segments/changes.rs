//! Changes: who entered and left a segment, and when.

use rollbook_lake::{Lake, LakeError, Removals, State};
use rollbook_model::{GivenTime, SegmentKey, Settings, SnapshotNumber, Timestamp, whole};
use rollbook_segments::ledger::{self, Change, Direction, Reason};
use serde::Serialize;

use crate::{AppError, Workspace};

/// Start of the changes to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Changes committed after this snapshot: complete and without duplicates, independent of clocks.
    Snapshot(SnapshotNumber),
    /// Changes computed after this time, by the clocks of the machines that computed them.
    Time(GivenTime),
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = whole(text) {
            return Ok(Self::Snapshot(SnapshotNumber(number)));
        }
        let time = text.parse::<GivenTime>().map(Self::Time);
        time.map_err(|_| {
            format!(
                "`{text}` is neither a snapshot, such as the `until` of the answer before, nor a time such as 2026-01-31"
            )
        })
    }
}

impl Since {
    /// Checks that a retention run has removed no change since then: the net effect would be wrong.
    fn is_complete(self, removals: &Removals, state: &State) -> Result<(), AppError> {
        let zone = state.settings()?.zone();
        let is_gone = match self {
            Self::Snapshot(number) => number < removals.changes,
            Self::Time(time) => removals
                .changes_before
                .is_some_and(|line| time.in_zone(zone) < line),
        };
        match is_gone {
            false => Ok(()),
            true => Err(AppError::Lake(LakeError::Removed {
                what: "the beginning of these changes".to_owned(),
                first: removals.snapshot,
            })),
        }
    }

    fn is_before(self, change: &Change, settings: &Settings) -> bool {
        match self {
            Self::Snapshot(number) => change.commit > number,
            Self::Time(time) => change.at > time.in_zone(settings.zone()),
        }
    }
}

/// Entries or exits of one refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// When it was computed.
    pub at: Timestamp,
    /// The moment that it was computed for.
    pub as_of: Timestamp,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The snapshot that it was committed as.
    pub commit: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
    /// Whether these persons entered or left.
    pub change: Direction,
    /// The reason.
    pub reason: Reason,
    /// Number of members after it.
    pub size: u64,
    /// Person ids in order.
    pub persons: Vec<u64>,
}

/// The changes of a segment in commit order, and their net effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The segment.
    pub segment: SegmentKey,
    /// Members now who were none at the start.
    pub entered: Vec<u64>,
    /// Members at the start who are none now.
    pub left: Vec<u64>,
    /// Each change.
    pub changes: Vec<ChangeRow>,
    /// The snapshot of the last change, 0 if there is none: the start of the next request.
    pub until: SnapshotNumber,
}

/// The changes since a snapshot or a time; all of them if `None`.
///
/// # Errors
/// There is no lake; the segment does not exist; the lake cannot be read.
pub async fn changes(
    workspace: &Workspace,
    key: &SegmentKey,
    since: Option<Since>,
) -> Result<Changes, AppError> {
    workspace.require("segments::changes::changes")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    workspace.definition(&lake, &state, key).await?;
    let mut all = ledger::changes(&lake, &state, Some(key)).await?;
    if let Some(removals) = state.removals()? {
        since.map_or(Ok(()), |since| since.is_complete(&removals, &state))?;
    }
    let until = all.last().map(|last| last.commit).unwrap_or_default();
    let settings = state.settings()?;
    all.retain(|change| since.is_none_or(|since| since.is_before(change, &settings)));
    let (mut entered, mut left) = Default::default();
    let mut rows = Vec::new();
    for change in &all {
        for one in &change.moves {
            let persons = ledger::persons(&lake, one).await?;
            let (to, from): (&mut roaring::RoaringTreemap, &mut roaring::RoaringTreemap) =
                match one.direction {
                    Direction::Entered => (&mut entered, &mut left),
                    Direction::Left => (&mut left, &mut entered),
                };
            // A person who entered and left again has no net change.
            *to |= &persons - &*from;
            *from -= &persons;
            rows.push(ChangeRow {
                at: change.at,
                as_of: change.as_of,
                snapshot: change.snapshot,
                commit: change.commit,
                revision: change.revision,
                change: one.direction,
                reason: one.reason,
                size: change.count,
                persons: persons.iter().collect(),
            });
        }
    }
    Ok(Changes {
        segment: key.clone(),
        entered: entered.iter().collect(),
        left: left.iter().collect(),
        changes: rows,
        until,
    })
}

/// An entry or an exit of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonChange {
    /// The segment.
    pub segment: SegmentKey,
    /// When it was computed.
    pub at: Timestamp,
    /// The moment that it was computed for.
    pub as_of: Timestamp,
    /// Whether they entered or left.
    pub change: Direction,
    /// The reason.
    pub reason: Reason,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
}

/// The size of a segment over time, by refresh.
///
/// # Errors
/// There is no lake; the segment does not exist; the lake cannot be read.
pub async fn history(workspace: &Workspace, key: &SegmentKey) -> Result<Vec<Change>, AppError> {
    workspace.require("segments::changes::history")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    workspace.definition(&lake, &state, key).await?;
    Ok(ledger::changes(&lake, &state, Some(key)).await?)
}

/// The entries and exits of one person, oldest first.
pub(crate) async fn changes_of_person(
    lake: &Lake,
    state: &State,
    person: u64,
) -> Result<Vec<PersonChange>, AppError> {
    let mut found = Vec::new();
    for change in ledger::changes(lake, state, None).await? {
        for one in &change.moves {
            if ledger::persons(lake, one).await?.contains(person) {
                found.push(PersonChange {
                    segment: change.segment.clone(),
                    at: change.at,
                    as_of: change.as_of,
                    change: one.direction,
                    reason: one.reason,
                    snapshot: change.snapshot,
                    revision: change.revision,
                });
            }
        }
    }
    Ok(found)
}
