//! Shares a fixed number of rows out among persons by weight, exactly, without keeping the persons.

/// A number of rows to be shared out: first every weight is announced with [`Allotment::expect`],
/// then the rows are given, and, in the same order, [`Allotment::take`] gives each its share.
#[derive(Debug, Default)]
pub(crate) struct Allotment {
    rows: u64,
    expected_persons: u64,
    expected_weight: u128,
    taken_weight: u128,
    taken_rows: u64,
}

impl Allotment {
    /// The rows to share out, once everybody was announced.
    pub(crate) fn share(&mut self, rows: u64) {
        self.rows = rows;
    }

    pub(crate) fn expect(&mut self, weight: u64) {
        self.expected_persons += 1;
        self.expected_weight += u128::from(weight);
    }

    /// The rows of the next person: what is due to all up to this one, less what was given. Where
    /// nobody has a weight the rows are shared out evenly.
    pub(crate) fn take(&mut self, weight: u64) -> u64 {
        let (weight, whole) = if self.expected_weight == 0 {
            (1, u128::from(self.expected_persons))
        } else {
            (u128::from(weight), self.expected_weight)
        };
        self.taken_weight += weight;
        let due = u128::from(self.rows) * self.taken_weight / whole;
        let due = u64::try_from(due).expect("no more is due than there are rows");
        let share = due - self.taken_rows;
        self.taken_rows = due;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::Allotment;

    fn shares(rows: u64, weights: &[u64]) -> Vec<u64> {
        let mut allotment = Allotment::default();
        weights.iter().for_each(|weight| allotment.expect(*weight));
        allotment.share(rows);
        weights
            .iter()
            .map(|weight| allotment.take(*weight))
            .collect()
    }

    #[test]
    fn gives_every_row_to_somebody_by_weight() {
        assert_eq!(shares(10, &[1, 3, 0, 1]), [2, 6, 0, 2]);
        assert_eq!(shares(7, &[5, 5, 5]).iter().sum::<u64>(), 7);
        assert_eq!(shares(4, &[0, 0]), [2, 2]);
        assert_eq!(shares(0, &[3, 4]), [0, 0]);
    }
}
