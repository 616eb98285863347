//! Filling what the files of a run say nothing about with what is known: from other rows of the run,
//! from the lake, from the vault.
//!
//! It is done before records are linked and rows compared, so that both see whole rows. A run whose
//! rows say all, or whose keys are all new, costs nothing.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch, interleave, take};
use rollbook_lake::{Lake, State};

use crate::IngestError;
use crate::absent::{ColumnSet, bit};
use crate::canonical::{PERSON, staged_schema};
use crate::stage::{Piece, RowVersion, Stage, UNKNOWN, keys_of};

mod gifts;
mod lake;

use gifts::{Gift, Gifts, Given, LAKE, Read, WHOSE};

/// The stage with rows that are whole; `None` where there is nothing to fill in.
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
    let mut gifts = Gifts::new(stage.def, wanted, folder)?;
    from_run(stage, &mut gifts)?;
    let known = lake::Known {
        lake,
        base,
        stage,
        folder,
    };
    let names = known.give(&mut gifts).await?;
    match gifts.finish()? {
        None => Ok(None),
        Some(given) => merge(stage, given, &names).map(Some),
    }
}

/// What other rows of the run say.
fn from_run(stage: &Stage, gifts: &mut Gifts) -> Result<(), IngestError> {
    let mut donors = stage.donors()?.peekable();
    if donors.peek().is_none() {
        return Ok(());
    }
    for piece in stage.pieces()? {
        let piece = piece?;
        let end = u64::from(piece.first) + piece.rows.num_rows() as u64;
        let (mut rows, mut given) = (Vec::new(), Vec::new());
        while let Some(donor) =
            donors.next_if(|next| next.as_ref().map_or(true, |next| u64::from(next.row) < end))
        {
            let donor = donor?;
            rows.push(donor.row - piece.first);
            given.push(Gift {
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
        let columns = gifts
            .places()
            .iter()
            .map(|place| take(piece.rows.column(*place), &rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        gifts.give(&columns, &given)?;
    }
    Ok(())
}

/// The rows that stand, with what is given to them.
fn merge(
    stage: &Stage,
    mut given: Given,
    names: &HashMap<i64, Box<str>>,
) -> Result<Stage, IngestError> {
    let mut renewed = stage.renewed()?;
    for piece in stage.pieces()? {
        let piece = piece?;
        let rows = whole(stage, &piece, &mut given, names)?;
        let slots: Vec<Option<RowVersion>> = piece.slots().collect();
        for keep in [false, true] {
            let is_chosen = |slot: &Option<RowVersion>| slot.is_some_and(|slot| slot.keep == keep);
            let chosen: Vec<RowVersion> = slots
                .iter()
                .filter(|slot| is_chosen(slot))
                .flatten()
                .copied()
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let mask: BooleanArray = slots.iter().map(|slot| Some(is_chosen(slot))).collect();
            let rows = filter_record_batch(&rows, &mask)
                .map_err(IngestError::rows(stage.def.name, "filtered"))?;
            renewed.add(&rows, keep, |row| chosen[row].order, |_| 0)?;
        }
    }
    renewed.finish()?;
    Ok(renewed)
}

/// The rows of a piece as they are put aside, filled.
fn whole(
    stage: &Stage,
    piece: &Piece<'_>,
    given: &mut Given,
    names: &HashMap<i64, Box<str>>,
) -> Result<RecordBatch, IngestError> {
    let failed = IngestError::rows(stage.def.name, "filled");
    let schema = staged_schema(stage.def);
    let mut columns = piece.rows.columns()[..schema.fields().len()].to_vec();
    let picked = picked(stage, piece, given, names)?;
    if let Some(picked) = picked {
        let decoded = given.decode(&picked.values)?;
        let whose: ArrayRef = std::sync::Arc::new(StringArray::from_iter_values(&picked.whose));
        for ((place, picks), decoded) in given.places().iter().zip(&picked.of).zip(decoded) {
            let own = &columns[*place];
            let decoded = cast(&decoded, own.data_type()).map_err(&failed)?;
            let mut sources = vec![own.as_ref(), decoded.as_ref()];
            if schema.field(*place).name() == PERSON {
                sources.push(whose.as_ref());
            }
            columns[*place] = interleave(&sources, picks).map_err(&failed)?;
        }
    }
    RecordBatch::try_new(schema, columns).map_err(failed)
}

/// From where each value of a piece's rows comes: the row itself, what was given, whose it is.
struct Picked {
    of: Vec<Vec<(usize, usize)>>,
    /// Rows that were given, encoded.
    values: Vec<Vec<u8>>,
    whose: Vec<String>,
}

fn picked(
    stage: &Stage,
    piece: &Piece<'_>,
    given: &mut Given,
    names: &HashMap<i64, Box<str>>,
) -> Result<Option<Picked>, IngestError> {
    let end = u64::from(piece.first) + piece.rows.num_rows() as u64;
    let schema = staged_schema(stage.def);
    let whose_set = schema.index_of(PERSON).map_or(0, bit);
    let places = given.places().to_vec();
    let mut keys = None;
    let mut picked: Option<Picked> = None;
    while let Some(gifts) = given.next_below(end)? {
        let row = (gifts[0].gift.winner - piece.first) as usize;
        let keys = match &keys {
            Some(keys) => keys,
            None => keys.insert(keys_of(stage.def, &piece.rows)?),
        };
        // Two keys may share a hash.
        let is_of_row =
            |one: &&Read| one.gift.rank == LAKE && one.gift.key == (keys[row] >> 64) as u64;
        let known = gifts.iter().find(is_of_row).map(|one| one.gift.updated);
        let picked = picked.get_or_insert_with(|| Picked {
            of: vec![(0..piece.rows.num_rows()).map(|row| (0, row)).collect(); places.len()],
            values: Vec::new(),
            whose: Vec::new(),
        });
        let mut done: ColumnSet = 0;
        for one in &gifts {
            let gift = &one.gift;
            let holds = match (gift.rank < LAKE, known) {
                // An older version than the lake's says nothing that holds.
                (true, Some(known)) => gift.updated == UNKNOWN || gift.updated >= known,
                (true, None) => true,
                (false, known) => known.is_some(),
            };
            let is_other = gift.rank == LAKE && !is_of_row(&one);
            let takes = gift.gives & !done;
            if !holds || is_other || takes == 0 {
                continue;
            }
            let pick = if gift.rank == WHOSE {
                let Some(name) = names.get(&one.number()) else {
                    continue;
                };
                picked.whose.push(String::from(&**name));
                (2, picked.whose.len() - 1)
            } else {
                picked.values.push(given.read(one)?);
                (1, picked.values.len() - 1)
            };
            done |= takes;
            for (place, picks) in places.iter().zip(&mut picked.of) {
                let is_whose = bit(*place) == whose_set;
                if takes & bit(*place) != 0 && (gift.rank != WHOSE || is_whose) {
                    picks[row] = pick;
                }
            }
        }
    }
    Ok(picked)
}
