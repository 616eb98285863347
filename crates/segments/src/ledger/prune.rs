//! The ledger without old entries and exits.

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde_json::{Value, json};

use super::{LEDGER, Page, PagePointer, page_of, put};
use crate::SegmentError;

/// The ledger without the entries and exits before a time.
#[derive(Debug, Default)]
pub struct PrunedLedger {
    /// How many entries and exits go.
    pub removed: u64,
    /// How many would go if their persons were not kept.
    pub kept: u64,
    /// The greatest snapshot that a removed change was committed as.
    pub until: SnapshotNumber,
    /// The pages, each with its new content; `None` for a page that stays.
    pages: Vec<(PagePointer, Option<NewPage>)>,
}

/// A page to write.
#[derive(Debug)]
struct NewPage {
    page: Page,
    /// The persons of its moves, in order.
    persons: Vec<RoaringTreemap>,
}

/// Finds the entries and exits that were computed before `line`, without those of the persons in `keep`.
///
/// # Errors
/// [`SegmentError::Lake`] where a page cannot be read.
pub async fn prune(
    lake: &Lake,
    state: &State,
    line: Timestamp,
    keep: &RoaringTreemap,
) -> Result<PrunedLedger, SegmentError> {
    let pointers: Vec<PagePointer> = state.value(LEDGER)?.unwrap_or_default();
    let mut pruned = PrunedLedger::default();
    for pointer in pointers {
        let page = page_of(lake, &pointer).await?;
        if page.changes.iter().all(|change| change.at >= line) {
            pruned.pages.push((pointer, None));
            continue;
        }
        let (mut left, mut sets) = (Page::default(), Vec::new());
        for mut change in page.changes {
            let (is_old, mut moves) = (change.at < line, Vec::new());
            for mut one in std::mem::take(&mut change.moves) {
                let mut persons = lake.set(&one.set).await?;
                if is_old {
                    let all = persons.len();
                    persons &= keep;
                    pruned.kept += persons.len();
                    pruned.removed += all - persons.len();
                }
                if !persons.is_empty() {
                    one.count = persons.len();
                    moves.push(one);
                    sets.push(persons);
                }
            }
            if is_old {
                pruned.until = pruned.until.max(change.commit);
            }
            // A change in which nobody moved tells the size of the segment.
            change.moves = moves;
            if !is_old || !change.moves.is_empty() {
                left.changes.push(change);
            }
        }
        let new = NewPage {
            page: left,
            persons: sets,
        };
        pruned.pages.push((pointer, Some(new)));
    }
    Ok(pruned)
}

impl PrunedLedger {
    /// Writes the pages; the value that names them, and the name of the value.
    ///
    /// # Errors
    /// [`SegmentError::Lake`] where a page cannot be written.
    pub async fn write(
        &self,
        lake: &Lake,
        name: &str,
    ) -> Result<(String, Option<Value>), SegmentError> {
        let mut pointers: Vec<PagePointer> = Vec::new();
        for (at, (pointer, changed)) in self.pages.iter().enumerate() {
            let Some(NewPage { page, persons }) = changed else {
                pointers.push(pointer.clone());
                continue;
            };
            if page.changes.is_empty() {
                continue;
            }
            let below = format!("_ledger/{name}-{at}");
            let persons: Vec<_> = persons.iter().collect();
            let stored = lake.put_sets(&below, &persons).await?;
            let mut page = page.clone();
            let moves = page.changes.iter_mut().flat_map(|change| &mut change.moves);
            for (one, set) in moves.zip(stored) {
                one.set = set;
            }
            pointers.push(put(lake, &below, &page, pointer.level).await?);
        }
        Ok((LEDGER.to_owned(), Some(json!(pointers))))
    }
}
