//! Models and scores in the lake: immutable objects that the snapshot names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use rollbook_lake::{Cause, Commit, Lake, PersonRedirects, State, Update, ValueName};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ScoringError;
use crate::model::{Method, Model, Scored};
use crate::score_kind::ScoreKind;

/// Metadata of the current scores of a kind: model, data and moment that they were computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoresHead {
    /// What the scores predict.
    pub kind: ScoreKind,
    /// How the weights were obtained.
    pub method: Method,
    /// Why the weights were not learnt, if they were not.
    pub reason: Option<String>,
    /// Persons scored.
    pub count: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The cut-off: nothing later was used.
    pub as_of: Timestamp,
    /// When they were computed.
    pub computed_at: Timestamp,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Which merged and erased persons were known, as [`State::person_redirects_path`] names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<String>,
}

/// Reference from a snapshot to a stored model.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    path: String,
}

/// Stores a model and makes it the current one of its kind.
///
/// # Errors
/// [`LakeError::Busy`] if other writers win every attempt to commit; an object cannot be written.
pub async fn save_model(lake: &Lake, model: &Model, at: Timestamp) -> Result<(), ScoringError> {
    let (kind, stamp) = (model.kind, at.micros());
    let path = format!("_models/{kind}/{:020}-{stamp:016x}.json", model.snapshot.0);
    lake.put_document(&path, model).await?;
    let name = ValueName::Model(kind.name()).to_string();
    commit(lake, &name, json!(Pointer { path }), at).await
}

/// The current model of a kind.
///
/// # Errors
/// [`ScoringError::NotTrained`]; a model document that is missing, damaged or cannot be read.
pub async fn current_model(
    lake: &Lake,
    state: &State,
    kind: ScoreKind,
) -> Result<Model, ScoringError> {
    match state.value::<Pointer>(&ValueName::Model(kind.name()).to_string())? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Err(ScoringError::NotTrained { kind }),
    }
}

/// Stores the scores of all candidates and makes them the current ones of their kind.
///
/// # Errors
/// [`LakeError::Busy`] if other writers win every attempt to commit; an object cannot be written.
pub async fn save_scores(
    lake: &Lake,
    model: &Model,
    scored: &[Scored],
    as_of: Timestamp,
    state: &State,
    at: Timestamp,
) -> Result<ScoresHead, ScoringError> {
    let (kind, snapshot) = (model.kind, state.data);
    let path = format!(
        "_scores/{kind}-{:020}-{:016x}.parquet",
        snapshot.0,
        at.micros()
    );
    let rows = rows(kind, scored).map_err(|source| ScoringError::Rows { source })?;
    let bytes = lake.put_rows(&path, &rows).await?;
    let head = ScoresHead {
        kind,
        method: model.method,
        reason: model.reason.clone(),
        count: scored.len() as u64,
        snapshot,
        as_of,
        computed_at: at,
        path,
        bytes,
        gone: state.person_redirects_path().map(str::to_owned),
    };
    commit(
        lake,
        &ValueName::Scores(kind.name()).to_string(),
        json!(head),
        at,
    )
    .await?;
    Ok(head)
}

/// Metadata of the current scores of a kind.
///
/// # Errors
/// [`ScoringError::NotScored`]; an entry of the snapshot that cannot be parsed.
pub fn current_scores(state: &State, kind: ScoreKind) -> Result<ScoresHead, ScoringError> {
    let head = state.value(&ValueName::Scores(kind.name()).to_string())?;
    head.ok_or(ScoringError::NotScored { kind })
}

impl ScoresHead {
    /// Whether no person was merged or erased since these scores were computed.
    pub(crate) fn has_same_ids(&self, gone: Option<&str>) -> bool {
        self.gone.as_deref() == gone
    }

