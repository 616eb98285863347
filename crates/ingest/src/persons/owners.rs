//! The persons to whom an earlier decision about a person applies now, found by the records that the person
//! had then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{IdentityRemap, Lake, PersonRedirects, State};
use rollbook_model::Timestamp;

use crate::IngestError;
use crate::persons::decisions::Decisions;
use crate::persons::records;

/// The records of these persons.
///
/// # Errors
/// [`IngestError::Lake`] where the table `identities` cannot be read.
pub async fn records_of(
    lake: &Lake,
    state: &State,
    persons: &[i64],
) -> Result<BTreeMap<i64, Vec<i64>>, IngestError> {
    let mut records: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    if persons.is_empty() {
        return Ok(records);
    }
    for record in records::of_persons(lake, state, persons).await? {
        records
            .entry(record.before)
            .or_default()
            .push(record.identity);
    }
    Ok(records)
}

/// The persons of records at a snapshot.
pub struct Owners {
    gone: PersonRedirects,
    moves: Option<Arc<IdentityRemap>>,
    /// Sets of records that were split, with the time of the split.
    splits: Vec<(Timestamp, BTreeSet<i64>)>,
    /// The person of each split record.
    split: BTreeMap<i64, i64>,
}

impl Owners {
    /// Loads the owners at a snapshot.
    ///
    /// # Errors
    /// [`IngestError::Lake`] where the decisions, the moves or the table `identities` cannot be read.
    pub async fn at(lake: &Lake, state: &State) -> Result<Self, IngestError> {
        let splits = Decisions::at(lake, state).await?.splits();
        let records: Vec<i64> = splits.iter().flat_map(|(_, of)| of).copied().collect();
        let split = match records.is_empty() {
            true => Vec::new(),
            false => records::of_records(lake, state, &records).await?,
        };
        Ok(Self {
            gone: lake.person_redirects(state.person_redirects_path()).await?,
            moves: lake.identity_remap(state).await?,
            splits,
            split: split
                .iter()
                .map(|record| (record.identity, record.before))
                .collect(),
        })
    }

    /// The persons to whom a decision made at `at` about `person` applies now: all who have one of the
    /// `records` that the person had then. After a later split it applies to both parts, since it is unknown
    /// which one was meant.
    pub fn of(&self, person: u64, records: &[i64], at: Timestamp) -> RoaringTreemap {
        let mut theirs: BTreeSet<i64> = records.iter().copied().collect();
        for (_, parts) in self.splits.iter().filter(|(split, _)| *split >= at) {
            if !parts.is_disjoint(&theirs) {
                theirs.extend(parts);
            }
        }
        let owner = |record: &i64| {
            let moved = self.moves.as_ref().and_then(|moves| moves.get(*record));
            let owner = moved.map(|moved| moved.to);
            let owner = owner.or_else(|| self.split.get(record).copied());
            owner.unwrap_or(person.cast_signed())
        };
        let owners = theirs.iter().map(owner).filter(|owner| *owner > 0);
        let persons = owners.map(i64::unsigned_abs).chain([person]);
        persons
            .filter_map(|person| self.gone.current(person))
            .collect()
    }

    /// The current id of a person; `None` if they were erased.
    pub fn now(&self, person: u64) -> Option<u64> {
        self.gone.current(person)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use rollbook_lake::{IdentityRemap, PersonRedirects};
    use rollbook_model::Timestamp;

    use super::Owners;

    fn of(owners: &Owners, person: u64, records: &[i64]) -> Vec<u64> {
        let at = Timestamp::from_micros(10);
        owners.of(person, records, at).iter().collect()
    }

    #[test]
    fn decision_follows_the_records() {
        let mut moves = IdentityRemap::default();
        let mut owners = Owners {
            gone: PersonRedirects::default(),
            moves: None,
            splits: Vec::new(),
            split: BTreeMap::new(),
        };
        assert_eq!(of(&owners, 2, &[20, 21]), [2]);
        // 2 became 1; then one of the two records went to 5.
        moves.set(20, 2, 1);
        moves.set(21, 2, 1);
        owners.gone.redirect(2, 20, 1);
        owners.moves = Some(Arc::new(moves.clone()));
        assert_eq!(of(&owners, 2, &[20, 21]), [1]);
        moves.set(21, 1, 5);
        owners.moves = Some(Arc::new(moves.clone()));
        assert_eq!(of(&owners, 2, &[20, 21]), [1, 5]);
        owners.gone.mark_erased(5);
        assert_eq!(of(&owners, 2, &[20, 21]), [1]);
    }

    #[test]
    fn a_decision_applies_to_both_parts_of_a_later_split() {
        let mut moves = IdentityRemap::default();
        moves.set(20, 2, 1);
        moves.set(20, 1, 2);
        let mut owners = Owners {
            gone: PersonRedirects::default(),
            moves: Some(Arc::new(moves)),
            splits: vec![(Timestamp::from_micros(20), BTreeSet::from([10, 20]))],
            split: BTreeMap::from([(10, 1), (20, 2)]),
        };
        assert_eq!(of(&owners, 2, &[20]), [1, 2]);
        assert_eq!(of(&owners, 3, &[30]), [3]);
        // What was decided after the split is about one part alone.
        owners.splits[0].0 = Timestamp::from_micros(5);
        assert_eq!(of(&owners, 2, &[20]), [2]);
    }
}
