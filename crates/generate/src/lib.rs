//! Writes a business that never was, in rollbook's own columns, the same bytes for the same seed.
//!
//! A run goes over the persons twice. The first pass adds up how much each of them is inclined to
//! order, to act and to negotiate; the second shares the asked-for rows out by that inclination and
//! writes them. Every person draws from a random stream of their own, nothing is kept between two
//! persons, and so memory does not grow with the size of the data. All that happens lies between
//! 2024-01-01 and 2025-12-31. There is no clock and no floating point function that differs between
//! machines (only the four operations and the square root, which IEEE 754 defines to the bit).

use std::path::PathBuf;

use rollbook_model::Timestamp;

mod allotment;
mod calendar;
mod catalog;
mod countries;
mod dice;
mod error;
mod output;
mod person;
mod profile;
mod reference;
#[cfg(test)]
mod tests;
mod truth;

pub use error::GenerateError;

use allotment::Allotment;
use dice::{Dice, Stream};
use output::Output;
use person::World;
use truth::Truth;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Persons to make up.
    pub persons: u64,
    /// The number that everything follows from.
    pub seed: u64,
    /// The kind of files to write.
    pub format: Format,
    /// The folder to write them to; it is created, and files of the same names are replaced.
    pub out: PathBuf,
    /// Orders in all; by default three for every two persons.
    pub orders: Option<u64>,
    /// Activities in all; by default six for every person.
    pub activities: Option<u64>,
    /// Deals in all; by default one for every ten persons.
    pub deals: Option<u64>,
    /// Whether to write what the data were made from, to `truth/` in the same folder.
    pub truth: bool,
}

/// The kind of files to write. Both hold the same rows in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated text with a header, in UTF-8.
    Csv,
    /// Parquet with the types of the canonical tables; lists are comma-separated text.
    Parquet,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The files, in the order of the canonical tables.
    pub files: Vec<WrittenFile>,
    /// The time of the last fact; `None` where there is none.
    pub last_event: Option<Timestamp>,
}

/// One file of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// The canonical table, which is also the file's name without its extension.
    pub table: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Generates the files that `options` asks for.
///
/// The numbers of persons, orders, activities and deals are met exactly; order lines, refunds and
/// tickets follow from them. Customers buy as they join; a lead shows in the first three days what
/// they are after, and decides in the sixty days that follow. Where fewer orders or activities are
/// asked for than these stories need, the rows are shared out by inclination alone.
///
/// # Errors
///
/// When orders, activities or deals are asked for without a person to have them, and when the
/// folder cannot be written.
pub fn generate(options: &Options) -> Result<Summary, GenerateError> {
    let persons = options.persons;
    let orders = options.orders.unwrap_or(persons + persons / 2);
    let activities = options.activities.unwrap_or(persons * 6);
    let deals = options.deals.unwrap_or(persons / 10);
    for (what, rows) in [
        ("orders", orders),
        ("activities", activities),
        ("deals", deals),
    ] {
        if persons == 0 && rows > 0 {
            return Err(GenerateError::NobodyToHaveThem { what, rows });
        }
    }

    let world = World::new(options.seed, persons);
    let mut order_shares = Allotment::default();
    let mut activity_shares = Allotment::default();
    let mut deal_shares = Allotment::default();
    // Rows that a story cannot do without: first orders, and what leads do at first.
    let (mut first_orders, mut first_acts) = (0, 0);
    for number in 0..persons {
        let profile = world.profile(number);
        first_orders += u64::from(profile.first_order_at().is_some());
        first_acts += profile
            .courtship
            .map_or(0, |courtship| courtship.activities());
        order_shares.expect(profile.order_weight);
        activity_shares.expect(profile.activity_weight);
        deal_shares.expect(profile.deal_weight);
    }

    let is_enough = orders >= first_orders && activities >= first_acts;
    if options.truth && !is_enough {
        return Err(GenerateError::TooFewForTruth {
            orders: first_orders,
            activities: first_acts,
        });
    }
    let of_stories = |rows: u64| if is_enough { rows } else { 0 };
    order_shares.share(orders - of_stories(first_orders));
    activity_shares.share(activities - of_stories(first_acts));
    deal_shares.share(deals);

    let mut truth = options
        .truth
        .then(|| Truth::create(&options.out))
        .transpose()?;
    let mut output = Output::create(&options.out, options.format)?;
    reference::write(
        &world,
        &mut Dice::new(options.seed, Stream::Reference, 0),
        &mut output,
    )?;
    let mut writer = person::Writer::new(&world);
    for number in 0..persons {
        let profile = world.profile(number);
        let share = person::Share {
            has_story: is_enough,
            orders: order_shares.take(profile.order_weight),
            activities: activity_shares.take(profile.activity_weight),
            deals: deal_shares.take(profile.deal_weight),
        };
        writer.write(number, &profile, &share, &mut output)?;
        if let Some(truth) = &mut truth {
            truth.note(number, &profile)?;
        }
    }
    if let Some(truth) = truth {
        truth.finish()?;
    }
    output.finish()
}
