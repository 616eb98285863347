//! Rows that were read together, sorted by person.

use std::ops::Range;

use super::spans::Spans;

/// For each row the position of the person and the time, and further values if the rows have them.
#[derive(Debug, Default)]
pub(super) struct Run {
    positions: Vec<u32>,
    times: Vec<i64>,
    /// The times from which rows are visible, if these differ from `times`.
    visible_from: Option<Vec<i64>>,
    amounts: Option<Vec<i128>>,
}

impl Run {
    pub(super) fn push(&mut self, position: usize, at: i64) {
        // `Persons::read` refuses more persons than fit into `u32`.
        self.positions
            .push(u32::try_from(position).unwrap_or(u32::MAX));
        self.times.push(at);
    }

    /// Adds a row with the time from which it is visible, and an amount; either all rows of a run
    /// have an amount or none.
    pub(super) fn push_details(
        &mut self,
        position: usize,
        at: i64,
        visible_from: i64,
        amount: Option<i128>,
    ) {
        self.push(position, at);
        self.visible_from.get_or_insert_default().push(visible_from);
        if let Some(amount) = amount {
            self.amounts.get_or_insert_default().push(amount);
        }
    }

    /// Adds the rows of later persons; these rows have times only.
    pub(super) fn append(&mut self, mut other: Self) {
        self.positions.append(&mut other.positions);
        self.times.append(&mut other.times);
    }

    /// Frees unused memory.
    pub(super) fn shrink_to_fit(mut self) -> Self {
        if self.visible_from.as_ref() == Some(&self.times) {
            self.visible_from = None;
        }
        self.positions.shrink_to_fit();
        self.times.shrink_to_fit();
        self.visible_from.iter_mut().for_each(Vec::shrink_to_fit);
        self.amounts.iter_mut().for_each(Vec::shrink_to_fit);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let amounts = self.amounts.as_deref().map_or(0, size_of_val);
        let visible_from = self.visible_from.as_deref().map_or(0, size_of_val);
        size_of_val(self.positions.as_slice())
            + size_of_val(self.times.as_slice())
            + amounts
            + visible_from
    }

    /// The rows of the persons at positions that `is_included` accepts.
    pub(super) fn filtered(&self, is_included: impl Fn(u32) -> bool) -> Self {
        let (mut some, mut from, mut at) = (Self::default(), 0, 0);
        for rows in self.positions.chunk_by(|one, next| one == next) {
            // Consecutive rows of accepted persons are copied together.
            if !is_included(rows[0]) {
                some.append_rows(self, from..at);
                from = at + rows.len();
            }
            at += rows.len();
        }
        some.append_rows(self, from..at);
        some
    }

    /// The rows of both runs.
    pub(super) fn merged_with(&self, other: &Self) -> Self {
        let (mut all, mut from, mut at) = (Self::default(), 0, 0);
        for rows in other.positions.chunk_by(|one, next| one == next) {
            let until = search_from(&self.positions, from, rows[0]);
            all.append_rows(self, from..until);
            all.append_rows(other, at..at + rows.len());
            (from, at) = (until, at + rows.len());
        }
        all.append_rows(self, from..self.positions.len());
        all
    }

    fn append_rows(&mut self, from: &Self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        // Rows without `visible_from` are visible from their own time.
        if from.visible_from.is_some() && self.visible_from.is_none() {
            self.visible_from = Some(self.times.clone());
        }
        if let Some(visible_from) = &mut self.visible_from {
            let all = from.visible_from.as_ref().unwrap_or(&from.times);
            visible_from.extend_from_slice(&all[rows.clone()]);
        }
        if let Some(amounts) = &from.amounts {
            let known = self.amounts.get_or_insert_default();
            known.extend_from_slice(&amounts[rows.clone()]);
        }
        self.positions
            .extend_from_slice(&from.positions[rows.clone()]);
        self.times.extend_from_slice(&from.times[rows]);
    }

    /// The rows of the persons at `positions`, renumbered 0, 1, 2 and so on.
    pub(super) fn select(&self, positions: &[u32]) -> Self {
        let (mut selected, mut row) = (Self::default(), 0);
        for (number, position) in (0..).zip(positions) {
            let begin = search_from(&self.positions, row, *position);
            let rows = self.positions[begin..].iter();
            row = begin + rows.take_while(|at| *at == position).count();
            selected.append_rows(self, begin..row);
            selected.positions[selected.times.len() - (row - begin)..].fill(number);
        }
        selected
    }

    /// Calls `note` for each row that is visible at `as_of`, lies in the window and belongs to a
    /// person at `positions`, with the index of the person in `positions` and the row.
    pub(super) fn for_each_row(
        &self,
        positions: &Range<usize>,
        [from, until]: [i64; 2],
        as_of: i64,
        mut note: impl FnMut(usize, usize),
    ) {
        let until = until.min(as_of.saturating_add(1));
        let visible_from = self.visible_from.as_deref();
        let all = self.rows_of(positions);
        let rows = self.positions[all.clone()].iter();
        let rows = rows.zip(&self.times[all.clone()]);
        for (row, (position, at)) in all.zip(rows) {
            if (from..until).contains(at)
                && visible_from.is_none_or(|visible_from| visible_from[row] <= as_of)
            {
                note(*position as usize - positions.start, row);
            }
        }
    }

