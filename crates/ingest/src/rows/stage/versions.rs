//! Versions of a row in one run: which one wins, and which ones donate columns that it lacks.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use crate::rows::missing_columns::ColumnSet;

/// A superseded row with columns that the winning row of its key lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Donor {
    pub(crate) row: u32,
    /// The winning row.
    pub(crate) winner: u32,
    /// Its rank among the donors of that row, best first.
    pub(crate) rank: u32,
    /// The columns that are taken from it.
    pub(crate) gives: ColumnSet,
    /// Its `updated_at`.
    pub(crate) updated: i64,
}

/// The key of a winning row, as lookups in the key index need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) hash: u64,
    pub(crate) row: u32,
    /// The number of its set of missing columns.
    pub(crate) absent: u32,
}

/// A row that may win its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowCandidate {
    pub(super) key: [u64; 2],
    pub(super) row: u32,
    /// The number of its set of missing columns.
    pub(super) absent: u32,
    pub(super) deleted: bool,
    pub(super) keep_existing: bool,
    pub(super) updated: i64,
    pub(super) order: u64,
}

impl RowCandidate {
    pub(super) fn of(
        [low, high, row, updated, order]: [u64; 5],
        keep_existing_rows: &RoaringBitmap,
    ) -> Self {
        let (row, absent, deleted) = unpacked(row);
        Self {
            key: [low, high],
            row,
            absent,
            deleted,
            keep_existing: keep_existing_rows.contains(row),
            updated: updated.cast_signed(),
            order,
        }
    }

    /// The version as it is written to the file of keys.
    pub(super) fn entry(&self) -> [u64; 2] {
        [
            self.key[0],
            packed(self.row, self.absent as usize, self.deleted),
        ]
    }
}

/// Orders two rows of one key: the winning one is less.
pub(super) fn by_precedence(a: &RowCandidate, b: &RowCandidate) -> Ordering {
    // One line may give a key twice: the rows of an array of JSON may all stand on one.
    match (a.keep_existing, b.keep_existing) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, true) => (a.order, a.row).cmp(&(b.order, b.row)),
        (false, false) => (b.updated, b.order, b.row).cmp(&(a.updated, a.order, a.row)),
    }
}

/// The row, the number of its set of missing columns, and whether it is retired, packed into one number: 32,
/// 31 and 1 bits.
pub(super) fn packed(row: u32, absent: usize, deleted: bool) -> u64 {
    u64::from(row) | (absent as u64) << 33 | u64::from(deleted) << 32
}

pub(super) fn unpacked(number: u64) -> (u32, u32, bool) {
    (number as u32, (number >> 33) as u32, number >> 32 & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{RowCandidate, by_precedence, packed, unpacked};

    fn row(keep_existing: bool, updated: i64, order: u64) -> RowCandidate {
        RowCandidate {
            key: [0; 2],
            row: 0,
            absent: 0,
            deleted: false,
            keep_existing,
            updated,
            order,
        }
    }

    #[test]
    fn the_winning_row_of_a_key_does_not_depend_on_arrival() {
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
        let wins = |a: usize, b: usize| by_precedence(&rows[a], &rows[b]) == Ordering::Less;
        assert!(wins(2, 0) && wins(0, 1) && wins(1, 3));
    }

    #[test]
    fn packed_numbers_survive_a_round_trip() {
        for number in [(0, 0, false), (7, 1, true), (u32::MAX, (1 << 31) - 1, true)] {
            assert_eq!(
                unpacked(packed(number.0, number.1 as usize, number.2)),
                number
            );
        }
    }
}
