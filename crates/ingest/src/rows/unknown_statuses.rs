//! Statuses that no built-in query knows: reported, since such rows count as something else than their
//! source means, mostly as nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rows::canonical::status_words;
use crate::rows::stage::Stage;

/// Rows with a status that built-in queries do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownStatus {
    /// The table.
    pub table: String,
    /// The column, mostly `status`.
    pub column: String,
    /// The status, in its normal form.
    pub status: String,
    /// Rows of the run that have it.
    pub rows: u64,
    /// What they count as; `nothing` for most.
    pub counts_as: String,
}

/// The unknown statuses of a run, the most common of each table first.
pub(crate) fn of_run(stages: &[Stage]) -> Vec<UnknownStatus> {
    of_files(stages, |_| true)
}

/// The unknown statuses of the file with index `place`.
pub(crate) fn of_file(stages: &[Stage], place: u64) -> Vec<UnknownStatus> {
    of_files(stages, |file| file == place)
}

fn of_files(stages: &[Stage], is_asked: impl Fn(u64) -> bool) -> Vec<UnknownStatus> {
    let each = stages.iter().filter_map(|stage| {
        let (column, words) = status_words::counted(stage.def.name)?;
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for ((file, status), count) in &stage.unknown {
            if is_asked(*file) {
                *rows.entry(status).or_default() += count;
            }
        }
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|(status, rows)| UnknownStatus {
                table: stage.def.name.to_owned(),
                column: column.to_owned(),
                status: status.to_owned(),
                rows,
                counts_as: words.otherwise.unwrap_or_default().to_owned(),
            })
            .collect();
        found.sort_by_key(|unknown| Reverse(unknown.rows));
        Some(found)
    });
    each.flatten().collect()
}
