//! Which files of a table are better written as fewer, in order.
//!
//! Runs of disjoint files are kept in sizes that grow by a factor: a run is written anew together
//! with all smaller ones once these are a quarter of it. So a row is written again about once for
//! each factor of four that the table grows by, and a scan merges few runs.

use crate::state::{DataFile, TableState};
use crate::table::ranges::runs;

/// The share of a run that the smaller ones have to reach together, as a divisor.
const SHARE: u64 = 4;
/// Runs that a scan merges at most before the smallest are put together whatever their size.
const MOST_RUNS: usize = 8;
/// Files of this many rows and more are long enough to stand alone.
const LONG: u64 = 256 * 1024;

/// The files that are worth writing anew by now; none where the table is in good order.
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

/// The files that keep the table from being one run of long files; none where it is one.
pub fn all(table: &TableState) -> Vec<DataFile> {
    let chosen = chosen(table, <[u64]>::len);
    let is_one_run = runs(&table.files).len() < 2;
    let short = chosen.iter().filter(|file| file.rows < LONG).count();
    if is_one_run && short < 2 {
        return Vec::new();
    }
    chosen
}

/// The files of as many of the smallest runs as `take` says of their sizes, ascending.
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

/// Files without persons have no ranges: each is a run of its own.
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
        // The two small ones are of one size, and together a quarter of the large one.
        assert_eq!(due(&table(&files)).len(), 3);
        assert_eq!(all(&table(&files)).len(), 3);
        assert!(all(&table(&[(1, 50, 500_000), (51, 99, 500_000)])).is_empty());
    }

    #[test]
    fn rows_are_rewritten_logarithmically_often() {
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
