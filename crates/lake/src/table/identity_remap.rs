//! The identity remap: records whose facts are stored with another person than the one they belong to.
//!
//! Facts are clustered by person. A fact is stored with the person that its record belonged to when the
//! fact was written, the home of the fact. Merging or splitting persons rewrites no fact: it changes
//! this small map, and scans return the facts of the map's records under the persons they belong to.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::lake::Lake;
use crate::state::State;
use crate::state::value_name::IDENTITY_REMAP;

/// A record whose facts are stored with other persons.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemappedIdentity {
    /// The person that the record belongs to; 0 for nobody.
    pub to: i64,
    /// The persons that the record's facts may be stored with.
    pub homes: Vec<i64>,
}

/// The records whose facts may be stored with other persons than their own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdentityRemap {
    identities: BTreeMap<i64, RemappedIdentity>,
}

impl IdentityRemap {
    /// Moves a record from the person `from` to the person `to`.
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

    /// Removes a record whose facts were deleted.
    pub fn forget(&mut self, identity: i64) {
        self.identities.remove(&identity);
    }

    /// The entry of a record; `None` where its facts are stored with its own person.
    pub fn get(&self, identity: i64) -> Option<&RemappedIdentity> {
        self.identities.get(&identity)
    }

    /// All entries by record.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &RemappedIdentity)> {
        self.identities
            .iter()
            .map(|(identity, moved)| (*identity, moved))
    }

    /// Whether the map has no entry.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// The persons with whom facts of other persons may be stored.
    pub(crate) fn homes(&self) -> RoaringTreemap {
        let homes = self.identities.values().flat_map(|moved| &moved.homes);
        homes.filter_map(|home| u64::try_from(*home).ok()).collect()
    }

    /// The entries of records that belong to a person of a range, and where `among` is given, to one of
    /// these persons.
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

    /// `persons`, and the persons to whom facts stored with `persons` may belong.
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
    /// The identity remap of a snapshot; `None` where it is empty.
    ///
    /// # Errors
    /// The errors of [`Lake::document`].
    pub async fn identity_remap(
        &self,
        state: &State,
    ) -> Result<Option<Arc<IdentityRemap>>, LakeError> {
        let Some(path) = state.value::<String>(IDENTITY_REMAP)? else {
            return Ok(None);
        };
        let remap: IdentityRemap = self.document(&path).await?;
        Ok((!remap.is_empty()).then(|| Arc::new(remap)))
    }
}

#[cfg(test)]
mod tests {
    use super::IdentityRemap;

    #[test]
    fn remap_remembers_every_former_person() {
        let mut moves = IdentityRemap::default();
        moves.set(7, 1, 2);
        assert_eq!(moves.get(7).unwrap().homes, [1]);
        // Facts that were written meanwhile are stored with 2.
        moves.set(7, 2, 1);
        assert_eq!(
            (
                moves.get(7).unwrap().to,
                moves.get(7).unwrap().homes.as_slice()
            ),
            (1, &[1, 2][..])
        );
        assert_eq!(moves.homes().iter().collect::<Vec<_>>(), [1, 2]);
        assert!(moves.within(2, 9, None).is_empty());
        assert!(!moves.within(1, 2, None).is_empty());
    }
}
