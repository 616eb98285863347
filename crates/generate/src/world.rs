//! Data that all persons share.

use crate::calendar::Calendar;
use crate::catalog::Catalog;
use crate::dice::{Dice, Stream};

/// What all persons share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) persons: u64,
    pub(crate) organizations: u64,
    pub(crate) calendar: Calendar,
    pub(crate) catalog: Catalog,
    /// How often a lead is heard of in a month, in thousandths, where the usual number of
    /// activities is 1,000.
    pub(crate) idle_rate: u64,
    /// Of 1,000 persons, how many have a second record.
    pub(crate) duplicates_per_mille: u64,
}

impl World {
    pub(crate) fn new(seed: u64, persons: u64, activities: u64, duplicates_per_mille: u64) -> Self {
        // The catalog has a stream of its own: the last number that `Reference` can have.
        let catalog = Catalog::new(&mut Dice::new(seed, Stream::Reference, u64::MAX >> 3));
        Self {
            seed,
            persons,
            organizations: persons / 40,
            calendar: Calendar::new(),
            catalog,
            idle_rate: idle_rate(persons, activities),
            duplicates_per_mille,
        }
    }
}

/// Leads are idle in proportion to all activities, yet never so busy that few asked-for activities
/// would not do: what they do in their first days takes up to four for every person.
fn idle_rate(persons: u64, activities: u64) -> u64 {
    let each = u128::from(activities) * 1_000 / u128::from(persons.max(1));
    let rate = (each / 6).min(each.saturating_sub(4_000) / 2);
    u64::try_from(rate).unwrap_or(u64::MAX).min(1_000_000)
}
