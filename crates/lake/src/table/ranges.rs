//! How the files of a table lie over the persons: disjoint runs, and the ranges that scans share.
//!
//! A file's rows are in order of person and time, and so are its row groups, which end where a
//! person ends. Files that do not overlap form a run, which is read as one ordered stream. A table
//! right after a load or a compaction is one run; every small commit may add another.

use roaring::RoaringTreemap;

use crate::state::DataFile;

/// The rows from which on one more range pays.
const ROWS_OF_A_RANGE: u64 = 64 * 1024;

/// Where row groups begin, over all tables of a snapshot: from these points on a scan may be cut
/// without reading a row group twice. Tables that are cut at the same points join without being
/// partitioned anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SplitPoints {
    /// The first person of a row group, and its rows; in order.
    groups: Vec<(i64, u64)>,
}

impl SplitPoints {
    /// The points of these files.
    pub fn of<'a>(files: impl Iterator<Item = &'a DataFile>) -> Self {
        Self::among(files, None)
    }

    /// The points of the row groups that may hold some of `persons`, or of all of them.
    pub fn among<'a>(
        files: impl Iterator<Item = &'a DataFile>,
        persons: Option<&RoaringTreemap>,
    ) -> Self {
        let mut groups = Vec::new();
        for file in files {
            let count = file.groups.len().max(1) as u64;
            let whole = file.min_person.zip(file.max_person);
            let whole = whole.filter(|_| file.groups.is_empty());
            let ranges = file.groups.iter().copied();
            let ranges = ranges.chain(whole.map(|(first, last)| [first, last]));
            let wanted = ranges.filter(|range| persons.is_none_or(|some| holds_some(*range, some)));
            groups.extend(wanted.map(|[first, _]| (first, file.rows / count)));
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

/// Whether a range of ids, its ends included, has one of `persons`.
fn holds_some([first, last]: [i64; 2], persons: &RoaringTreemap) -> bool {
    let first = u64::try_from(first).unwrap_or(0);
    let mut from = persons.iter();
    from.advance_to(first);
    from.next().is_some_and(|next| next.cast_signed() <= last)
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

/// The row groups of a file that may hold persons from `from` on and below `to`, and of these some
/// of `persons`, one flag each; `None` where the file does not tell them apart.
pub(crate) fn groups_between(
    file: &DataFile,
    from: i64,
    to: i64,
    persons: Option<&RoaringTreemap>,
) -> Option<Vec<bool>> {
    let inside = |[first, last]: &[i64; 2]| {
        *last >= from
            && *first < to
            && persons.is_none_or(|persons| holds_some([*first, *last], persons))
    };
    (!file.groups.is_empty()).then(|| file.groups.iter().map(inside).collect())
}

/// Whether a file may hold persons from `from` on and below `to`.
pub(crate) fn overlaps(file: &DataFile, from: i64, to: i64) -> bool {
    file.max_person.is_none_or(|last| last >= from)
        && file.min_person.is_none_or(|first| first < to)
}

#[cfg(test)]
mod tests {
    use super::{SplitPoints, groups_between, runs};
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
        let points = SplitPoints::of(files.iter());
        assert_eq!(points.split(2), [50]);
        assert_eq!(points.split(5), [20, 40, 60, 80]);
        assert!(points.split(1).is_empty());
        assert!(
            SplitPoints::of([file(1, 9, 100)].iter())
                .split(4)
                .is_empty()
        );
        let one_person = [file(1, 1, 1_000_000), file(1, 1, 1_000_000)];
        assert!(SplitPoints::of(one_person.iter()).split(4).is_empty());
    }

    #[test]
    fn row_groups_outside_the_range_are_skipped() {
        let mut file = file(1, 30, 30);
        file.groups = vec![[1, 10], [11, 20], [21, 30]];
        assert_eq!(
            groups_between(&file, 11, 21, None),
            Some(vec![false, true, false])
        );
        assert_eq!(
            groups_between(&file, 10, 12, None),
            Some(vec![true, true, false])
        );
    }
}
