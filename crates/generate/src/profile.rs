//! Profiles: the attributes of a generated person that determine their events.

use crate::calendar::{DAY, END};
use crate::countries::{COUNTRIES, Country};
use crate::dice::{Dice, Stream};
use crate::lead::{FIRST_DAYS, Lead};
use crate::world::World;

/// The kind of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PersonKind {
    /// A customer of the shop, known since their first order.
    Shopper,
    /// A lead who signed up and may buy.
    Lead,
    /// Entered a prize draw and never buys.
    Visitor,
    /// Buys for an organization, by orders and deals.
    Business,
}

/// The attributes of a person.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) kind: PersonKind,
    pub(crate) country: &'static Country,
    /// When they joined, in seconds since 1970.
    pub(crate) joined: i64,
    /// The path to a first order, for those who join without one.
    pub(crate) lead: Option<Lead>,
    /// The time of their first order, if they place one.
    pub(crate) customer_since: Option<i64>,
    /// The time of their last activity; the end of the period if they stay active.
    pub(crate) left: i64,
    /// Opened mails per 1,000.
    pub(crate) opens: u64,
    /// When they opted in to mails, if they did.
    pub(crate) opted_in: Option<i64>,
    /// When they opted out again, if they did.
    pub(crate) opted_out: Option<i64>,
    /// The organization that they buy for, if any.
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
            (370, PersonKind::Shopper),
            (450, PersonKind::Lead),
            (70, PersonKind::Visitor),
            (110, PersonKind::Business),
        ]);
        // Whatever is asked for needs somebody to have it, be there one person only.
        let kind = if number == 0 {
            PersonKind::Business
        } else {
            kind
        };
        let country = dice.weighted(COUNTRIES);
        let joined = calendar.joined(dice, number, world.persons);
        let opens = [200, 400, 700][dice.index(3)];
        let (opted_in, opted_out) = consent(world, dice, kind, joined);

        let lead_dice = &mut Dice::new(world.seed, Stream::Lead, number);
        let lead = match kind {
            PersonKind::Lead => Some(Lead::draw(
                lead_dice,
                calendar,
                &world.catalog,
                joined,
                opted_in.is_some(),
            )),
            PersonKind::Visitor => Some(Lead::visitor(lead_dice)),
            PersonKind::Shopper | PersonKind::Business => None,
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
        let business = kind == PersonKind::Business;
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

    /// The number of mandatory orders.
    pub(crate) fn certain_orders(&self) -> u64 {
        u64::from(self.customer_since.is_some())
    }

    /// Whether the person agrees to receive mails at this moment.
    pub(crate) fn may_be_mailed(&self, at: i64) -> bool {
        self.opted_in.is_some_and(|from| from <= at)
            && self.opted_out.is_none_or(|until| at < until)
    }
}

/// Times of opt-in and opt-out. Leads are asked when they sign up and stay opted in for the first days,
/// because their clicks in that time are features of lead scores.
fn consent(
    world: &World,
    dice: &mut Dice,
    kind: PersonKind,
    joined: i64,
) -> (Option<i64>, Option<i64>) {
    let signs_up = matches!(kind, PersonKind::Lead | PersonKind::Visitor);
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
