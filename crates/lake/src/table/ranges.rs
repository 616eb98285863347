//! Ranges of persons: runs of disjoint files, and the split points that scans share.
//!
//! The rows and row groups of a file are in order of person and time, and a row group ends where the
//! rows of a person end. Files whose persons do not overlap form a run, which is read as one ordered
//! stream. A table is one run after a load or a compaction; every small commit may add another.

use roaring::RoaringTreemap;

use crate::state::DataFile;

/// The smallest number of rows of a range.
const ROWS_OF_A_RANGE: u64 = 64 * 1024;

/// The first persons of the row groups of a snapshot's tables. A scan that is split at these points
/// reads each row group once. Tables split at the same points join without repartitioning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SplitPoints {
    /// The first person and the number of rows of each row group, in order.
    groups: Vec<(i64, u64)>,
}

impl SplitPoints {
    /// The split points of files.
    pub fn of<'a>(files: impl Iterator<Item = &'a DataFile>) -> Self {
        Self::among(files, None)
    }

    /// The split points of the row groups that may hold one of `persons`; of all for `None`.
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

    /// Splits the rows into at most `ranges` ranges of about the same size. Returns the first person of
    /// each range but the first.
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

/// Whether a range of ids, with both ends, contains one of `persons`.
fn holds_some([first, last]: [i64; 2], persons: &RoaringTreemap) -> bool {
    let first = u64::try_from(first).unwrap_or(0);
    let mut from = persons.iter();
    from.advance_to(first);
    from.next().is_some_and(|next| next.cast_signed() <= last)
}

/// Arranges files in few runs of disjoint files, each in order of persons.
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

/// For each row group of a file whether it may hold a person from `from` on and before `to`, and where
/// `persons` is given, one of these. `None` where the persons of the row groups are not known.
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

/// Whether a file may hold persons from `from` on and before `to`.
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