    /// Adds to the count of each person at `positions` the number of rows that are visible at
    /// `as_of` and lie in the window.
    pub(super) fn count(
        &self,
        positions: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
        counts: &mut [i64],
    ) {
        if self.visible_from.is_some() {
            return self.for_each_row(positions, window, as_of, |number, _| counts[number] += 1);
        }
        let [from, until] = [window[0], window[1].min(as_of.saturating_add(1))];
        let all = self.rows_of(positions);
        let rows = self.positions[all.clone()].iter().zip(&self.times[all]);
        for (position, at) in rows {
            // The branch would be mispredicted often: adding zero is faster.
            counts[*position as usize - positions.start] +=
                i64::from((from <= *at) & (*at < until));
        }
    }

    fn rows_of(&self, positions: &Range<usize>) -> Range<usize> {
        let before = |end: usize| self.positions.partition_point(|at| (*at as usize) < end);
        before(positions.start)..before(positions.end)
    }

    /// The positions of persons with rows in the spans; a position may occur more than once.
    pub(super) fn positions_in(&self, spans: &Spans<'_>) -> impl Iterator<Item = u32> {
        let rows = self.times.iter().zip(&self.positions);
        rows.filter_map(|(at, position)| spans.contains(*at).then_some(*position))
    }

    pub(super) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    pub(super) fn amount(&self, row: usize) -> i128 {
        self.amounts.as_ref().map_or(0, |amounts| amounts[row])
    }
}

/// The first index from `from` on with a position of at least `position`; found by doubling steps,
/// since it is usually near.
fn search_from(positions: &[u32], from: usize, position: u32) -> usize {
    let (mut begin, mut step) = (from, 1);
    while positions.get(begin + step).is_some_and(|at| *at < position) {
        begin += step;
        step *= 2;
    }
    let end = (begin + step).min(positions.len());
    begin + positions[begin..end].partition_point(|at| *at < position)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::Run;

    /// Position of the person, time, time from which the row is visible, amount.
    type Row = (usize, i64, i64, i128);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row = (0_usize..40, 0_i64..50, 0_i64..10, -9_i128..9);
        let rows = prop::collection::vec(row, 0..120);
        (rows, any::<bool>()).prop_map(|(mut rows, is_later)| {
            // As rows are read: sorted by person, and either all visible from their own time or
            // some later.
            rows.sort_by_key(|row| row.0);
            for row in &mut rows {
                row.2 = row.1 + if is_later { row.2 } else { 0 };
            }
            rows
        })
    }

    fn run(rows: &[Row]) -> Run {
        let mut run = Run::default();
        for (position, at, visible_from, amount) in rows {
            run.push_details(*position, *at, *visible_from, Some(*amount));
        }
        run.shrink_to_fit()
    }

    /// The rows that a run reports for `positions`: index of the person, time and amount.
    fn given(
        run: &Run,
        positions: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
    ) -> Vec<(usize, i64, i128)> {
        let mut given = Vec::new();
        run.for_each_row(positions, window, as_of, |number, row| {
            given.push((number, run.time(row), run.amount(row)));
        });
        let mut counts = vec![0; positions.len()];
        run.count(positions, window, as_of, &mut counts);
        for (number, count) in counts.into_iter().enumerate() {
            let same = given.iter().filter(|row| row.0 == number).count();
            assert_eq!(usize::try_from(count).unwrap(), same);
        }
        given.sort_unstable();
        given
    }

    proptest! {
        #[test]
        fn filtered_and_merged_runs_report_exactly_their_rows(
            first in rows(),
            second in rows(),
            wanted in prop::collection::btree_set(0_u32..40, 0..20),
            window in [0_i64..50, 0_i64..60],
            as_of in 0_i64..60,
        ) {
            let is_included = |position: u32| wanted.contains(&position);
            let made = run(&first).filtered(|position| !is_included(position)).merged_with(&run(&second));
            let is_cached = |row: &&Row| !is_included(u32::try_from(row.0).unwrap());
            let rows: Vec<Row> = first.iter().filter(is_cached).chain(&second).copied().collect();
            prop_assert_eq!(made.len(), rows.len());
            let is_given = |row: &&Row| (window[0]..window[1]).contains(&row.1) && row.2 <= as_of;
            let expected = |number: &dyn Fn(usize) -> Option<usize>| {
                let rows = rows.iter().filter(is_given);
                let rows = rows.filter_map(|row| Some((number(row.0)?, row.1, row.3)));
                let mut rows: Vec<_> = rows.collect();
                rows.sort_unstable();
                rows
            };
            let near = 10..30;
            let number = |position: usize| near.contains(&position).then(|| position - near.start);
            prop_assert_eq!(given(&made, &near, window, as_of), expected(&number));
            let some: Vec<u32> = wanted.iter().copied().collect();
            let number = |position: usize| some.iter().position(|one| *one as usize == position);
            let selected = made.select(&some);
            prop_assert_eq!(given(&selected, &(0..some.len()), window, as_of), expected(&number));
        }
    }
}
