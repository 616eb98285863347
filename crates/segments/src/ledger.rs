//! The ledger: every entry into a segment and every exit, with when and why.
//!
//! A refresh that changes memberships writes one page: a document that says what changed, and the
//! bitmaps of who entered and who left. The snapshot names all pages; many small ones are now and
//! then written anew as one. So a million entries cost a bitmap, and nothing that was written is
//! ever rewritten because of a later change.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;
use rollbook_lake::{BitmapRef, Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::SegmentError;

mod prune;
pub(crate) mod view;

pub use prune::{PrunedLedger, prune};

/// The named value that lists the pages.
pub(crate) const LEDGER: &str = "ledger";

/// Pages of one level that are merged into one of the next.
const FOLDED: usize = 32;

/// Whether persons entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They are members from then on.
    Entered,
    /// They are no members from then on.
    Left,
}

/// Why persons entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The segment is new, or its criteria or those of a segment that it names were changed.
    Definition,
    /// Rows were added, changed or undone whose time is after the last computation.
    NewData,
    /// Rows were added, changed or undone whose time is before the last computation.
    LateData,
    /// Only time passed.
    Clock,
    /// Records were merged into one person.
    Merge,
    /// Records of one person were split.
    Unmerge,
    /// They were erased.
    Erasure,
}

impl Direction {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Left => "left",
        }
    }
}

impl Reason {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::NewData => "new_data",
            Self::LateData => "late_data",
            Self::Clock => "clock",
            Self::Merge => "merge",
            Self::Unmerge => "unmerge",
            Self::Erasure => "erasure",
        }
    }
}

/// Persons who entered or left for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Whether they entered or left.
    pub direction: Direction,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: u64,
    pub(crate) set: BitmapRef,
}

/// What one refresh changed in one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The segment.
    pub segment: SegmentKey,
    /// The revision of its definition.
    pub revision: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The snapshot that it was committed as: later changes have greater ones, whatever the clocks
    /// of those who computed them said. 0 until the page that it lies in says so.
    #[serde(default)]
    pub commit: SnapshotNumber,
    /// The moment that it was computed for.
    pub as_of: Timestamp,
    /// When it was computed.
    pub at: Timestamp,
    /// How many belong from then on.
    pub count: u64,
    /// Who entered and left.
    pub moves: Vec<Move>,
}

/// Who entered and left one segment, before it is written.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) change: Change,
    pub(crate) persons: BTreeMap<(Direction, Reason), RoaringTreemap>,
}

/// Where a page is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PagePointer {
    /// The document.
    path: String,
    /// The bitmaps.
    sets: Vec<String>,
    /// How often pages were merged to make it.
    level: u32,
    /// The snapshot that its changes were committed as; 0 where each says so itself, or none does:
    /// those of older programs.
    #[serde(default)]
    commit: SnapshotNumber,
}

/// A page: what changed, in the order in which it did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Page {
    changes: Vec<Change>,
}

/// Writes a page, and returns the new list of pages. The commit sets its number by [`committed_as`].
pub(crate) async fn write(
    lake: &Lake,
    state: &State,
    moved: Vec<Moved>,
    name: &str,
) -> Result<Value, SegmentError> {
    let mut pointers: Vec<PagePointer> = state.value(LEDGER)?.unwrap_or_default();
    let below = format!("_ledger/{name}");
    // Only pages whose commits are known are merged.
    fold(lake, &mut pointers, &below).await?;
    let all: Vec<&RoaringTreemap> = moved.iter().flat_map(|one| one.persons.values()).collect();
    let mut stored = lake.put_sets(&below, &all).await?.into_iter();
    let mut page = Page::default();
    for one in moved {
        let mut change = one.change;
        for ((direction, reason), persons) in &one.persons {
            let set = stored.next().expect("every set was stored");
            let (direction, reason, count) = (*direction, *reason, persons.len());
            change.moves.push(Move {
                direction,
                reason,
                count,
                set,
            });
        }
        page.changes.push(change);
    }
    pointers.push(put(lake, &below, &page, 0).await?);
    Ok(json!(pointers))
}

