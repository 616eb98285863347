//! Profile of a file that has no mapping yet: types, blanks, distinct values, formats, likely keys; and a
//! draft of a mapping made from it.

use rollbook_model::config::BATCH_ROWS;
use rollbook_read::{ReadError, Reader, Refused, SourceFile};
use serde::Serialize;

use crate::mapping::numbers::NumberStyle;

mod counts;
mod deal_status;
mod draft;
mod kind;
mod names;
mod notes;
mod personal;
mod text;
mod times;

pub use draft::draft_mapping;
pub use kind::ColumnKind;

use counts::Counts;

/// Examples shown per column.
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
    #[error("`{file}` has no rows to profile")]
    NoRows {
        /// The file.
        file: String,
    },
}

/// The profile of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// The file.
    pub file: String,
    /// The number of profiled rows.
    pub rows: usize,
    /// Whether these are all rows; else the profile is of the beginning of the file.
    pub complete: bool,
    /// Records among them that could not be read.
    pub refused: usize,
    /// The first reasons, with their lines.
    pub reasons: Vec<String>,
    /// Likely key columns, the likeliest first.
    pub keys: Vec<String>,
    /// The columns, in the file's order.
    pub columns: Vec<ColumnProfile>,
}

/// The profile of a column. Values are trimmed first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name in the file.
    pub column: String,
    /// The kind of its values.
    pub kind: ColumnKind,
    /// Formats of its times, as `strftime` writes them, the most frequent first.
    pub formats: Vec<&'static str>,
    /// Whether in each of its dates the day could as well be the month.
    pub day_or_month: bool,
    /// A sample of its numbers, if they have a decimal comma.
    pub numbers: Option<&'static str>,
    /// Whether some of its numbers begin with zeros, which a number would lose.
    pub leading_zeros: bool,
    /// Share of blank cells, in percent.
    pub blank: f64,
    /// Distinct values.
    pub distinct: usize,
    /// Smallest number, earliest time, or first text in order.
    pub min: Option<String>,
    /// Largest number, latest time, or last text in order.
    pub max: Option<String>,
    /// Characters of the shortest value.
    pub shortest: Option<u32>,
    /// Characters of the longest value.
    pub longest: Option<u32>,
    /// Some values, the first that occur.
    pub examples: Vec<String>,
    /// Keys in its JSON whose values identify persons.
    pub personal: Vec<String>,
    /// A remark, such as on leading zeros that a number would lose.
    pub note: Option<String>,
}

/// Profiles the first `max_rows` rows of a file, at least one.
///
/// # Errors
/// The file cannot be read, or has neither rows nor records that were refused.
pub fn inspect(file: &SourceFile, max_rows: usize) -> Result<Profile, InspectError> {
    let max_rows = max_rows.max(1);
    let mut reader = Reader::open(file, BATCH_ROWS.min(max_rows))?;
    let names = reader.columns().to_vec();
    let mut counts: Vec<_> = names.iter().map(|_| Counts::default()).collect();
    let (mut refused, mut complete, mut rows) = (Vec::new(), true, 0);
    while let Some(batch) = reader.next_batch(&mut refused)? {
        let room = max_rows - rows;
        let batch_rows = batch.num_rows().min(room);
        Counts::add(&mut counts, &batch.slice(0, batch_rows));
        rows += batch_rows;
        if batch.num_rows() > room {
            complete = false;
            break;
        }
    }
    if rows == 0 && refused.is_empty() {
        return Err(InspectError::NoRows {
            file: file.label.clone(),
        });
    }
    let columns: Vec<_> = names
        .into_iter()
        .zip(&counts)
        .map(|(name, counts)| column(name, counts, rows))
        .collect();
    let reason = |refused: &Refused| format!("line {}: {}", refused.line, refused.reason);
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

fn column(name: String, counts: &Counts, rows: usize) -> ColumnProfile {
    let values: Vec<_> = counts
        .values
        .iter()
        .map(|(text, rows)| (text.as_str(), *rows))
        .collect();
    let (kind, times) = kind::of(&values);
    let formats: Vec<_> = times
        .iter()
        .flat_map(|times| &times.formats)
        .map(|seen| seen.format)
        .collect();
    let style = kind::style(&values);
    let has_comma = kind::has_comma(&values, kind);
    let personal = match kind {
        ColumnKind::Json => personal::keys(&values),
        _ => Vec::new(),
    };
    let (min, max) = extremes(&values, kind, &formats, style);
    let lengths = counts.lengths();
    let share = 100.0 * counts.blank as f64 / rows.max(1) as f64;
    ColumnProfile {
        column: name,
        kind,
        day_or_month: times.as_ref().is_some_and(|times| times.day_or_month),
        numbers: has_comma.then(|| style.sample()),
        leading_zeros: kind == ColumnKind::Integer && notes::has_leading_zeros(&values),
        blank: (share * 10.0).round() / 10.0,
        distinct: values.len(),
        min,
        max,
        shortest: lengths.map(|(shortest, _)| shortest),
        longest: lengths.map(|(_, longest)| longest),
        examples: values
            .iter()
            .take(EXAMPLES)
            .map(|(text, _)| (*text).to_owned())
            .collect(),
        note: notes::note(&values, kind, times.as_ref(), &personal),
        personal,
        formats,
    }
}

/// Smallest and largest value, as the file writes them.
fn extremes(
    values: &[(&str, usize)],
    kind: ColumnKind,
    formats: &[&str],
    style: NumberStyle,
) -> (Option<String>, Option<String>) {
    let order = |text: &str| match kind {
        ColumnKind::Integer | ColumnKind::Decimal => kind::number(text, style).unwrap_or(f64::NAN),
        ColumnKind::Date | ColumnKind::Time => times::seconds(text, formats).unwrap_or(f64::NAN),
        _ => 0.0,
    };
    let mut keyed: Vec<_> = values
        .iter()
        .map(|(text, _)| (order(text), *text))
        .collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    let text = |found: Option<&(f64, &str)>| found.map(|(_, text)| (*text).to_owned());
    (text(keyed.first()), text(keyed.last()))
}

/// Columns whose values are distinct and never blank; names that look like ids come first. If there is only
/// one row, only the names count.
fn likely_keys(columns: &[ColumnProfile], rows: usize) -> Vec<String> {
    let may_be_key = |column: &&ColumnProfile| {
        let measure = matches!(
            column.kind,
            ColumnKind::Decimal | ColumnKind::Date | ColumnKind::Time | ColumnKind::Json
        );
        let tells = rows > 1 || names::looks_like_id(&column.column);
        tells && column.distinct == rows && !measure
    };
    let mut keys: Vec<_> = columns
        .iter()
        .filter(may_be_key)
        .map(|c| c.column.clone())
        .collect();
    keys.sort_by_key(|name| !names::looks_like_id(name));
    keys
}

#[cfg(test)]
mod tests;
