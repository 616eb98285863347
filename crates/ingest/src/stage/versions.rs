//! Versions of a row in one run: which of them stands, and which says what that one does not.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::absent::ColumnSet;

/// A row of a run that says what the row that stands for its key says nothing about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Donor {
    pub(crate) row: u32,
    /// The row that stands.
    pub(crate) winner: u32,
    /// Its place among the donors of that row.
    pub(crate) rank: u32,
    /// The columns that are to be taken from it.
    pub(crate) gives: ColumnSet,
    /// When it was changed.
    pub(crate) updated: i64,
}

/// A key of a row that stands, as the index of keys wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u64,
    pub(crate) row: u32,
    /// The number of its set of absent columns.
    pub(crate) absent: u32,
}

/// A row that may be the latest of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: [u64; 2],
    pub(super) row: u32,
    /// The number of its set of absent columns.
    pub(super) absent: u32,
    pub(super) deleted: bool,
    pub(super) keep: bool,
    pub(super) updated: i64,
    pub(super) order: u64,
}

impl Candidate {
    pub(super) fn of([low, high, row, updated, order]: [u64; 5], keeping: &RoaringBitmap) -> Self {
        let (row, absent, deleted) = unpacked(row);
        Self {
            key: [low, high],
            row,
            absent,
            deleted,
            keep: keeping.contains(row),
            updated: updated.cast_signed(),
            order,
        }
    }

    /// As the index of keys has it.
    pub(super) fn entry(&self) -> [u64; 2] {
        [
            self.key[0],
            packed(self.row, self.absent as usize, self.deleted),
        ]
    }
}

/// Of two rows of a key, the one that stands before the other.
pub(super) fn by_precedence(a: &Candidate, b: &Candidate) -> Ordering {
    // One line may give a key twice: the rows of an array of JSON may all stand on one.
    match (a.keep, b.keep) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, true) => (a.order, a.row).cmp(&(b.order, b.row)),
        (false, false) => (b.updated, b.order, b.row).cmp(&(a.updated, a.order, a.row)),
    }
}

/// Row, number of a set of columns and whether the row is retired as one number: 32, 31 and 1 bits.
pub(super) fn packed(row: u32, absent: usize, deleted: bool) -> u64 {
    u64::from(row) | (absent as u64) << 33 | u64::from(deleted) << 32
}

pub(super) fn unpacked(number: u64) -> (u32, u32, bool) {
    (number as u32, (number >> 33) as u32, number >> 32 & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{Candidate, by_precedence, packed, unpacked};

    fn row(keep: bool, updated: i64, order: u64) -> Candidate {
        Candidate {
            key: [0; 2],
            row: 0,
            absent: 0,
            deleted: false,
            keep,
            updated,
            order,
        }
    }

    #[test]
    fn winning_row_does_not_depend_on_arrival() {
        let rows = [
            row(false, 5, 1),
            row(false, 3, 9),
            row(false, 5, 2),
            row(true, 9, 0),
            row(true, 9, 7),
        ];
        for a in &rows {
            for b in rows.iter().filter(|b| *b != a) {
                let (one, other) = (by_precedence(a, b), by_precedence(b, a));
                assert!(
                    one != Ordering::Equal && one == other.reverse(),
                    "{a:?} and {b:?}"
                );
            }
        }
        let stands = |a: usize, b: usize| by_precedence(&rows[a], &rows[b]) == Ordering::Less;
        assert!(stands(2, 0) && stands(0, 1) && stands(1, 3));
    }

    #[test]
    fn packed_version_round_trips() {
        for number in [(0, 0, false), (7, 1, true), (u32::MAX, (1 << 31) - 1, true)] {
            assert_eq!(
                unpacked(packed(number.0, number.1 as usize, number.2)),
                number
            );
        }
    }
}
