//! Compaction: which files of a table to rewrite as fewer ordered files.
//!
//! The sizes of runs of disjoint files grow geometrically: a run is rewritten together with all smaller
//! ones once these have a quarter of its rows. So a row is rewritten about once whenever the table
//! grows by a factor of four, and a scan merges few runs.

use crate::state::{DataFile, TableState};
use crate::table::ranges::runs;

/// A run is rewritten once the smaller ones together have this share of its rows, as a divisor.
const SHARE: u64 = 4;
/// The largest number of runs. Where there are more, the smallest are rewritten as one.
const MOST_RUNS: usize = 8;
/// Files with at least this number of rows are long.
const LONG: u64 = 256 * 1024;

/// The files to rewrite now; none where rewriting does not pay.
pub fn due(table: &TableState) -> Vec<DataFile> {
    chosen(table, |sizes| {
        let mut smaller = 0;
        let mut take = sizes.len().saturating_sub(MOST_RUNS - 1);
        for (at, size) in sizes.iter().enumerate() {
            if at > 0 && smaller * SHARE >= *size {
                take = take.max(at + 1);
            }
            smaller += size;
        }
        take
    })
}

/// The files to rewrite to make the table one run of long files; none where it is one.
pub fn all(table: &TableState) -> Vec<DataFile> {
    let chosen = chosen(table, <[u64]>::len);
    let is_one_run = runs(&table.files).len() < 2;
    let short = chosen.iter().filter(|file| file.rows < LONG).count();
    if is_one_run && short < 2 {
        return Vec::new();
    }
    chosen
}

/// The files of the smallest runs. `take` gets the sizes of all runs in ascending order, and returns how
/// many of the smallest to take.
fn chosen(table: &TableState, take: impl Fn(&[u64]) -> usize) -> Vec<DataFile> {
    let mut by_size: Vec<(u64, Vec<&DataFile>)> = runs_of(table)
        .into_iter()
        .map(|run| (run.iter().map(|file| file.rows).sum(), run))
        .collect();
    by_size.sort_by_key(|(rows, _)| *rows);
    let sizes: Vec<u64> = by_size.iter().map(|(rows, _)| *rows).collect();
    let files = by_size.into_iter().take(take(&sizes));
    let files: Vec<DataFile> = files
        .flat_map(|(_, run)| run.into_iter().cloned())
        .collect();
    if files.len() < 2 { Vec::new() } else { files }
}

/// The runs of a table. A file without persons is a run of its own.
fn runs_of(table: &TableState) -> Vec<Vec<&DataFile>> {
    let (by_person, others): (Vec<_>, Vec<_>) = table
        .files
        .iter()
        .partition(|file| file.min_person.is_some());
    let by_person: Vec<DataFile> = by_person.into_iter().cloned().collect();
    let named = |file: &DataFile| table.files.iter().find(|known| known.path == file.path);
    runs(&by_person)
        .into_iter()
        .map(|run| run.into_iter().filter_map(named).collect())
        .chain(others.into_iter().map(|file| vec![file]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{all, due};
    use crate::state::{DataFile, TableState};

    fn table(files: &[(i64, i64, u64)]) -> TableState {
        let files = files
            .iter()
            .enumerate()
            .map(|(at, (first, last, rows))| DataFile {
                path: at.to_string(),
                rows: *rows,
                min_person: Some(*first),
                max_person: Some(*last),
                ..DataFile::default()
            });
        TableState {
            version: Some(0),
            files: files.collect(),
            described: None,
        }
    }

    #[test]
    fn small_runs_are_merged_at_a_quarter_of_the_large_one() {
        let mut files = vec![(1, 100, 1_000)];
        assert!(due(&table(&files)).is_empty());
        files.push((5, 90, 100));
        assert!(due(&table(&files)).is_empty());
        files.push((6, 91, 150));
        // The two small runs together have a quarter of the rows of the large one.
        assert_eq!(due(&table(&files)).len(), 3);
        assert_eq!(all(&table(&files)).len(), 3);
        assert!(all(&table(&[(1, 50, 500_000), (51, 99, 500_000)])).is_empty());
    }

    #[test]
    fn rows_are_rewritten_a_logarithmic_number_of_times() {
        let (mut files, mut written, commits) = (Vec::new(), 0, 1_000);
        for _ in 0..commits {
            files.push((1, 100, 100));
            written += 100;
            let chosen = due(&table(&files));
            if !chosen.is_empty() {
                let rows: u64 = chosen.iter().map(|file| file.rows).sum();
                let paths: Vec<usize> = chosen.iter().map(|f| f.path.parse().unwrap()).collect();
                let mut at = 0;
                files.retain(|_| {
                    at += 1;
                    !paths.contains(&(at - 1))
                });
                files.push((1, 100, rows));
                written += rows;
            }
            assert!(files.len() < 12, "{} runs", files.len());
        }
        let amplification = written / (commits * 100);
        assert!(amplification <= 12, "{amplification}");
    }
}
