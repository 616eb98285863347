//! Makes up what one person did and writes their rows, the facts first, since they decide the rest.

use std::collections::BTreeMap;

use crate::calendar::Calendar;
use crate::catalog::Catalog;
use crate::dice::{Dice, Stream};
use crate::error::GenerateError;
use crate::output::Output;
use crate::profile::Profile;

mod activities;
mod card;
mod deals;
mod orders;
mod record;
mod second_record;
mod tickets;
mod truth;

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

    pub(crate) fn profile(&self, number: u64) -> Profile {
        Profile::draw(self, number)
    }
}

/// Leads are idle in proportion to all activities, yet never so busy that few asked-for activities
/// would not do: what they do in their first days takes up to four for every person.
fn idle_rate(persons: u64, activities: u64) -> u64 {
    let each = u128::from(activities) * 1_000 / u128::from(persons.max(1));
    let rate = (each / 6).min(each.saturating_sub(4_000) / 2);
    u64::try_from(rate).unwrap_or(u64::MAX).min(1_000_000)
}

/// How many rows a person has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) orders: u64,
    pub(crate) activities: u64,
    pub(crate) deals: u64,
}

/// Writes one person after another; it keeps the numbers that were given out, and no person.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    world: &'a World,
    numbers: Numbers,
    /// Numbers of telephones given out, by country.
    phones: BTreeMap<&'static str, u64>,
    orders: Vec<orders::Placed>,
    tickets: Vec<tickets::Opened>,
    touches: Vec<activities::Touch>,
}

/// The next free number of each kind of row.
#[derive(Debug, Default)]
struct Numbers {
    order: u64,
    line: u64,
    refund: u64,
    deal: u64,
    ticket: u64,
    activity: u64,
    address: u64,
    second_record: u64,
}

impl Numbers {
    fn take(number: &mut u64) -> u64 {
        let taken = *number;
        *number += 1;
        taken
    }
}

/// The person whose rows are being written.
#[derive(Debug)]
struct Subject<'a> {
    world: &'a World,
    profile: &'a Profile,
    number: u64,
}

/// What the facts say of a person in the end.
#[derive(Debug, Default)]
struct Outcome {
    revenue_orders: u64,
    /// Cents of a euro, without tax and whatever was given back later.
    spent: i64,
    won_deals: u64,
    open_deals: u64,
    last_seen: i64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self {
            world,
            numbers: Numbers::default(),
            phones: BTreeMap::new(),
            orders: Vec::new(),
            tickets: Vec::new(),
            touches: Vec::new(),
        }
    }

    /// How many activities a person has whatever is asked for.
    pub(crate) fn certain_activities(&mut self, number: u64, profile: &Profile) -> u64 {
        self.touches.clear();
        if let Some(lead) = &profile.lead {
            let subject = Subject {
                world: self.world,
                profile,
                number,
            };
            activities::before_the_first_order(&subject, lead, &mut self.touches);
        }
        u64::try_from(self.touches.len()).expect("a short list")
    }

    /// Writes all rows of a person. `share` says how many they have, given how many activities
    /// are certain.
    pub(crate) fn write(
        &mut self,
        number: u64,
        profile: &Profile,
        share: impl FnOnce(u64) -> Share,
        output: &mut Output,
    ) -> Result<(), GenerateError> {
        let share = share(self.certain_activities(number, profile));
        let mut dice = Dice::new(self.world.seed, Stream::Facts, number);
        let subject = Subject {
            world: self.world,
            profile,
            number,
        };
        let mut outcome = Outcome {
            last_seen: profile.joined,
            ..Outcome::default()
        };

        self.orders.clear();
        for nth in 0..share.orders {
            let (numbers, outcome) = (&mut self.numbers, &mut outcome);
            let placed = orders::write(&subject, nth == 0, &mut dice, numbers, outcome, output)?;
            self.orders.push(placed);
        }
        self.tickets.clear();
        let opened = &mut self.tickets;
        tickets::write(
            &subject,
            &mut dice,
            &self.orders,
            opened,
            &mut self.numbers,
            output,
        )?;
        for _ in 0..share.deals {
            deals::write(&subject, &mut dice, &mut self.numbers, &mut outcome, output)?;
        }
        let told = activities::Told {
            orders: &self.orders,
            tickets: &self.tickets,
        };
        if profile.customer_since.is_some() {
            let touches = &mut self.touches;
            activities::of_a_customer(&subject, &mut dice, &told, share.activities, touches);
        }
        self.touches.sort_by_key(|touch| touch.at);
        for touch in &self.touches {
            let activity = Numbers::take(&mut self.numbers.activity);
            activities::write(&subject, touch, activity, output)?;
            if !touch.is_outbound() {
                outcome.last_seen = outcome.last_seen.max(touch.at);
            }
        }

        let card = card::Card::draw(&subject, &mut dice, &mut self.phones);
        record::write(&subject, &mut dice, &outcome, &card, output)?;
        truth::write(&subject, output)?;
        if self.world.duplicates_per_mille > 0 {
            card.write_address(&subject, &mut self.numbers, output)?;
            second_record::write(&subject, &outcome, &card, &mut self.numbers, output)?;
        }
        Ok(())
    }
}
