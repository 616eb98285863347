//! What a person is like before anything happens to them.

use crate::calendar::{Calendar, DAY, END, HOUR};
use crate::countries::{COUNTRIES, Country};
use crate::dice::Dice;

pub(crate) mod courtship;

use courtship::Courtship;

/// What a person is to the business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Buys in the shop.
    Shopper,
    /// Signed up, and may buy in the end.
    Lead,
    /// Buys for an organization, by deals.
    Business,
}

/// A person's inclinations.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) kind: Kind,
    /// What they do at first, for leads.
    pub(crate) courtship: Option<Courtship>,
    pub(crate) country: &'static Country,
    /// When they joined, in seconds since 1970.
    pub(crate) joined: i64,
    /// When they do the last thing of their own accord.
    pub(crate) left: i64,
    /// Of 1,000 mails, how many they open.
    pub(crate) opens: u64,
    /// When they agreed to be mailed, where they did.
    pub(crate) opted_in: Option<i64>,
    /// When they took that back, where they did.
    pub(crate) opted_out: Option<i64>,
    pub(crate) order_weight: u64,
    pub(crate) activity_weight: u64,
    pub(crate) deal_weight: u64,
}

impl Profile {
    pub(crate) fn draw(dice: &mut Dice, calendar: &Calendar, number: u64, persons: u64) -> Self {
        let kind = *dice.weighted(&[
            (620, Kind::Shopper),
            (270, Kind::Lead),
            (110, Kind::Business),
        ]);
        let country = dice.weighted(COUNTRIES);
        let joined = calendar.joined(dice, number, persons);
        let stays = dice.pareto(40_000) * 30;
        let left = if dice.chance(550) {
            END
        } else {
            END.min(joined + DAY * i64::try_from(stays).expect("a small number") / 1_000)
        };
        let opens = [200, 400, 700][dice.index(3)];
        let opted_in = dice
            .chance(680)
            .then(|| END.min(joined + dice.between(0, 3) * DAY + 60));
        let opted_out = opted_in
            .filter(|_| dice.chance(90))
            .map(|at| calendar.moment(dice, at, END))
            .filter(|at| Some(*at) > opted_in);

        let courtship = (kind == Kind::Lead).then(|| Courtship::draw(dice, joined));
        let bought = courtship.and_then(|courtship| courtship.buys_at);
        // What leads do beside their courtship must not tell how it ends.
        let left = if kind == Kind::Lead { END } else { left };
        let days = (left - joined) / DAY + 30;
        let days = u64::try_from(days).expect("nobody leaves before they join");
        let buys = match kind {
            Kind::Shopper => dice.pareto(40_000),
            Kind::Lead => bought.map_or(0, |_| dice.pareto(20_000)),
            Kind::Business => dice.pareto(4_000) / 4,
        };
        let order_weight = buys * days;
        let activity_weight = match kind {
            Kind::Lead => (dice.pareto(20_000) + 1_000) * days,
            Kind::Shopper | Kind::Business => (dice.pareto(60_000) + 1_000) * days + order_weight,
        };
        let deal_weight = if kind == Kind::Business {
            dice.pareto(9_000) * days
        } else {
            0
        };
        Self {
            kind,
            courtship,
            country,
            joined,
            left,
            opens,
            opted_in,
            opted_out,
            order_weight,
            activity_weight,
            deal_weight,
        }
    }

    /// When they first buy: customers as they join, leads when they decide to.
    pub(crate) fn first_order_at(&self) -> Option<i64> {
        match self.courtship {
            Some(courtship) => courtship.buys_at,
            None => Some((self.joined + HOUR).min(END)),
        }
    }

    /// Whether they may be mailed at that moment.
    pub(crate) fn may_be_mailed(&self, at: i64) -> bool {
        self.opted_in.is_some_and(|from| from <= at)
            && self.opted_out.is_none_or(|until| at < until)
    }
}
