//! Who came and who went, and when.

use rollbook_lake::{Lake, State};
use rollbook_model::{GivenTime, SegmentKey, Settings, SnapshotNumber, Timestamp, whole};
use rollbook_segments::definition;
use rollbook_segments::ledger::{self, Change, Direction, Reason};
use serde::Serialize;

use crate::{AppError, Workspace};

/// From when on changes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Those committed later. No change is missed or given twice, whatever clocks say.
    Snapshot(SnapshotNumber),
    /// Those computed later, by the clocks of those who computed them.
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
                "`{text}` is neither the `until` of an answer, such as 12, nor a time such as 2026-01-31"
            )
        })
    }
}

impl Since {
    fn is_before(self, change: &Change, settings: &Settings) -> bool {
        match self {
            Self::Snapshot(number) => change.commit > number,
            Self::Time(time) => change.at > time.in_zone(settings.zone()),
        }
    }
}

/// What one refresh changed.
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
    /// Whether these came or went.
    pub change: Direction,
    /// Why.
    pub reason: Reason,
    /// How many belong from then on.
    pub size: u64,
    /// Who, by id in order.
    pub persons: Vec<u64>,
}

/// The changes of a segment, in the order in which they were committed, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The segment.
    pub segment: SegmentKey,
    /// Who belongs now and did not then.
    pub entered: Vec<u64>,
    /// Who no longer belongs and did then.
    pub left: Vec<u64>,
    /// Each change.
    pub changes: Vec<ChangeRow>,
    /// The snapshot that the last of all changes was committed as, 0 where there is none: what to
    /// ask from the next time.
    pub until: SnapshotNumber,
}

/// Who came and went since a snapshot or a time; since the beginning where there is none.
pub async fn changes(
    workspace: &Workspace,
    key: &SegmentKey,
    since: Option<Since>,
) -> Result<Changes, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    definition::show(&lake, &state, key).await?;
    let mut all = ledger::changes(&lake, &state, Some(key)).await?;
    let until = all.last().map(|last| last.commit).unwrap_or_default();
    let settings = state.settings()?;
    all.retain(|change| since.is_none_or(|since| since.is_before(change, &settings)));
    let (mut came, mut went) = Default::default();
    let mut rows = Vec::new();
    for change in &all {
        for one in &change.moves {
            let persons = ledger::persons(&lake, one).await?;
            let (to, from): (&mut roaring::RoaringTreemap, &mut roaring::RoaringTreemap) =
                match one.direction {
                    Direction::Entered => (&mut came, &mut went),
                    Direction::Left => (&mut went, &mut came),
                };
            // Who is back where they were has not changed.
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
        entered: came.iter().collect(),
        left: went.iter().collect(),
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
    /// Whether they came or went.
    pub change: Direction,
    /// Why.
    pub reason: Reason,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The revision of the definition.
    pub revision: u64,
}

/// Sizes of a segment over time.
pub async fn history(workspace: &Workspace, key: &SegmentKey) -> Result<Vec<Change>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    definition::show(&lake, &state, key).await?;
    Ok(ledger::changes(&lake, &state, Some(key)).await?)
}

/// When a person came to segments and left them, oldest first.
pub(crate) async fn of_person(
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
