//! Generates the data of a fictional business in rollbook's native columns, reproducible to the byte by its
//! seed.
//!
//! A run makes two passes over the persons. The first adds up the mandatory rows of each (a customer's first
//! order, what a lead does before it) and weights for further rows; the second distributes the requested rows
//! by these weights and writes them. Every person has a random stream of their own and nothing is kept
//! between persons, so memory does not grow with the data. All events are between 2024-01-01 and 2025-12-31.
//! No clock is read, and the only floating point operations are the four basic ones and the square root, which
//! IEEE 754 defines to the bit, so the output is the same on every machine.

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

/// Options of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Number of persons.
    pub persons: u64,
    /// Seed of the random generator.
    pub seed: u64,
    /// Format of the files.
    pub format: Format,
    /// The folder to write them to; it is created, and files of the same names are replaced.
    pub out: PathBuf,
    /// Number of orders; by default three per two persons.
    pub orders: Option<u64>,
    /// Number of activities; by default six per person.
    pub activities: Option<u64>,
    /// Number of deals; by default one per ten persons.
    pub deals: Option<u64>,
    /// Persons per 1,000 who have a second record at another provider, with other spellings.
    /// If not 0, persons have a `provider`, and addresses are written.
    pub duplicates_per_mille: u64,
    /// Whether to write the ground truth to the folder `truth`.
    pub truth: bool,
}

/// Format of the files; both hold the same rows in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated text with a header, in UTF-8.
    Csv,
    /// Parquet with the types of the canonical tables; lists are comma-separated text.
    Parquet,
}

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The files in the order of the canonical tables, then the ground truth.
    pub files: Vec<WrittenFile>,
    /// The time of the last fact; `None` if there is none.
    pub last_event: Option<Timestamp>,
}

/// One file of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// The canonical table, which is the file name without extension; `truth/…` for the ground truth.
    pub table: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Number of rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Generates the files that `options` selects.
///
/// The numbers of persons, orders, activities and deals are exactly as requested. Order lines, refunds and
/// tickets follow from them; second records are additional. A number that is not given is its default, or the
/// number of mandatory rows if that is larger.
///
/// # Errors
/// Orders, activities or deals are requested without persons, or fewer than the mandatory ones; more than
/// 1,000 per 1,000 persons have second records; a file or folder cannot be written.
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
