//! What a person is like before anything happens to them.

use crate::calendar::{DAY, END};
use crate::countries::{COUNTRIES, Country};
use crate::dice::{Dice, Stream};
use crate::lead::{FIRST_DAYS, Lead};
use crate::world::World;

/// What a person is to the business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Buys in the shop: the shop has them since their first order.
    Shopper,
    /// Signed up, and may come to buy.
    Lead,
    /// Came for a prize and never buys.
    Visitor,
    /// Buys for an organization, by orders and by deals.
    Business,
}

/// A person's inclinations.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) kind: Kind,
    pub(crate) country: &'static Country,
    /// When they joined, in seconds since 1970.
    pub(crate) joined: i64,
    /// How they come to buy, for those who have not bought when they join.
    pub(crate) lead: Option<Lead>,
    /// When they place their first order, for those who place one before the end.
    pub(crate) customer_since: Option<i64>,
    /// When they do the last thing of their own accord; the end if they are still there.
    pub(crate) left: i64,
    /// Of 1,000 mails, how many they open.
    pub(crate) opens: u64,
    /// When they agreed to be mailed, where they did.
    pub(crate) opted_in: Option<i64>,
    /// When they took that back, where they did.
    pub(crate) opted_out: Option<i64>,
    /// The organization they buy for, for those who do.
    pub(crate) organization: Option<u64>,
    pub(crate) order_weight: u64,
    pub(crate) activity_weight: u64,
    pub(crate) deal_weight: u64,
}

impl Profile {
    pub(crate) fn draw(world: &World, number: u64) -> Self {
        let dice = &mut Dice::new(world.seed, Stream::Profile, number);
        let calendar = &world.calendar;
        let kind = *dice.weighted(&[
            (370, Kind::Shopper),
            (450, Kind::Lead),
            (70, Kind::Visitor),
            (110, Kind::Business),
        ]);
        // Whatever is asked for needs somebody to have it, be there one person only.
        let kind = if number == 0 { Kind::Business } else { kind };
        let country = dice.weighted(COUNTRIES);
        let joined = calendar.joined(dice, number, world.persons);
        let opens = [200, 400, 700][dice.index(3)];
        let (opted_in, opted_out) = consent(world, dice, kind, joined);

        let lead_dice = &mut Dice::new(world.seed, Stream::Lead, number);
        let lead = match kind {
            Kind::Lead => Some(Lead::draw(
                lead_dice,
                calendar,
                &world.catalog,
                joined,
                opted_in.is_some(),
            )),
            Kind::Visitor => Some(Lead::visitor(lead_dice)),
            Kind::Shopper | Kind::Business => None,
        };
        let customer_since = match &lead {
            Some(lead) => lead.first_order.filter(|at| *at <= END),
            None => Some(joined),
        };

        let stays = i64::try_from(dice.pareto(40_000) * 30).expect("a small number");
        let stays_to_the_end = dice.chance(550);
        let left = match customer_since {
            Some(since) if !stays_to_the_end => END.min(since + DAY * stays / 1_000),
            _ => END,
        };
        let days = customer_since.map_or(0, |since| (left - since) / DAY + 30);
        let days = u64::try_from(days).expect("nobody leaves before they come");
        let business = kind == Kind::Business;
        let buys = dice.pareto(40_000);
        let buys = if business { buys.min(4_000) / 4 } else { buys };
        let order_weight = buys * days;
        let activity_weight = (dice.pareto(60_000) + 1_000) * days + order_weight;
        let negotiates = dice.pareto(9_000);
        let deal_weight = if business { negotiates * days } else { 0 };
        let works = business && world.organizations > 0;
        let organization = works.then(|| dice.below(world.organizations));
        Self {
            kind,
            country,
            joined,
            lead,
            customer_since,
            left,
            opens,
            opted_in,
            opted_out,
            organization,
            order_weight,
            activity_weight,
            deal_weight,
        }
    }

    /// The orders that they place whatever is asked for.
    pub(crate) fn certain_orders(&self) -> u64 {
        u64::from(self.customer_since.is_some())
    }

    /// Whether they may be mailed at that moment.
    pub(crate) fn may_be_mailed(&self, at: i64) -> bool {
        self.opted_in.is_some_and(|from| from <= at)
            && self.opted_out.is_none_or(|until| at < until)
    }
}

/// When somebody agreed to be mailed and took it back. Leads are asked as they sign up, and keep
/// their word for the first days, since what they click then is looked at.
fn consent(world: &World, dice: &mut Dice, kind: Kind, joined: i64) -> (Option<i64>, Option<i64>) {
    let signs_up = matches!(kind, Kind::Lead | Kind::Visitor);
    let agrees = dice.chance(if signs_up { 800 } else { 680 });
    let days = dice.between(0, 3);
    let days = if signs_up { 0 } else { days };
    let opted_in = agrees.then(|| END.min(joined + days * DAY + 60));
    let earliest = if signs_up {
        joined + FIRST_DAYS
    } else {
        joined
    };
    let opted_out = opted_in
        .filter(|_| dice.chance(90) && earliest < END)
        .map(|_| world.calendar.moment(dice, earliest, END))
        .filter(|at| Some(*at) > opted_in);
    (opted_in, opted_out)
}
