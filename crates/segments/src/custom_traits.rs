//! Traits of a tenant's own, as the lake keeps them: one immutable document of all, which the
//! snapshot names.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_engine::CustomTrait;
use rollbook_lake::{Cause, Commit, Lake, State, Update};
use rollbook_model::{Timestamp, TraitName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::SegmentError;

/// The name by which the snapshot has them.
const NAME: &str = "traits";

/// A trait as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraitDefinition {
    /// The column of `people`.
    pub name: TraitName,
    /// What it is.
    pub description: Option<String>,
    /// What it is for persons without a row, as a literal of SQL; null without it.
    pub default: Option<String>,
    /// One `select`, which puts out `person_id` and the value.
    pub sql: String,
    /// When anything of it was last changed.
    pub updated_at: Timestamp,
    /// When what it computes was last changed.
    pub since: Timestamp,
}

impl TraitDefinition {
    /// The trait as `engine` takes it.
    pub fn own(&self) -> CustomTrait {
        CustomTrait {
            name: self.name.to_string(),
            sql: self.sql.clone(),
            default: self.default.clone(),
        }
    }

    /// Whether it computes the same as another.
    pub fn computes_as(&self, other: &Self) -> bool {
        self.sql == other.sql && self.default == other.default
    }
}

/// What the snapshot holds of them.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct TraitsPointer {
    path: String,
    /// When what each computes was last changed, so that it is told without the document.
    since: BTreeMap<TraitName, Timestamp>,
}

/// All of them. When they were written is part of it: the same texts again, after one was redacted,
/// are another object.
#[derive(Debug, Serialize, Deserialize)]
struct TraitsDocument {
    at: Timestamp,
    traits: Vec<TraitDefinition>,
}

/// All traits at a snapshot, in order of their names.
///
/// # Errors
/// [`SegmentError::Lake`].
pub async fn list(lake: &Lake, state: &State) -> Result<Vec<TraitDefinition>, SegmentError> {
    match state.value::<TraitsPointer>(NAME)? {
        Some(pointer) => Ok(lake.document::<TraitsDocument>(&pointer.path).await?.traits),
        None => Ok(Vec::new()),
    }
}

/// When what each trait computes was last changed; no document is read.
///
/// # Errors
/// [`SegmentError::Lake`].
pub fn since(state: &State) -> Result<BTreeMap<TraitName, Timestamp>, SegmentError> {
    let pointer = state.value::<TraitsPointer>(NAME)?;
    Ok(pointer.unwrap_or_default().since)
}

/// Replaces all custom traits in one commit; `false` where another process changed them since `base`.
///
/// # Errors
/// [`SegmentError::Lake`] where the lake cannot be read or written, or other writers were faster 10 times.
pub async fn replace(
    lake: &Lake,
    base: &State,
    traits: Vec<TraitDefinition>,
    at: Timestamp,
) -> Result<bool, SegmentError> {
    let pointer = match traits.is_empty() {
        true => None,
        false => {
            let since = traits.iter().map(|one| (one.name.clone(), one.since));
            let since = since.collect();
            let document = TraitsDocument { at, traits };
            let path = lake.put_content("_definitions/traits", &document).await?;
            Some(json!(TraitsPointer { path, since }))
        }
    };
    let named = &BTreeMap::from([(NAME.to_owned(), pointer)]);
    let update = |head: Arc<State>| async move {
        if head.named.get(NAME) != base.named.get(NAME) {
            return Ok(Update::Keep(false));
        }
        let name = NAME.to_owned();
        let commit = Commit::of_names(Cause::Define { name }, at, named.clone());
        Ok::<_, SegmentError>(Update::commit(commit, true))
    };
    lake.update(update).await
}
