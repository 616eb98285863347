//! Writes a business that never was, in rollbook's own columns, the same bytes for the same seed.
//!
//! A run goes over the persons twice. The first pass adds up what each of them has for certain (a
//! customer's first order, what a lead does before it) and how much they are inclined to order, to
//! act and to negotiate beyond that; the second shares the asked-for rows out and writes them. Every person draws from a random stream of their own, nothing is kept between two
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
mod lead;
mod output;
mod person;
mod profile;
mod reference;
#[cfg(test)]
mod tests;
mod world;

pub use error::GenerateError;

use allotment::{Allotment, Expected};
use dice::{Dice, Stream};
use output::{Extras, Output};
use profile::Profile;
use world::World;

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
    /// Of 1,000 persons, how many have a second record at another provider, with other spellings.
    /// With any, persons have a `provider` and addresses are written.
    pub duplicates_per_mille: u64,
    /// Whether to write, to the folder `truth`, what the rest was made from.
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
    /// The files, in the order of the canonical tables, the truth behind them.
    pub files: Vec<WrittenFile>,
    /// The time of the last fact; `None` where there is none.
    pub last_event: Option<Timestamp>,
}

/// One file of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// The canonical table, which is also the file's name without its extension; `truth/…` for
    /// what stands in no table.
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
/// tickets follow from them, second records come on top. A number that is not asked for is its
/// default, or what the persons have for certain where that is more.
///
/// # Errors
///
/// When orders, activities or deals are asked for without a person to have them, or fewer than the
/// persons have for certain, and when the folder cannot be written.
pub fn generate(options: &Options) -> Result<Summary, GenerateError> {
    let persons = options.persons;
    for (what, rows) in [
        ("orders", options.orders.unwrap_or(0)),
        ("activities", options.activities.unwrap_or(0)),
        ("deals", options.deals.unwrap_or(0)),
    ] {
        if persons == 0 && rows > 0 {
            return Err(GenerateError::NobodyToHaveThem { what, rows });
        }
    }
    let per_mille = options.duplicates_per_mille;
    if per_mille > 1_000 {
        return Err(GenerateError::TooManyDuplicates { per_mille });
    }

    let activities = options.activities.unwrap_or(persons * 6);
    let world = World::new(options.seed, persons, activities, per_mille);
    let (mut orders, mut acts, mut deals) = <(Expected, Expected, Expected)>::default();
    let mut writer = person::Writer::new(&world);
    for number in 0..persons {
        let profile = Profile::draw(&world, number);
        orders.add(profile.certain_orders(), profile.order_weight);
        acts.add(
            writer.certain_activities(number, &profile),
            profile.activity_weight,
        );
        deals.add(0, profile.deal_weight);
    }
    let share_out = |expected: &Expected, what, asked: Option<u64>, default: u64| {
        let least = expected.certain();
        match asked {
            Some(rows) if rows < least => Err(GenerateError::TooFew {
                what,
                rows,
                least,
                persons,
            }),
            asked => Ok(expected.share_out(asked.unwrap_or(default.max(least)))),
        }
    };
    let mut orders: Allotment =
        share_out(&orders, "orders", options.orders, persons + persons / 2)?;
    let mut acts: Allotment = share_out(&acts, "activities", options.activities, activities)?;
    let mut deals: Allotment = share_out(&deals, "deals", options.deals, persons / 10)?;

    let extras = Extras {
        truth: options.truth,
        second_records: per_mille > 0,
    };
    let mut output = Output::create(&options.out, options.format, extras)?;
    let dice = &mut Dice::new(options.seed, Stream::Reference, 0);
    reference::write(&world, dice, &mut output)?;
    for number in 0..persons {
        let profile = Profile::draw(&world, number);
        let share = |certain| person::Share {
            orders: orders.take(profile.certain_orders(), profile.order_weight),
            activities: acts.take(certain, profile.activity_weight),
            deals: deals.take(0, profile.deal_weight),
        };
        writer.write(number, &profile, share, &mut output)?;
    }
    output.finish()
}
