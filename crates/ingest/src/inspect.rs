//! What a file holds, before there is a mapping for it: types, blanks, distinct values, formats,
//! likely keys; and from that a draft of a mapping.

use arrow::array::AsArray;
use polars::prelude::{DataType as PolarsType, NamedFrom, PlSmallStr, Series};
use rollbook_model::config::BATCH_ROWS;
use serde::Serialize;

use crate::read::{ReadError, Reader, SourceFile};

mod draft;
mod kind;

pub use draft::draft_mapping;
pub use kind::Kind;

/// Examples that are shown of a column.
const EXAMPLES: usize = 3;
/// Reasons of refusal that are shown.
const REASONS: usize = 5;

/// Why a file cannot be profiled.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file has a header and no rows.
    #[error("`{file}` has no rows to look at")]
    NoRows {
        /// The file.
        file: String,
    },
    /// Polars could not count.
    #[error("column `{column}` cannot be profiled: {source}")]
    Profile {
        /// The column.
        column: String,
        /// What Polars said.
        source: polars::error::PolarsError,
    },
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// The file.
    pub file: String,
    /// Rows that were looked at.
    pub rows: usize,
    /// Whether those were all.
    pub complete: bool,
    /// Records that could not be read.
    pub refused: usize,
    /// The first reasons, with their lines.
    pub reasons: Vec<String>,
    /// Columns that tell one row from another, the likeliest first.
    pub keys: Vec<String>,
    /// The columns, in the file's order.
    pub columns: Vec<ColumnProfile>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name in the file.
    pub column: String,
    /// What its values are.
    pub kind: Kind,
    /// Formats of its times, as `strftime` writes them; more than one where they are ambiguous.
    pub formats: Vec<&'static str>,
    /// Share of blank cells, in percent.
    pub blank: f64,
    /// Distinct values.
    pub distinct: usize,
    /// Smallest value as text.
    pub min: Option<String>,
    /// Largest value as text.
    pub max: Option<String>,
    /// Some values, the first that occur.
    pub examples: Vec<String>,
    /// What to mind, such as zeros that a number would lose.
    pub note: Option<String>,
}

/// Profiles the first `max_rows` rows of a file.
pub fn inspect(file: &SourceFile, max_rows: usize) -> Result<Profile, InspectError> {
    let mut reader = Reader::open(file, BATCH_ROWS)?;
    let names = reader.columns().to_vec();
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    let (mut rows, mut refused, mut complete) = (0, Vec::new(), true);
    while let Some(batch) = reader.next_batch(&mut refused)? {
        if rows >= max_rows {
            complete = false;
            break;
        }
        rows += batch.num_rows();
        for (column, values) in cells.iter_mut().zip(batch.columns()) {
            column.extend(
                values
                    .as_string::<i32>()
                    .iter()
                    .map(|cell| cell.map(str::to_owned)),
            );
        }
    }
    if rows == 0 && refused.is_empty() {
        return Err(InspectError::NoRows {
            file: file.label.clone(),
        });
    }
    let profiled = names
        .into_iter()
        .zip(cells)
        .map(|(name, cells)| column(name, &cells));
    let columns = profiled.collect::<Result<Vec<_>, _>>()?;
    let reason = |r: &crate::read::Refused| format!("line {}: {}", r.line, r.reason);
    Ok(Profile {
        file: file.label.clone(),
        rows,
        complete,
        refused: refused.len(),
        reasons: refused.iter().take(REASONS).map(reason).collect(),
        keys: likely_keys(&columns, rows),
        columns,
    })
}

fn column(name: String, cells: &[Option<String>]) -> Result<ColumnProfile, InspectError> {
    let failed = |source| InspectError::Profile {
        column: name.clone(),
        source,
    };
    let series = Series::new(PlSmallStr::from_str(&name), cells);
    let blank = series.null_count();
    let values = series.drop_nulls();
    let distinct = values.n_unique().map_err(&failed)?;
    let casts = |ty: PolarsType| -> Result<bool, InspectError> {
        let cast = values.cast(&ty).map_err(&failed)?;
        Ok(cast.null_count() == 0)
    };
    let texts: Vec<&str> = cells.iter().flatten().map(|cell| cell.trim()).collect();
    let whole = !texts.is_empty() && casts(PolarsType::Int64)?;
    let number = !texts.is_empty() && casts(PolarsType::Float64)?;
    let (kind, formats) = kind::of(&texts, distinct, whole, number);
    let (min, max) = extremes(&values, kind).map_err(&failed)?;
    let mut examples: Vec<String> = Vec::new();
    for text in &texts {
        if examples.len() == EXAMPLES {
            break;
        }
        if !examples.iter().any(|seen| seen == text) {
            examples.push((*text).to_owned());
        }
    }
    let note = kind::note(&texts, kind, &formats);
    let share = 100.0 * blank as f64 / cells.len().max(1) as f64;
    let blank = (share * 10.0).round() / 10.0;
    Ok(ColumnProfile {
        column: name,
        kind,
        formats,
        blank,
        distinct,
        min,
        max,
        examples,
        note,
    })
}

/// Smallest and largest value: by number where they are numbers, else by text.
fn extremes(
    values: &Series,
    kind: Kind,
) -> Result<(Option<String>, Option<String>), polars::error::PolarsError> {
    let ordered = match kind {
        Kind::Integer => values.cast(&PolarsType::Int64)?,
        Kind::Decimal => values.cast(&PolarsType::Float64)?,
        _ => values.clone(),
    };
    let sorted = ordered.sort(Default::default())?;
    let at = |index: usize| -> Result<Option<String>, polars::error::PolarsError> {
        if sorted.is_empty() {
            return Ok(None);
        }
        let value = sorted.get(index)?;
        Ok(Some(
            value
                .get_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        ))
    };
    Ok((at(0)?, at(sorted.len().saturating_sub(1))?))
}

/// All distinct and none blank; names that look like ids first.
fn likely_keys(columns: &[ColumnProfile], rows: usize) -> Vec<String> {
    let mut keys: Vec<_> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| {
            rows > 1
                && column.distinct == rows
                && column.blank == 0.0
                && !matches!(column.kind, Kind::Decimal | Kind::Time)
        })
        .map(|(at, column)| {
            (
                !draft::looks_like_id(&column.column),
                at,
                column.column.clone(),
            )
        })
        .collect();
    keys.sort();
    keys.into_iter().map(|(_, _, name)| name).collect()
}

#[cfg(test)]
mod tests;
