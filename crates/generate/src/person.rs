//! Generates the events of one person and writes their rows; facts first, since they determine the person's
//! own row.

use std::collections::BTreeMap;

use crate::dice::{Dice, Stream};
use crate::error::GenerateError;
use crate::output::Output;
use crate::profile::Profile;
use crate::world::World;

mod activities;
mod card;
mod deals;
mod orders;
mod record;
mod second_record;
mod tickets;
mod truth;

/// The number of rows of a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) orders: u64,
    pub(crate) activities: u64,
    pub(crate) deals: u64,
}

/// Writes one person after another; it keeps counters, but no persons.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    world: &'a World,
    numbers: Numbers,
    /// Number of phone numbers used, by country.
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

/// Properties of a person that follow from their facts.
#[derive(Debug, Default)]
struct Outcome {
    revenue_orders: u64,
    /// Total spending in euro cents, without tax and regardless of refunds.
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

    /// The number of mandatory activities of a person.
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

    /// Writes all rows of a person. `share` gives the number of their activities, from the number of
    /// mandatory ones.
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
