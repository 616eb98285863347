//! Persons who have no records any longer, and whose these are now.
//!
//! What people decided about persons (lists, suppressions) names the ids of that time and is never
//! rewritten. Where it is read, this map says who is meant: a person who became another is that one,
//! and one who was erased is nobody. Taking a merge back takes the entry out of the map, and with it
//! all that followed from it.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::lake::Lake;
use crate::state::State;
use crate::table::identity_remap::IdentityRemap;

/// The named value that says where the map lies.
pub const PERSON_REDIRECTS: &str = "identity/gone";

/// Where a person without records went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Went {
    /// The record that leads on: the first of those that they had; 0 where there is none.
    record: i64,
    /// Whose it is; 0 for nobody.
    to: i64,
}

/// The persons without records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PersonRedirects {
    persons: BTreeMap<i64, Went>,
}

impl PersonRedirects {
    /// Notes that all records of a person went to others; `record` is the first of them, and `to`
    /// whose that is.
    pub fn redirect(&mut self, person: i64, record: i64, to: i64) {
        self.persons.insert(person, Went { record, to });
    }

    /// Notes that a person is nobody any longer.
    pub fn mark_erased(&mut self, person: i64) {
        self.redirect(person, 0, 0);
    }

    /// Notes that a person has records again.
    pub fn remove(&mut self, person: i64) {
        self.persons.remove(&person);
    }

    /// Whether a person has no records.
    pub fn contains(&self, person: i64) -> bool {
        self.persons.contains_key(&person)
    }

    /// Whether a person was erased, or was never there: they do not come back.
    pub fn is_erased(&self, person: i64) -> bool {
        let went = self.persons.get(&person);
        went.is_some_and(|went| went.record == 0)
    }

    /// Whether a person, or whom they became, was erased.
    pub fn resolves_to_erased(&self, person: u64) -> bool {
        let mut at = person.cast_signed();
        for _ in 0..=self.persons.len() {
            match self.persons.get(&at) {
                Some(went) if went.to != 0 => at = went.to,
                _ => return self.is_erased(at),
            }
        }
        false
    }

    /// Those without records.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.persons.keys().copied()
    }

    /// Notes whose the records are now that lead on.
    pub fn apply_remap(&mut self, moves: &IdentityRemap) {
        for went in self.persons.values_mut() {
            if let Some(moved) = moves.of(went.record) {
                went.to = moved.to;
            }
        }
    }

    /// Who a person is now; `None` for nobody.
    pub fn current(&self, person: u64) -> Option<u64> {
        let mut at = person.cast_signed();
        // Who became another who was erased is nobody: there are two steps.
        for _ in 0..=self.persons.len() {
            match self.persons.get(&at) {
                None => return u64::try_from(at).ok(),
                Some(went) if went.to == 0 => return None,
                Some(went) => at = went.to,
            }
        }
        None
    }

    /// Who persons are now.
    pub fn resolve(&self, persons: &RoaringTreemap) -> RoaringTreemap {
        let mut now = persons.clone();
        let gone = self.persons.keys().filter_map(|id| u64::try_from(*id).ok());
        for person in gone.filter(|person| persons.contains(*person)) {
            now.remove(person);
            now.extend(self.current(person));
        }
        now
    }
}

impl State {
    /// What tells the persons without records of one snapshot from those of another.
    pub fn person_redirects_path(&self) -> Option<&str> {
        self.named.get(PERSON_REDIRECTS)?.as_str()
    }
}

impl Lake {
    /// The persons without records, as [`State::person_redirects_path`] names them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn person_redirects(&self, of: Option<&str>) -> Result<PersonRedirects, LakeError> {
        match of {
            Some(path) => self.document(path).await,
            None => Ok(PersonRedirects::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::PersonRedirects;
    use crate::table::identity_remap::IdentityRemap;

    #[test]
    fn merged_persons_are_found_in_both_directions() {
        let (mut gone, mut moves) = (PersonRedirects::default(), IdentityRemap::default());
        let listed: RoaringTreemap = [1, 2, 3].into_iter().collect();
        let now = |gone: &PersonRedirects| gone.resolve(&listed).iter().collect::<Vec<_>>();
        assert_eq!(now(&gone), [1, 2, 3]);
        // The record 20 of 2 went to 7, and then all that 7 had to 9.
        moves.set(20, 2, 7);
        gone.redirect(2, 20, 7);
        assert_eq!(now(&gone), [1, 3, 7]);
        moves.set(20, 7, 9);
        gone.redirect(7, 70, 9);
        gone.apply_remap(&moves);
        assert_eq!((now(&gone), gone.current(7)), (vec![1, 3, 9], Some(9)));
        // It waits for a decision, and is nobody's meanwhile.
        moves.set(20, 9, 0);
        gone.apply_remap(&moves);
        assert_eq!((now(&gone), gone.current(2)), (vec![1, 3], None));
        gone.remove(2);
        assert_eq!(now(&gone), [1, 2, 3]);
    }

    #[test]
    fn person_merged_into_an_erased_one_is_nobody() {
        let mut gone = PersonRedirects::default();
        gone.redirect(2, 20, 1);
        gone.mark_erased(1);
        let listed: RoaringTreemap = [1, 2, 3].into_iter().collect();
        assert_eq!(gone.resolve(&listed).iter().collect::<Vec<_>>(), [3]);
        assert_eq!(
            [1, 2, 3].map(|id| gone.resolves_to_erased(id)),
            [true, true, false]
        );
    }
}
