//! Rows that were read together, in order of persons.

use std::ops::Range;

use super::spans::Spans;

/// For each row the place of its person, its time, and more where it takes that.
#[derive(Debug, Default)]
pub(super) struct Run {
    places: Vec<u32>,
    times: Vec<i64>,
    /// From when rows are seen, where that is not their time.
    seen: Option<Vec<i64>>,
    amounts: Option<Vec<i128>>,
}

impl Run {
    pub(super) fn push(&mut self, place: usize, at: i64) {
        // There are no more than fit, or they would not have been read.
        self.places.push(u32::try_from(place).unwrap_or(u32::MAX));
        self.times.push(at);
    }

    /// A row with more than its time; all of a run have the same of that.
    pub(super) fn push_with(&mut self, place: usize, at: i64, seen: i64, amount: Option<i128>) {
        self.push(place, at);
        self.seen.get_or_insert_default().push(seen);
        if let Some(amount) = amount {
            self.amounts.get_or_insert_default().push(amount);
        }
    }

    /// Adds rows of persons who come after; times are all that they have.
    pub(super) fn append(&mut self, mut other: Self) {
        self.places.append(&mut other.places);
        self.times.append(&mut other.times);
    }

    /// Takes no more memory than it needs.
    pub(super) fn shrunk(mut self) -> Self {
        if self.seen.as_ref() == Some(&self.times) {
            self.seen = None;
        }
        self.places.shrink_to_fit();
        self.times.shrink_to_fit();
        self.seen.iter_mut().for_each(Vec::shrink_to_fit);
        self.amounts.iter_mut().for_each(Vec::shrink_to_fit);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let amounts = self.amounts.as_deref().map_or(0, size_of_val);
        let seen = self.seen.as_deref().map_or(0, size_of_val);
        size_of_val(self.places.as_slice()) + size_of_val(self.times.as_slice()) + amounts + seen
    }

    /// The rows of those whose place is wanted.
    pub(super) fn of(&self, is_wanted: impl Fn(u32) -> bool) -> Self {
        let (mut some, mut from, mut at) = (Self::default(), 0, 0);
        for rows in self.places.chunk_by(|one, next| one == next) {
            // Whole stretches of those who are wanted are taken at once.
            if !is_wanted(rows[0]) {
                some.take(self, from..at);
                from = at + rows.len();
            }
            at += rows.len();
        }
        some.take(self, from..at);
        some
    }

    /// The rows of both.
    pub(super) fn with(&self, other: &Self) -> Self {
        let (mut all, mut from, mut at) = (Self::default(), 0, 0);
        for rows in other.places.chunk_by(|one, next| one == next) {
            let until = first_from(&self.places, from, rows[0]);
            all.take(self, from..until);
            all.take(other, at..at + rows.len());
            (from, at) = (until, at + rows.len());
        }
        all.take(self, from..self.places.len());
        all
    }

    fn take(&mut self, from: &Self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        // Those that are seen from their own time on do without.
        if from.seen.is_some() && self.seen.is_none() {
            self.seen = Some(self.times.clone());
        }
        if let Some(seen) = &mut self.seen {
            let all = from.seen.as_ref().unwrap_or(&from.times);
            seen.extend_from_slice(&all[rows.clone()]);
        }
        if let Some(amounts) = &from.amounts {
            let known = self.amounts.get_or_insert_default();
            known.extend_from_slice(&amounts[rows.clone()]);
        }
        self.places.extend_from_slice(&from.places[rows.clone()]);
        self.times.extend_from_slice(&from.times[rows]);
    }

    /// The rows of those at some places, which become the first, the second and so on.
    pub(super) fn picked(&self, places: &[u32]) -> Self {
        let (mut picked, mut row) = (Self::default(), 0);
        for (number, place) in (0..).zip(places) {
            let begin = first_from(&self.places, row, *place);
            let rows = self.places[begin..].iter();
            row = begin + rows.take_while(|at| *at == place).count();
            picked.take(self, begin..row);
            picked.places[picked.times.len() - (row - begin)..].fill(number);
        }
        picked
    }

    /// Goes through the rows of the persons at some places that are seen at `as_of` and fall in a
    /// window: gives `note` the number of the person among these, and the row.
    pub(super) fn each(
        &self,
        places: &Range<usize>,
        [from, until]: [i64; 2],
        as_of: i64,
        mut note: impl FnMut(usize, usize),
    ) {
        let until = until.min(as_of.saturating_add(1));
        let seen = self.seen.as_deref();
        let all = self.rows_of(places);
        let rows = self.places[all.clone()].iter();
        let rows = rows.zip(&self.times[all.clone()]);
        for (row, (place, at)) in all.zip(rows) {
            if (from..until).contains(at) && seen.is_none_or(|seen| seen[row] <= as_of) {
                note(*place as usize - places.start, row);
            }
        }
    }

