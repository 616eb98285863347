//! What a caller with a bound key may know of: their segments, and the persons in them.

use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_segments::{Channel, Definition, Freshness, SegmentError, definition, membership};
use sha2::{Digest, Sha256};

use super::Workspace;
use crate::AppError;
use crate::access::{self, Bounds};

/// What is said instead of the reason, which may name other segments, columns and values.
const NOT_FRESH: &str = "it is not up to date";

impl Workspace {
    fn bounds(&self) -> Option<&Bounds> {
        self.bounds.as_deref()
    }

    /// Refuses a caller who may not do what a use case does: the first thing in each of them.
    ///
    /// # Errors
    /// [`AppError::Forbidden`]; [`AppError::BoundKey`].
    pub(crate) fn require(&self, use_case: &'static str) -> Result<(), AppError> {
        access::require(use_case, self.rights, self.bounds())
    }

    /// Whether the caller's key is bound.
    pub(crate) fn is_bound(&self) -> bool {
        self.bounds.is_some()
    }

    /// The segment, if the caller may know of it. Another one is answered like one that does not exist.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`]; the lake cannot be read.
    pub(crate) async fn definition(
        &self,
        lake: &Lake,
        state: &State,
        key: &SegmentKey,
    ) -> Result<Definition, AppError> {
        if !self.is_bound() {
            return Ok(definition::show(lake, state, key).await?);
        }
        // The same is read for every key, whether or not it exists.
        let known = self.definitions(lake, state).await?.into_iter();
        let found = known.into_iter().find(|known| known.key == *key);
        found.ok_or_else(|| {
            AppError::from(SegmentError::Unknown {
                segment: key.clone(),
                nearest: None,
            })
        })
    }

    /// The segments that the caller may know of, by key.
    pub(crate) async fn definitions(
        &self,
        lake: &Lake,
        state: &State,
    ) -> Result<Vec<Definition>, AppError> {
        let mut all = definition::list(lake, state).await?;
        if let Some(bounds) = self.bounds() {
            all.retain(|one| bounds.admits(one));
            for one in &mut all {
                // They may name other segments, masked columns, and values of them.
                one.criteria = String::new();
            }
        }
        Ok(all)
    }

    /// Refuses a channel that the caller's key is not for.
    ///
    /// # Errors
    /// [`AppError::BoundKey`].
    pub(crate) fn require_channel(&self, channel: Option<Channel>) -> Result<(), AppError> {
        let bounds = self.bounds().zip(channel);
        match bounds.is_some_and(|(bounds, channel)| !bounds.admits_channel(channel)) {
            true => Err(AppError::BoundKey),
            false => Ok(()),
        }
    }

    /// Refuses persons who are in none of the caller's segments, with the answer for an id that nobody has, and keys
    /// that are bound to columns: what is known of a person is more than these.
    ///
    /// # Errors
    /// [`AppError::UnknownPerson`]; [`AppError::BoundKey`]; the lake cannot be read.
    pub(crate) async fn require_person(
        &self,
        lake: &Lake,
        state: &State,
        person: i64,
    ) -> Result<(), AppError> {
        let Some(bounds) = self.bounds() else {
            return Ok(());
        };
        if bounds.masks_some() {
            return Err(AppError::BoundKey);
        }
        let known = self.definitions(lake, state).await?;
        let mut computed = membership::memberships(state)?;
        computed.retain(|one| known.iter().any(|known| known.key == one.segment));
        let of: Vec<_> = computed.iter().collect();
        let persons = membership::persons_at(lake, state.person_redirects_path(), &of).await?;
        let id = u64::try_from(person).ok();
        match id.is_some_and(|id| persons.iter().any(|members| members.contains(id))) {
            true => Ok(()),
            false => Err(AppError::UnknownPerson { person }),
        }
    }

    /// The freshness of a segment as the caller may know it.
    pub(crate) fn shown_freshness(&self, mut freshness: Freshness) -> Freshness {
        if self.is_bound() {
            freshness.reason = freshness.reason.map(|_| NOT_FRESH.to_owned());
        }
        freshness
    }

    /// Whether a column of persons is masked for the caller.
    pub(crate) fn masks(&self, column: &str) -> bool {
        self.bounds().is_some_and(|bounds| bounds.masks(column))
    }

    /// A digest of the bounds of the caller, for page tokens: nobody goes on with the pages of others.
    pub(crate) fn bounds_digest(&self) -> Option<String> {
        let text = serde_json::to_string(self.bounds()?).unwrap_or_default();
        Some(hex::encode(Sha256::digest(text)))
    }
}
