//! Data that all persons share.

use crate::calendar::Calendar;
use crate::catalog::Catalog;
use crate::dice::{Dice, Stream};

/// Data that all persons share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) persons: u64,
    pub(crate) organizations: u64,
    pub(crate) calendar: Calendar,
    pub(crate) catalog: Catalog,
    /// Activities of an idle lead per month, in thousandths, if the usual number of activities is 1,000.
    pub(crate) idle_rate: u64,
    /// Persons per 1,000 who have a second record.
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

/// Idle activities of leads are proportional to all activities, but limited, so that few requested activities
/// suffice: the first days of leads take up to four per person.
fn idle_rate(persons: u64, activities: u64) -> u64 {
    let each = u128::from(activities) * 1_000 / u128::from(persons.max(1));
    let rate = (each / 6).min(each.saturating_sub(4_000) / 2);
    u64::try_from(rate).unwrap_or(u64::MAX).min(1_000_000)
}
