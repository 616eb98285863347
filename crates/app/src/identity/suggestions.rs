//! Pairs of persons who are probably the same, though no exact rule links them.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use rollbook_engine::Session;
use rollbook_identity::score::{Field, Profile, suggest};
use rollbook_ingest::persons::decide::apart;
use rollbook_model::Timestamp;
use rollbook_queries::identity::{PROFILES, RECORDS};
use serde::Serialize;

use crate::{AppError, Workspace};

/// The columns of the query, after the person and the display name.
const FIELDS: [Field; 11] = [
    Field::GivenName,
    Field::Surname,
    Field::DateOfBirth,
    Field::Line1,
    Field::Line2,
    Field::City,
    Field::Region,
    Field::PostalCode,
    Field::Country,
    Field::Email,
    Field::Phone,
];

/// Two persons who are probably the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuggestedPair {
    /// One person.
    pub a: i64,
    /// The other person.
    pub b: i64,
    /// Display name of `a`.
    pub name_a: Option<String>,
    /// Display name of `b`.
    pub name_b: Option<String>,
    /// Probability, 0 to 1, that they are the same person.
    pub probability: f64,
}

/// Pairs of persons who are the same with at least this probability, the most probable first, without
/// pairs that were decided to be different. Nothing is linked.
///
/// # Errors
/// There is no lake, or it cannot be read; the query exceeds its memory, disk or time limit.
pub async fn suggested(
    workspace: &Workspace,
    at_least: f64,
    now: Timestamp,
) -> Result<Vec<SuggestedPair>, AppError> {
    workspace.require("identity::suggestions::suggested")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, now).await?;
    let region = state.settings()?.default_region;
    let (mut persons, mut profiles) = (Vec::new(), Vec::new());
    let mut rows = session.stream(PROFILES).await?;
    while let Some(batch) = rows.next_batch().await? {
        read_profiles(&batch, region.as_deref(), &mut persons, &mut profiles)?;
    }
    let different = persons_of_pairs(&session, &apart(&lake, &state).await?).await?;
    let found = suggest(&profiles, None, at_least).into_iter().map(|one| {
        let [(a, name_a), (b, name_b)] = [one.a, one.b].map(|at| &persons[at as usize]);
        SuggestedPair {
            a: *a,
            b: *b,
            name_a: name_a.clone(),
            name_b: name_b.clone(),
            probability: one.probability,
        }
    });
    Ok(found
        .filter(|one| !different.contains(&in_order(one.a, one.b)))
        .collect())
}

/// The pairs of persons that pairs of records belong to.
async fn persons_of_pairs(
    session: &Session,
    records: &HashSet<[i64; 2]>,
) -> Result<HashSet<[i64; 2]>, AppError> {
    let mut persons: HashMap<i64, i64> = HashMap::new();
    if records.is_empty() {
        return Ok(HashSet::new());
    }
    let wanted: HashSet<i64> = records.iter().flatten().copied().collect();
    let mut rows = session.stream(RECORDS).await?;
    while let Some(batch) = rows.next_batch().await? {
        let [identities, of] = [0, 1].map(|at| batch.column(at).as_primitive::<Int64Type>());
        let both = identities.values().iter().zip(of.values());
        let both = both.filter(|(identity, _)| wanted.contains(identity));
        persons.extend(both.map(|(identity, person)| (*identity, *person)));
    }
    let person = |record: &i64| persons.get(record).copied();
    let pairs = records.iter();
    Ok(pairs
        .filter_map(|[a, b]| Some(in_order(person(a)?, person(b)?)))
        .collect())
}

fn in_order(a: i64, b: i64) -> [i64; 2] {
    [a.min(b), a.max(b)]
}

fn read_profiles(
    batch: &RecordBatch,
    region: Option<&str>,
    persons: &mut Vec<(i64, Option<String>)>,
    profiles: &mut Vec<Profile>,
) -> Result<(), AppError> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let texts = batch.columns()[1..]
        .iter()
        .map(|column| cast(column, &DataType::Utf8));
    let texts = texts.collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|source| AppError::Rows { source })?;
    let text = |column: usize, row: usize| {
        let column = texts[column].as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    };
    for row in 0..batch.num_rows() {
        persons.push((ids.value(row), text(0, row).map(str::to_owned)));
        let values = FIELDS.iter().zip(1..);
        let values = values.filter_map(|(field, at)| Some((*field, text(at, row)?)));
        profiles.push(Profile::of(&values.collect(), region).folded());
    }
    Ok(())
}
