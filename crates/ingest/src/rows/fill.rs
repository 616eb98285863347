//! Filling columns that the files of a run do not have with known values: from superseded rows of the
//! run, from the lake, from the vault.
//!
//! This is done before records are linked and rows are compared, so that both see complete rows. A run
//! whose rows have all columns, or whose keys are all new, skips it.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch, interleave, take};
use rollbook_lake::{Lake, State};

use crate::IngestError;
use crate::rows::canonical::{PERSON, staged_schema};
use crate::rows::missing_columns::{ColumnSet, bit};
use crate::rows::stage::{RowVersion, Stage, StagedBatch, UNKNOWN, keys_of};

mod known_values;
mod lake;

use known_values::{FillValue, FillValues, LAKE, OWNER, SortedFillValues, StoredFillValue};

/// The stage with rows completed by known values; `None` if there is nothing to complete.
pub(crate) async fn filled(
    lake: &Lake,
    base: &State,
    stage: &Stage,
    folder: &Path,
) -> Result<Option<Stage>, IngestError> {
    let wanted = stage.absent_anywhere();
    if wanted == 0 {
        return Ok(None);
    }
    let mut values = FillValues::new(stage.def, wanted, folder)?;
    from_run(stage, &mut values)?;
    let known = lake::LakeLookup {
        lake,
        base,
        stage,
        folder,
    };
    let names = known.give(&mut values).await?;
    match values.finish()? {
        None => Ok(None),
        Some(given) => merge(stage, given, &names).map(Some),
    }
}

