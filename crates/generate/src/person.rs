//! Makes up what one person did and writes their rows, the facts first, since they decide the rest.

use std::collections::BTreeMap;

use crate::calendar::Calendar;
use crate::catalog::Catalog;
use crate::dice::{Dice, Stream};
use crate::error::GenerateError;
use crate::output::Output;
use crate::profile::Profile;

mod activities;
mod deals;
mod orders;
mod record;
mod tickets;

/// What all persons share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) persons: u64,
    pub(crate) organizations: u64,
    pub(crate) calendar: Calendar,
    pub(crate) catalog: Catalog,
}

impl World {
    pub(crate) fn new(seed: u64, persons: u64) -> Self {
        // The catalog has a stream of its own: the last number that `Reference` can have.
        let catalog = Catalog::new(&mut Dice::new(seed, Stream::Reference, u64::MAX >> 3));
        Self {
            seed,
            persons,
            organizations: persons / 40,
            calendar: Calendar::new(),
            catalog,
        }
    }

    pub(crate) fn profile(&self, number: u64) -> Profile {
        let mut dice = Dice::new(self.seed, Stream::Profile, number);
        Profile::draw(&mut dice, &self.calendar, number, self.persons)
    }
}

/// How many rows a person has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Whether there is room for the first order and for what a lead does at first.
    pub(crate) has_story: bool,
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
    /// The organization they buy for, for those who do.
    organization: Option<u64>,
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

    pub(crate) fn write(
        &mut self,
        number: u64,
        profile: &Profile,
        share: &Share,
        output: &mut Output,
    ) -> Result<(), GenerateError> {
        let mut dice = Dice::new(self.world.seed, Stream::Facts, number);
        let works = profile.deal_weight > 0 && self.world.organizations > 0;
        let organization = works.then(|| dice.below(self.world.organizations));
        let subject = Subject {
            world: self.world,
            profile,
            number,
            organization,
        };
        let mut outcome = Outcome {
            last_seen: profile.joined,
            ..Outcome::default()
        };

        self.orders.clear();
        let first = profile.first_order_at().filter(|_| share.has_story);
        let when = std::iter::repeat_n(None, usize::try_from(share.orders).unwrap_or(usize::MAX));
        for when in first.map(Some).into_iter().chain(when) {
            let numbers = &mut self.numbers;
            let placed = orders::write(&subject, &mut dice, when, numbers, &mut outcome, output)?;
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
        let courtship = profile.courtship.filter(|_| share.has_story);
        let told = activities::Told {
            courtship: courtship.as_ref(),
            orders: &self.orders,
            tickets: &self.tickets,
        };
        activities::make(
            &subject,
            &mut dice,
            &told,
            share.activities + courtship.map_or(0, |courtship| courtship.activities()),
            &mut self.touches,
        );
        for touch in &self.touches {
            let activity = Numbers::take(&mut self.numbers.activity);
            activities::write(&subject, touch, activity, output)?;
            if !touch.is_outbound() {
                outcome.last_seen = outcome.last_seen.max(touch.at);
            }
        }

        let phone = profile.country.phones.as_ref().filter(|_| dice.chance(600));
        let phone = phone.and_then(|phones| {
            phones.number(Numbers::take(
                self.phones.entry(profile.country.code).or_default(),
            ))
        });
        record::write(&subject, &mut dice, &outcome, phone.as_deref(), output)
    }
}
