//! Distributes rows among persons by weight, exactly and in constant memory.

/// Mandatory rows and weights, summed over all persons.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    certain: u64,
    weight: u128,
}

impl Expected {
    /// Adds a person: the number of their mandatory rows, and their weight for the other rows.
    pub(crate) fn add(&mut self, certain: u64, weight: u64) {
        self.certain += certain;
        self.weight += u128::from(weight);
    }

    /// The number of mandatory rows.
    pub(crate) fn certain(&self) -> u64 {
        self.certain
    }

    /// Prepares to distribute `rows` rows, at least as many as are mandatory.
    pub(crate) fn share_out(&self, rows: u64) -> Allotment {
        Allotment {
            rows: rows - self.certain,
            weight: self.weight,
            taken_rows: 0,
            taken_weight: 0,
        }
    }
}

/// Rows to distribute. Every person is added by [`Expected::add`] first; then, in the same order,
/// [`Allotment::take`] returns the rows of each.
#[derive(Debug)]
pub(crate) struct Allotment {
    /// Rows beyond the mandatory ones.
    rows: u64,
    weight: u128,
    taken_rows: u64,
    taken_weight: u128,
}

impl Allotment {
    /// The number of rows of the next person: the mandatory ones, plus the cumulative share of all persons up
    /// to this one less the rows already given.
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
    fn all_rows_are_distributed_by_weight() {
        assert_eq!(shares(10, &[(0, 1), (0, 3), (0, 0), (0, 1)]), [2, 6, 0, 2]);
        assert_eq!(shares(7, &[(0, 5), (0, 5), (0, 5)]).iter().sum::<u64>(), 7);
        assert_eq!(shares(0, &[(0, 3), (0, 4)]), [0, 0]);
    }

    #[test]
    fn mandatory_rows_come_on_top_of_the_share() {
        assert_eq!(shares(12, &[(1, 1), (4, 0), (1, 2)]), [3, 4, 5]);
        assert_eq!(shares(6, &[(1, 1), (4, 0), (1, 2)]), [1, 4, 1]);
    }
}
