//! Shares rows out among persons by their inclination, exactly and without remembering anyone.

/// What all persons together have for certain, and how much they are inclined to have more.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    certain: u64,
    weight: u128,
}

impl Expected {
    /// Counts a person in: the rows that they have whatever is asked for, and the weight by which
    /// they share in the rest.
    pub(crate) fn add(&mut self, certain: u64, weight: u64) {
        self.certain += certain;
        self.weight += u128::from(weight);
    }

    /// The fewest rows that can be asked for.
    pub(crate) fn certain(&self) -> u64 {
        self.certain
    }

    /// Prepares to share out `rows`, which are not fewer than the certain ones.
    pub(crate) fn share_out(&self, rows: u64) -> Allotment {
        Allotment {
            rows: rows - self.certain,
            weight: self.weight,
            taken_rows: 0,
            taken_weight: 0,
        }
    }
}

/// Rows to be shared out. Every person is counted by [`Expected::add`] first; then, in the same
/// order, [`Allotment::take`] gives each their share.
#[derive(Debug)]
pub(crate) struct Allotment {
    /// The rows that are not certain.
    rows: u64,
    weight: u128,
    taken_rows: u64,
    taken_weight: u128,
}

impl Allotment {
    /// The rows of the next person: the certain ones, and of the others what is due to all up to
    /// this one, less what was given.
    pub(crate) fn take(&mut self, certain: u64, weight: u64) -> u64 {
        self.taken_weight += u128::from(weight);
        let due = u128::from(self.rows) * self.taken_weight;
        let due = due.checked_div(self.weight).unwrap_or(0);
        let due = u64::try_from(due).expect("no more is due than there are rows");
        let share = due - self.taken_rows;
        self.taken_rows = due;
        certain + share
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    fn shares(rows: u64, persons: &[(u64, u64)]) -> Vec<u64> {
        let mut expected = Expected::default();
        for (certain, weight) in persons {
            expected.add(*certain, *weight);
        }
        let mut allotment = expected.share_out(rows);
        persons
            .iter()
            .map(|(certain, weight)| allotment.take(*certain, *weight))
            .collect()
    }

    #[test]
    fn rows_are_allotted_by_weight() {
        assert_eq!(shares(10, &[(0, 1), (0, 3), (0, 0), (0, 1)]), [2, 6, 0, 2]);
        assert_eq!(shares(7, &[(0, 5), (0, 5), (0, 5)]).iter().sum::<u64>(), 7);
        assert_eq!(shares(0, &[(0, 3), (0, 4)]), [0, 0]);
    }

    #[test]
    fn certain_rows_come_on_top_of_the_share() {
        assert_eq!(shares(12, &[(1, 1), (4, 0), (1, 2)]), [3, 4, 5]);
        assert_eq!(shares(6, &[(1, 1), (4, 0), (1, 2)]), [1, 4, 1]);
    }
}