    /// Adds to the count of each person at some places how many such rows there are.
    pub(super) fn count(
        &self,
        places: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
        counts: &mut [i64],
    ) {
        if self.seen.is_some() {
            return self.each(places, window, as_of, |number, _| counts[number] += 1);
        }
        let [from, until] = [window[0], window[1].min(as_of.saturating_add(1))];
        let all = self.rows_of(places);
        let rows = self.places[all.clone()].iter().zip(&self.times[all]);
        for (place, at) in rows {
            // Whether a row is counted is anybody's guess: adding nothing costs less than a wrong one.
            counts[*place as usize - places.start] += i64::from((from <= *at) & (*at < until));
        }
    }

    fn rows_of(&self, places: &Range<usize>) -> Range<usize> {
        let before = |end: usize| self.places.partition_point(|at| (*at as usize) < end);
        before(places.start)..before(places.end)
    }

    /// The places of those who have rows in spans of time, some more than once.
    pub(super) fn between(&self, spans: &Spans<'_>) -> impl Iterator<Item = u32> {
        let rows = self.times.iter().zip(&self.places);
        rows.filter_map(|(at, place)| spans.contain(*at).then_some(*place))
    }

    pub(super) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    pub(super) fn amount(&self, row: usize) -> i128 {
        self.amounts.as_ref().map_or(0, |amounts| amounts[row])
    }
}

/// The first one that is not below `place`, which is near `from` or after it.
fn first_from(places: &[u32], from: usize, place: u32) -> usize {
    let (mut begin, mut step) = (from, 1);
    while places.get(begin + step).is_some_and(|at| *at < place) {
        begin += step;
        step *= 2;
    }
    let end = (begin + step).min(places.len());
    begin + places[begin..end].partition_point(|at| *at < place)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::Run;

    /// A person's place, a time, when it is seen, and an amount.
    type Row = (usize, i64, i64, i128);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row = (0_usize..40, 0_i64..50, 0_i64..10, -9_i128..9);
        let rows = prop::collection::vec(row, 0..120);
        (rows, any::<bool>()).prop_map(|(mut rows, is_later)| {
            // As it is read: in order of persons, each row seen from its own time on or later.
            rows.sort_by_key(|row| row.0);
            for row in &mut rows {
                row.2 = row.1 + if is_later { row.2 } else { 0 };
            }
            rows
        })
    }

    fn run(rows: &[Row]) -> Run {
        let mut run = Run::default();
        for (place, at, seen, amount) in rows {
            run.push_with(*place, *at, *seen, Some(*amount));
        }
        run.shrunk()
    }

    /// What it gives of some persons: their number among these, with a row's time and amount.
    fn given(
        run: &Run,
        places: &Range<usize>,
        window: [i64; 2],
        as_of: i64,
    ) -> Vec<(usize, i64, i128)> {
        let mut given = Vec::new();
        run.each(places, window, as_of, |number, row| {
            given.push((number, run.time(row), run.amount(row)));
        });
        let mut counts = vec![0; places.len()];
        run.count(places, window, as_of, &mut counts);
        for (number, count) in counts.into_iter().enumerate() {
            let same = given.iter().filter(|row| row.0 == number).count();
            assert_eq!(usize::try_from(count).unwrap(), same);
        }
        given.sort_unstable();
        given
    }

    proptest! {
        #[test]
        fn runs_return_their_rows(
            first in rows(),
            second in rows(),
            wanted in prop::collection::btree_set(0_u32..40, 0..20),
            window in [0_i64..50, 0_i64..60],
            as_of in 0_i64..60,
        ) {
            let is_wanted = |place: u32| wanted.contains(&place);
            let made = run(&first).of(|place| !is_wanted(place)).with(&run(&second));
            let is_kept = |row: &&Row| !is_wanted(u32::try_from(row.0).unwrap());
            let rows: Vec<Row> = first.iter().filter(is_kept).chain(&second).copied().collect();
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
            let number = |place: usize| near.contains(&place).then(|| place - near.start);
            prop_assert_eq!(given(&made, &near, window, as_of), expected(&number));
            let some: Vec<u32> = wanted.iter().copied().collect();
            let number = |place: usize| some.iter().position(|one| *one as usize == place);
            let picked = made.picked(&some);
            prop_assert_eq!(given(&picked, &(0..some.len()), window, as_of), expected(&number));
        }
    }
}
