//! Redirects of person ids: each id whose person has no records any more leads to the person who has
//! these records now.
//!
//! Lists, suppressions, memberships and scores keep the ids of the time at which they were stored. When
//! they are read, the redirects resolve an id of a merged person to the id of the person merged into,
//! and an id of an erased person to nobody. Undoing a merge removes its redirect.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::lake::Lake;
use crate::state::State;
use crate::state::value_name::PERSON_REDIRECTS;
use crate::table::identity_remap::IdentityRemap;

/// Where the id of a person without records leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Redirect {
    /// The first of the records that the person had; 0 where none is left.
    record: i64,
    /// The person who has the record now; 0 for nobody.
    to: i64,
}

/// The redirects of all persons without records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PersonRedirects {
    persons: BTreeMap<i64, Redirect>,
}

impl PersonRedirects {
    /// Adds a redirect of a person whose records belong to others now. `record` is the first of these
    /// records, and `to` the person who has it.
    pub fn redirect(&mut self, person: i64, record: i64, to: i64) {
        self.persons.insert(person, Redirect { record, to });
    }

    /// Redirects an erased person to nobody.
    pub fn mark_erased(&mut self, person: i64) {
        self.redirect(person, 0, 0);
    }

    /// Removes the redirect of a person who has records again.
    pub fn remove(&mut self, person: i64) {
        self.persons.remove(&person);
    }

    /// Whether a person has a redirect, and so no records.
    pub fn contains(&self, person: i64) -> bool {
        self.persons.contains_key(&person)
    }

    /// Whether a person was erased, or never existed. Such a redirect is never removed.
    pub fn is_erased(&self, person: i64) -> bool {
        let redirect = self.persons.get(&person);
        redirect.is_some_and(|redirect| redirect.record == 0)
    }

    /// Whether a person was erased, or was merged into a person who was erased.
    pub fn resolves_to_erased(&self, person: u64) -> bool {
        let mut at = person.cast_signed();
        for _ in 0..=self.persons.len() {
            match self.persons.get(&at) {
                Some(redirect) if redirect.to != 0 => at = redirect.to,
                _ => return self.is_erased(at),
            }
        }
        false
    }

    /// The persons who have a redirect.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.persons.keys().copied()
    }

    /// Updates the redirects after records were moved to other persons.
    pub fn apply_remap(&mut self, remap: &IdentityRemap) {
        for redirect in self.persons.values_mut() {
            if let Some(moved) = remap.get(redirect.record) {
                redirect.to = moved.to;
            }
        }
    }

    /// The current id of a person; `None` for nobody.
    pub fn current(&self, person: u64) -> Option<u64> {
        let mut at = person.cast_signed();
        // A redirect may lead to a person who has one too.
        for _ in 0..=self.persons.len() {
            match self.persons.get(&at) {
                None => return u64::try_from(at).ok(),
                Some(redirect) if redirect.to == 0 => return None,
                Some(redirect) => at = redirect.to,
            }
        }
        None
    }

    /// The current ids of persons.
    pub fn resolve(&self, persons: &RoaringTreemap) -> RoaringTreemap {
        let mut now = persons.clone();
        let redirected = self.persons.keys().filter_map(|id| u64::try_from(*id).ok());
        for person in redirected.filter(|person| persons.contains(*person)) {
            now.remove(person);
            now.extend(self.current(person));
        }
        now
    }
}

impl State {
    /// The path of the stored redirects. Two snapshots with the same path have the same redirects.
    pub fn person_redirects_path(&self) -> Option<&str> {
        self.named.get(PERSON_REDIRECTS)?.as_str()
    }
}

impl Lake {
    /// The redirects stored at a path ([`State::person_redirects_path`]); none for `None`.
    ///
    /// # Errors
    /// The errors of [`Lake::document`].
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
    fn redirects_resolve_merged_persons() {
        let (mut redirects, mut remap) = (PersonRedirects::default(), IdentityRemap::default());
        let ids: RoaringTreemap = [1, 2, 3].into_iter().collect();
        let now = |redirects: &PersonRedirects| redirects.resolve(&ids).iter().collect::<Vec<_>>();
        assert_eq!(now(&redirects), [1, 2, 3]);
        // Record 20 moves from 2 to 7, then all records of 7 move to 9.
        remap.set(20, 2, 7);
        redirects.redirect(2, 20, 7);
        assert_eq!(now(&redirects), [1, 3, 7]);
        remap.set(20, 7, 9);
        redirects.redirect(7, 70, 9);
        redirects.apply_remap(&remap);
        assert_eq!(
            (now(&redirects), redirects.current(7)),
            (vec![1, 3, 9], Some(9))
        );
        // A record that waits for a decision belongs to nobody.
        remap.set(20, 9, 0);
        redirects.apply_remap(&remap);
        assert_eq!((now(&redirects), redirects.current(2)), (vec![1, 3], None));
        redirects.remove(2);
        assert_eq!(now(&redirects), [1, 2, 3]);
    }

    #[test]
    fn redirects_to_an_erased_person_resolve_to_nobody() {
        let mut redirects = PersonRedirects::default();
        redirects.redirect(2, 20, 1);
        redirects.mark_erased(1);
        let ids: RoaringTreemap = [1, 2, 3].into_iter().collect();
        assert_eq!(redirects.resolve(&ids).iter().collect::<Vec<_>>(), [3]);
        assert_eq!(
            [1, 2, 3].map(|id| redirects.resolves_to_erased(id)),
            [true, true, false]
        );
    }
}