/// Sets the snapshot that the last page is committed as: it is not known when the page is written, since
/// other writers may commit first.
pub(crate) fn committed_as(named: &mut BTreeMap<String, Option<Value>>, number: SnapshotNumber) {
    let pages = named.get_mut(LEDGER).and_then(Option::as_mut);
    let pages = pages.and_then(Value::as_array_mut);
    if let Some(last) = pages.and_then(|pages| pages.last_mut()) {
        last["commit"] = json!(number);
    }
}

/// Merges the last pages while there are many of one level.
async fn fold(
    lake: &Lake,
    pointers: &mut Vec<PagePointer>,
    below: &str,
) -> Result<(), SegmentError> {
    loop {
        let Some(level) = pointers.last().map(|last| last.level) else {
            return Ok(());
        };
        let same = pointers.iter().rev();
        let same = same.take_while(|pointer| pointer.level == level).count();
        if same < FOLDED {
            return Ok(());
        }
        let (mut page, mut persons) = (Page::default(), Vec::new());
        for pointer in pointers.split_off(pointers.len() - same) {
            for change in page_of(lake, &pointer).await?.changes {
                for one in &change.moves {
                    persons.push(lake.set(&one.set).await?);
                }
                page.changes.push(change);
            }
        }
        let level = level + 1;
        let below = format!("{below}-{level}");
        let persons: Vec<_> = persons.iter().collect();
        let stored = lake.put_sets(&below, &persons).await?;
        let moves = page.changes.iter_mut().flat_map(|change| &mut change.moves);
        for (one, set) in moves.zip(stored) {
            one.set = set;
        }
        pointers.push(put(lake, &below, &page, level).await?);
    }
}

async fn put(
    lake: &Lake,
    below: &str,
    page: &Page,
    level: u32,
) -> Result<PagePointer, SegmentError> {
    let moves = page.changes.iter().flat_map(|change| &change.moves);
    let sets: BTreeSet<_> = moves.map(|one| one.set.path.clone()).collect();
    Ok(PagePointer {
        path: lake.put_content(below, page).await?,
        sets: sets.into_iter().collect(),
        level,
        commit: SnapshotNumber::default(),
    })
}

/// A page, each of whose changes says what it was committed as, where that is known.
async fn page_of(lake: &Lake, pointer: &PagePointer) -> Result<Page, SegmentError> {
    let mut page: Page = lake.document(&pointer.path).await?;
    for change in &mut page.changes {
        change.commit = change.commit.max(pointer.commit);
    }
    Ok(page)
}

/// All changes of a segment, or of all segments, in the order in which they were committed.
///
/// # Errors
/// [`SegmentError::Lake`] where a page cannot be read.
pub async fn changes(
    lake: &Lake,
    state: &State,
    segment: Option<&SegmentKey>,
) -> Result<Vec<Change>, SegmentError> {
    let pointers: Vec<PagePointer> = state.value(LEDGER)?.unwrap_or_default();
    let (mut all, mut last) = (Vec::new(), SnapshotNumber::default());
    for pointer in pointers {
        for mut change in page_of(lake, &pointer).await?.changes {
            // Older programs did not note it. It came after the data, and no later than the next.
            if change.commit.0 == 0 {
                change.commit = last.max(change.snapshot.next());
            }
            last = change.commit;
            if segment.is_none_or(|key| change.segment == *key) {
                all.push(change);
            }
        }
    }
    Ok(all)
}

/// The persons of a move.
///
/// # Errors
/// [`SegmentError::Lake`] where the bitmap cannot be read.
pub async fn persons(lake: &Lake, one: &Move) -> Result<RoaringTreemap, SegmentError> {
    Ok(lake.set(&one.set).await?)
}
