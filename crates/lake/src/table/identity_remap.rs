//! Records that belong to another person than the one by whom their facts are clustered.
//!
//! A fact lies with the person that its record belonged to when it was written: its home. Merging
//! persons, or undoing that, rewrites no fact; it changes this small map, and readers put the rows of
//! the records in it where they belong.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::lake::Lake;
use crate::state::State;

/// The named value that says where the map lies.
pub const IDENTITY_REMAP: &str = "identity/moves";
/// The named value that is there once two records were of one person.
pub const LINKED: &str = "identity/linked";

/// Where the rows of a record are, and where they belong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemappedIdentity {
    /// The person it belongs to; 0 for nobody.
    pub to: i64,
    /// The persons that its rows may lie with.
    pub homes: Vec<i64>,
}

/// The records whose rows may lie with others than their person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdentityRemap {
    identities: BTreeMap<i64, RemappedIdentity>,
}

impl IdentityRemap {
    /// Notes that a record belongs to `to`, and no longer to `from`.
    pub fn set(&mut self, identity: i64, from: i64, to: i64) {
        let moved = self.identities.entry(identity).or_default();
        if !moved.homes.contains(&from) {
            moved.homes.push(from);
        }
        if moved.to != 0 && moved.to != from && !moved.homes.contains(&moved.to) {
            moved.homes.push(moved.to);
        }
        moved.to = to;
    }

    /// Forgets a record whose rows are gone.
    pub fn forget(&mut self, identity: i64) {
        self.identities.remove(&identity);
    }

    /// Whose a record is, if it is in the map.
    pub fn of(&self, identity: i64) -> Option<&RemappedIdentity> {
        self.identities.get(&identity)
    }

    /// All records with where they belong.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &RemappedIdentity)> {
        self.identities
            .iter()
            .map(|(identity, moved)| (*identity, moved))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// The persons whose rows may be of others.
    pub(crate) fn homes(&self) -> RoaringTreemap {
        let homes = self.identities.values().flat_map(|moved| &moved.homes);
        homes.filter_map(|home| u64::try_from(*home).ok()).collect()
    }

    /// The records that belong to a person of a range, and to one of some persons.
    pub(crate) fn within(&self, from: i64, to: i64, among: Option<&RoaringTreemap>) -> Self {
        let is_within = |moved: &RemappedIdentity| {
            let person = u64::try_from(moved.to).unwrap_or(0);
            (from..to).contains(&moved.to) && among.is_none_or(|among| among.contains(person))
        };
        let wanted = self.identities.iter().filter(|(_, moved)| is_within(moved));
        Self {
            identities: wanted
                .map(|(identity, moved)| (*identity, moved.clone()))
                .collect(),
        }
    }

    /// Persons, and those whom rows that lie with them may belong to.
    pub fn with_targets(&self, mut persons: RoaringTreemap) -> RoaringTreemap {
        for moved in self.identities.values() {
            let is_home =
                |home: &i64| u64::try_from(*home).is_ok_and(|home| persons.contains(home));
            if moved.to > 0 && moved.homes.iter().any(is_home) {
                persons.insert(moved.to.unsigned_abs());
            }
        }
        persons
    }
}

impl Lake {
    /// The records whose rows may lie with others than their person; `None` for none at all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn identity_remap(
        &self,
        state: &State,
    ) -> Result<Option<Arc<IdentityRemap>>, LakeError> {
        let Some(path) = state.value::<String>(IDENTITY_REMAP)? else {
            return Ok(None);
        };
        let moves: IdentityRemap = self.document(&path).await?;
        Ok((!moves.is_empty()).then(|| Arc::new(moves)))
    }
}

#[cfg(test)]
mod tests {
    use super::IdentityRemap;

    #[test]
    fn remap_remembers_every_former_person() {
        let mut moves = IdentityRemap::default();
        moves.set(7, 1, 2);
        assert_eq!(moves.of(7).unwrap().homes, [1]);
        // Rows that came meanwhile lie with 2.
        moves.set(7, 2, 1);
        assert_eq!(
            (
                moves.of(7).unwrap().to,
                moves.of(7).unwrap().homes.as_slice()
            ),
            (1, &[1, 2][..])
        );
        assert_eq!(moves.homes().iter().collect::<Vec<_>>(), [1, 2]);
        assert!(moves.within(2, 9, None).is_empty());
        assert!(!moves.within(1, 2, None).is_empty());
    }
}
