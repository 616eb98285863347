//! How the files of a table lie over the persons: disjoint runs, and the ranges that scans share.
//!
//! A file's rows are in order of person and time, and so are its row groups, which end where a
//! person ends. Files that do not overlap form a run, which is read as one ordered stream. A table
//! right after a load or a compaction is one run; every small commit may add another.

use crate::state::DataFile;

/// The rows from which on one more range pays.
const ROWS_OF_A_RANGE: u64 = 64 * 1024;

/// Where row groups begin, over all tables of a snapshot: from these points on a scan may be cut
/// without reading a row group twice. Tables that are cut at the same points join without being
/// partitioned anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CutPoints {
    /// The first person of a row group, and its rows; in order.
    groups: Vec<(i64, u64)>,
}

impl CutPoints {
    /// The points of these files.
    pub fn of<'a>(files: impl Iterator<Item = &'a DataFile>) -> Self {
        let mut groups = Vec::new();
        for file in files {
            let count = file.groups.len().max(1) as u64;
            let firsts = file.groups.iter().map(|[first, _]| *first);
            let whole = file.min_person.filter(|_| file.groups.is_empty());
            groups.extend(firsts.chain(whole).map(|first| (first, file.rows / count)));
        }
        groups.sort_unstable();
        Self { groups }
    }

    /// The first persons of the second to the last range, of at most `ranges` that hold about the
    /// same number of rows.
    pub(crate) fn split(&self, ranges: usize) -> Vec<i64> {
        let total: u64 = self.groups.iter().map(|(_, rows)| rows).sum();
        let ranges = (ranges as u64).min(total / ROWS_OF_A_RANGE).max(1);
        let mut splits = Vec::new();
        let mut before = 0;
        for (first, rows) in &self.groups {
            let begun = splits.len() as u64 + 1;
            if begun < ranges
                && before * ranges >= begun * total
                && splits.last().is_none_or(|last| last < first)
                && self.groups[0].0 < *first
            {
                splits.push(*first);
            }
            before += rows;
        }
        splits
    }
}

/// The files as few runs of disjoint files, each in order of persons.
pub fn runs(files: &[DataFile]) -> Vec<Vec<&DataFile>> {
    let mut ordered: Vec<&DataFile> = files.iter().collect();
    ordered.sort_by_key(|file| (file.min_person, file.max_person));
    let mut runs: Vec<Vec<&DataFile>> = Vec::new();
    for file in ordered {
        let follows = |run: &&mut Vec<&DataFile>| {
            let last = run.last().and_then(|last| last.max_person);
            last < file.min_person
        };
        match runs.iter_mut().find(follows) {
            Some(run) => run.push(file),
            None => runs.push(vec![file]),
        }
    }
    runs
}

/// The row groups of a file that may hold persons from `from` on and below `to`, one flag each;
/// `None` where the file does not tell them apart.
pub(crate) fn groups_between(file: &DataFile, from: i64, to: i64) -> Option<Vec<bool>> {
    let inside = |[first, last]: &[i64; 2]| *last >= from && *first < to;
    (!file.groups.is_empty()).then(|| file.groups.iter().map(inside).collect())
}

/// Whether a file may hold persons from `from` on and below `to`.
pub(crate) fn overlaps(file: &DataFile, from: i64, to: i64) -> bool {
    file.max_person.is_none_or(|last| last >= from)
        && file.min_person.is_none_or(|first| first < to)
}

#[cfg(test)]
mod tests {
    use super::{CutPoints, groups_between, runs};
    use crate::state::DataFile;

    fn file(first: i64, last: i64, rows: u64) -> DataFile {
        DataFile {
            path: format!("{first}-{last}"),
            rows,
            min_person: Some(first),
            max_person: Some(last),
            groups: vec![[first, last]],
            ..DataFile::default()
        }
    }

    #[test]
    fn runs_are_disjoint_and_hold_every_file() {
        let files = [
            file(1, 5, 10),
            file(6, 9, 10),
            file(2, 3, 10),
            file(5, 6, 10),
            file(7, 7, 10),
        ];
        let runs = runs(&files);
        assert_eq!(runs.len(), 2);
        assert_eq!(runs.iter().map(Vec::len).sum::<usize>(), files.len());
        for run in runs {
            assert!(
                run.windows(2)
                    .all(|two| two[0].max_person < two[1].min_person)
            );
        }
    }

    #[test]
    fn ranges_hold_about_the_same_rows() {
        let files: Vec<_> = (0..10).map(|n| file(n * 10, n * 10 + 9, 100_000)).collect();
        let points = CutPoints::of(files.iter());
        assert_eq!(points.split(2), [50]);
        assert_eq!(points.split(5), [20, 40, 60, 80]);
        assert!(points.split(1).is_empty());
        assert!(CutPoints::of([file(1, 9, 100)].iter()).split(4).is_empty());
        let one_person = [file(1, 1, 1_000_000), file(1, 1, 1_000_000)];
        assert!(CutPoints::of(one_person.iter()).split(4).is_empty());
    }

    #[test]
    fn groups_outside_are_left_out() {
        let mut file = file(1, 30, 30);
        file.groups = vec![[1, 10], [11, 20], [21, 30]];
        assert_eq!(
            groups_between(&file, 11, 21),
            Some(vec![false, true, false])
        );
        assert_eq!(groups_between(&file, 10, 12), Some(vec![true, true, false]));
    }
}
