//! Models and scores in the lake: immutable objects that the snapshot names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use rollbook_lake::{Cause, Commit, Committed, Lake, LakeError, LakeTable, State};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ScoringError;
use crate::kind::Kind;
use crate::model::{Method, Model, Scored};

/// Attempts to commit until faster writers are given way to.
const ATTEMPTS: u32 = 10;

/// What the standing scores of a kind rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoresHead {
    /// What is foretold.
    pub kind: Kind,
    /// How the weights came about.
    pub method: Method,
    /// Why they were not learnt, where they were not.
    pub reason: Option<String>,
    /// Persons scored.
    pub count: u64,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// The moment that they were computed for.
    pub as_of: Timestamp,
    /// When they were computed.
    pub computed_at: Timestamp,
    path: String,
    bytes: u64,
}

/// What the snapshot holds of a model.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    path: String,
}

/// Keeps a model; it is the standing one of its kind from now on.
pub async fn keep_model(lake: &Lake, model: &Model, at: Timestamp) -> Result<(), ScoringError> {
    let (kind, stamp) = (model.kind, at.micros());
    let path = format!("_models/{kind}/{:020}-{stamp:016x}.json", model.snapshot.0);
    lake.put_document(&path, model).await?;
    commit(lake, &format!("model/{kind}"), json!(Pointer { path }), at).await
}

/// The standing model of a kind.
pub async fn standing_model(lake: &Lake, state: &State, kind: Kind) -> Result<Model, ScoringError> {
    match state.value::<Pointer>(&format!("model/{kind}"))? {
        Some(pointer) => Ok(lake.document(&pointer.path).await?),
        None => Err(ScoringError::NotTrained { kind }),
    }
}

/// Keeps the scores of all candidates; they are the standing ones of their kind from now on.
pub async fn keep_scores(
    lake: &Lake,
    model: &Model,
    scored: &[Scored],
    as_of: Timestamp,
    snapshot: SnapshotNumber,
    at: Timestamp,
) -> Result<ScoresHead, ScoringError> {
    let kind = model.kind;
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
    };
    commit(lake, &format!("scores/{kind}"), json!(head), at).await?;
    Ok(head)
}

/// What the standing scores of a kind rest on.
pub fn standing_scores(state: &State, kind: Kind) -> Result<ScoresHead, ScoringError> {
    let head = state.value(&format!("scores/{kind}"))?;
    head.ok_or(ScoringError::NotScored { kind })
}

impl ScoresHead {
    /// The scores, in order of the persons' ids.
    pub async fn read(&self, lake: &Lake) -> Result<Vec<Scored>, ScoringError> {
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
        Ok(scored)
    }
}

/// The standing scores of all kinds as a table:
/// `scores(kind text, person_id bigint, score double, probability double)`.
pub fn scores_table(lake: &Lake, state: &State) -> Result<LakeTable, ScoringError> {
    let mut files = Vec::new();
    for kind in [Kind::Lead, Kind::Churn] {
        if let Some(head) = state.value::<ScoresHead>(&format!("scores/{kind}"))? {
            files.push((head.path, head.bytes));
        }
    }
    Ok(LakeTable::of_objects(lake, schema(), &files))
}

async fn commit(
    lake: &Lake,
    name: &str,
    value: serde_json::Value,
    at: Timestamp,
) -> Result<(), ScoringError> {
    for _ in 0..ATTEMPTS {
        let state = lake.head().await?;
        let named = BTreeMap::from([(name.to_owned(), Some(value.clone()))]);
        let cause = Cause::Define {
            name: name.to_owned(),
        };
        let commit = Commit::of_names(cause, at, named);
        if let Committed::Done(_) = lake.commit(&state, commit).await? {
            return Ok(());
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS }.into())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("person_id", DataType::Int64, false),
        Field::new("score", DataType::Float64, false),
        Field::new("probability", DataType::Float64, false),
    ]))
}

fn rows(kind: Kind, scored: &[Scored]) -> Result<RecordBatch, arrow::error::ArrowError> {
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