/// Adds the values of superseded rows of the run.
fn from_run(stage: &Stage, values: &mut FillValues) -> Result<(), IngestError> {
    let mut donors = stage.donors()?.peekable();
    if donors.peek().is_none() {
        return Ok(());
    }
    for piece in stage.batches()? {
        let piece = piece?;
        let end = u64::from(piece.first) + piece.rows.num_rows() as u64;
        let (mut rows, mut given) = (Vec::new(), Vec::new());
        while let Some(donor) =
            donors.next_if(|next| next.as_ref().map_or(true, |next| u64::from(next.row) < end))
        {
            let donor = donor?;
            rows.push(donor.row - piece.first);
            given.push(FillValue {
                winner: donor.winner,
                rank: donor.rank,
                gives: donor.gives,
                updated: donor.updated,
                key: 0,
            });
        }
        if given.is_empty() {
            continue;
        }
        let rows = arrow::array::UInt32Array::from(rows);
        let failed = IngestError::rows(stage.def.name, "read back");
        let columns = values
            .places()
            .iter()
            .map(|place| take(piece.rows.column(*place), &rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        values.give(&columns, &given)?;
    }
    Ok(())
}

/// The winning rows, with the values that fill them.
fn merge(
    stage: &Stage,
    mut given: SortedFillValues,
    names: &HashMap<i64, Box<str>>,
) -> Result<Stage, IngestError> {
    let mut emptied = stage.emptied()?;
    for piece in stage.batches()? {
        let piece = piece?;
        let rows = whole(stage, &piece, &mut given, names)?;
        let versions: Vec<Option<RowVersion>> = piece.versions().collect();
        for keep_existing in [false, true] {
            let is_chosen = |version: &Option<RowVersion>| {
                version.is_some_and(|version| version.keep_existing == keep_existing)
            };
            let chosen: Vec<RowVersion> = versions
                .iter()
                .filter(|version| is_chosen(version))
                .flatten()
                .copied()
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let mask: BooleanArray = versions
                .iter()
                .map(|version| Some(is_chosen(version)))
                .collect();
            let rows = filter_record_batch(&rows, &mask)
                .map_err(IngestError::rows(stage.def.name, "filtered"))?;
            emptied.add(&rows, keep_existing, |row| chosen[row].order, |_| 0)?;
        }
    }
    emptied.finish()?;
    Ok(emptied)
}

/// The rows of a batch, filled.
fn whole(
    stage: &Stage,
    piece: &StagedBatch<'_>,
    given: &mut SortedFillValues,
    names: &HashMap<i64, Box<str>>,
) -> Result<RecordBatch, IngestError> {
    let failed = IngestError::rows(stage.def.name, "filled");
    let schema = staged_schema(stage.def);
    let mut columns = piece.rows.columns()[..schema.fields().len()].to_vec();
    let picked = picked(stage, piece, given, names)?;
    if let Some(picked) = picked {
        let decoded = given.decode(&picked.values)?;
        let owner: ArrayRef = std::sync::Arc::new(StringArray::from_iter_values(&picked.owner));
        for ((place, picks), decoded) in given.places().iter().zip(&picked.of).zip(decoded) {
            let own = &columns[*place];
            let decoded = cast(&decoded, own.data_type()).map_err(&failed)?;
            let mut sources = vec![own.as_ref(), decoded.as_ref()];
            if schema.field(*place).name() == PERSON {
                sources.push(owner.as_ref());
            }
            columns[*place] = interleave(&sources, picks).map_err(&failed)?;
        }
    }
    RecordBatch::try_new(schema, columns).map_err(failed)
}

/// The origin of each value of a batch: the row itself, a fill value, or the external id of its person.
struct Picked {
    of: Vec<Vec<(usize, usize)>>,
    /// Fill values, encoded as rows.
    values: Vec<Vec<u8>>,
    owner: Vec<String>,
}

fn picked(
    stage: &Stage,
    piece: &StagedBatch<'_>,
    given: &mut SortedFillValues,
    names: &HashMap<i64, Box<str>>,
) -> Result<Option<Picked>, IngestError> {
    let end = u64::from(piece.first) + piece.rows.num_rows() as u64;
    let schema = staged_schema(stage.def);
    let owner_column = schema.index_of(PERSON).map_or(0, bit);
    let places = given.places().to_vec();
    let mut keys = None;
    let mut picked: Option<Picked> = None;
    while let Some(values) = given.next_below(end)? {
        let row = (values[0].value.winner - piece.first) as usize;
        let keys = match &keys {
            Some(keys) => keys,
            None => keys.insert(keys_of(stage.def, &piece.rows)?),
        };
        // Two keys may share a hash.
        let is_of_row = |one: &&StoredFillValue| {
            one.value.rank == LAKE && one.value.key == (keys[row] >> 64) as u64
        };
        let known = values.iter().find(is_of_row).map(|one| one.value.updated);
        let picked = picked.get_or_insert_with(|| Picked {
            of: vec![(0..piece.rows.num_rows()).map(|row| (0, row)).collect(); places.len()],
            values: Vec::new(),
            owner: Vec::new(),
        });
        let mut done: ColumnSet = 0;
        for one in &values {
            let value = &one.value;
            let holds = match (value.rank < LAKE, known) {
                // An older version than the lake's fills nothing.
                (true, Some(known)) => value.updated == UNKNOWN || value.updated >= known,
                (true, None) => true,
                (false, known) => known.is_some(),
            };
            let is_other = value.rank == LAKE && !is_of_row(&one);
            let takes = value.gives & !done;
            if !holds || is_other || takes == 0 {
                continue;
            }
            let pick = if value.rank == OWNER {
                let Some(name) = names.get(&one.number()) else {
                    continue;
                };
                picked.owner.push(String::from(&**name));
                (2, picked.owner.len() - 1)
            } else {
                picked.values.push(given.read(one)?);
                (1, picked.values.len() - 1)
            };
            done |= takes;
            for (place, picks) in places.iter().zip(&mut picked.of) {
                let is_owner = bit(*place) == owner_column;
                if takes & bit(*place) != 0 && (value.rank != OWNER || is_owner) {
                    picks[row] = pick;
                }
            }
        }
    }
    Ok(picked)
}