    /// The scores in order of person id. Ids are current as of `gone` ([`State::person_redirects_path`]): scores of
    /// merged persons are remapped, those of erased persons dropped.
    ///
    /// # Errors
    /// A file of scores that is missing, damaged or cannot be read.
    pub async fn read(&self, lake: &Lake, gone: Option<&str>) -> Result<Vec<Scored>, ScoringError> {
        let mut scored = Vec::new();
        for batch in lake.rows(&self.path).await? {
            let batch = batch.map_err(|source| ScoringError::Rows { source })?;
            let persons = batch["person_id"].as_primitive::<Int64Type>();
            let scores = batch["score"].as_primitive::<Float64Type>();
            let probabilities = batch["probability"].as_primitive::<Float64Type>();
            scored.extend((0..batch.num_rows()).map(|row| Scored {
                person_id: persons.value(row),
                score: scores.value(row),
                probability: probabilities.value(row),
            }));
        }
        Ok(match self.has_same_ids(gone) {
            true => scored,
            false => remap_persons(self.kind, scored, &lake.person_redirects(gone).await?),
        })
    }
}

/// Remaps scores to current person ids. Erased persons are dropped; of several merged persons the
/// score of the surviving id wins.
fn remap_persons(kind: ScoreKind, scored: Vec<Scored>, gone: &PersonRedirects) -> Vec<Scored> {
    let (went, mut now): (Vec<_>, Vec<_>) = scored
        .into_iter()
        .partition(|one| gone.contains(one.person_id));
    let mut have: HashSet<i64> = now.iter().map(|one| one.person_id).collect();
    for one in went.into_iter().filter(|_| kind.passes_on_merge()) {
        let person = gone.current(one.person_id.unsigned_abs());
        if let Some(person_id) = person.map(u64::cast_signed).filter(|id| have.insert(*id)) {
            now.push(Scored { person_id, ..one });
        }
    }
    now.sort_by_key(|one| one.person_id);
    now
}

async fn commit(
    lake: &Lake,
    name: &str,
    value: serde_json::Value,
    at: Timestamp,
) -> Result<(), ScoringError> {
    let value = &value;
    let update = |_| async move {
        let named = BTreeMap::from([(name.to_owned(), Some(value.clone()))]);
        let cause = Cause::Define {
            name: name.to_owned(),
        };
        let commit = Commit::of_names(cause, at, named);
        Ok::<_, ScoringError>(Update::commit(commit, ()))
    };
    lake.update(update).await
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("person_id", DataType::Int64, false),
        Field::new("score", DataType::Float64, false),
        Field::new("probability", DataType::Float64, false),
    ]))
}

pub(crate) fn rows(
    kind: ScoreKind,
    scored: &[Scored],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let kinds = std::iter::repeat_n(kind.name(), scored.len());
    let persons = scored.iter().map(|one| one.person_id);
    let scores = scored.iter().map(|one| one.score);
    let probabilities = scored.iter().map(|one| one.probability);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(kinds)),
        Arc::new(Int64Array::from_iter_values(persons)),
        Arc::new(Float64Array::from_iter_values(scores)),
        Arc::new(Float64Array::from_iter_values(probabilities)),
    ];
    RecordBatch::try_new(schema(), columns)
}

#[cfg(test)]
mod tests {
    use rollbook_lake::PersonRedirects;

    use super::remap_persons;
    use crate::model::Scored;
    use crate::score_kind::ScoreKind;

    #[test]
    fn scores_of_merged_persons_are_remapped() {
        let scored = |person_id: i64| Scored {
            person_id,
            score: 0.0,
            probability: person_id as f64 / 10.0,
        };
        let mut gone = PersonRedirects::default();
        gone.redirect(2, 20, 1);
        gone.redirect(3, 30, 7);
        gone.redirect(4, 40, 7);
        gone.mark_erased(5);
        let now = |kind| {
            let now = remap_persons(kind, [1, 2, 3, 4, 5, 6].map(scored).to_vec(), &gone);
            let pairs = now.iter().map(|one| (one.person_id, one.probability));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(now(ScoreKind::Churn), [(1, 0.1), (6, 0.6), (7, 0.3)]);
        assert_eq!(now(ScoreKind::Lead), [(1, 0.1), (6, 0.6)]);
    }
}
