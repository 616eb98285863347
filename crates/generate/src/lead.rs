//! Leads: persons who have not bought yet, and whether they will.
//!
//! A lead comes through a channel, and in the first three days views pages and prices, submits forms and
//! clicks in e-mails, the more the more interested they are. The interest itself is not in the data. The
//! probability that they ever buy is a logistic function of the channel and of the logarithms of those
//! counts only, so that a model can learn it. Those who buy do so at a moment that is uniform over the
//! following 60 days.

use crate::calendar::{Calendar, DAY};
use crate::catalog::Catalog;
use crate::dice::Dice;

/// The period whose activities determine the probability.
pub(crate) const FIRST_DAYS: i64 = 3 * DAY;
/// The period after it in which a lead who buys does so.
pub(crate) const DECIDING: i64 = 60 * DAY;

/// The maximum number of activities of one kind in the first days.
const MOST: u64 = 20;
/// 1,000 ln(1 + n) for n from 0 to [`MOST`].
const LOGARITHMS: [i32; 21] = [
    0, 693, 1099, 1386, 1609, 1792, 1946, 2079, 2197, 2303, 2398, 2485, 2565, 2639, 2708, 2773,
    2833, 2890, 2944, 2996, 3045,
];
/// Channels of leads: their frequency per 1,000, and their effect on the log-odds, in thousandths.
const CHANNELS: [(u64, (&str, i32)); 6] = [
    (260, ("organic", 0)),
    (170, ("direct", 300)),
    (230, ("paid_search", 200)),
    (190, ("paid_social", -900)),
    (90, ("referral", 900)),
    (60, ("email", 600)),
];
/// The channel of visitors who come for a prize draw and never buy.
const PRIZE_DRAW: &str = "affiliate";

/// The plan of a lead, or of a visitor, who is a lead with probability 0.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) channel: &'static str,
    pub(crate) campaign: Option<usize>,
    pub(crate) first_days: FirstDays,
    /// The probability that they buy, in millionths.
    pub(crate) probability: u64,
    /// When they place their first order, if ever; it may be after the end of the data.
    pub(crate) first_order: Option<i64>,
}

/// Counts of activities in the first days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FirstDays {
    pub(crate) pages: u64,
    pub(crate) prices: u64,
    pub(crate) forms: u64,
    pub(crate) clicks: u64,
}

impl Lead {
    /// A random lead who joins at `joined`; `mailable` says whether they agreed to receive mails.
    pub(crate) fn draw(
        dice: &mut Dice,
        calendar: &Calendar,
        catalog: &Catalog,
        joined: i64,
        mailable: bool,
    ) -> Self {
        let (channel, effect) = *dice.weighted(&CHANNELS);
        let campaign = match channel {
            "email" => None,
            _ => catalog.campaign(dice, channel, calendar.month(joined), joined),
        };
        let level = dice.below(1_000);
        let interest = 3 * level * level / 1_000;
        let clicks = 50 + interest * 2 / 5;
        let clicks = if channel == "email" {
            2 * clicks
        } else {
            clicks
        };
        let first_days = FirstDays {
            pages: dice.count(800 + interest * 6 / 5, MOST),
            prices: dice.count(100 + interest * 3 / 5, MOST),
            forms: dice.count(50 + interest * 7 / 20, MOST),
            clicks: if mailable {
                dice.count(clicks, MOST)
            } else {
                0
            },
        };
        let probability = probability(effect, first_days);
        let buys = dice.below(1_000_000) < probability;
        let first_order = joined + FIRST_DAYS + dice.between(0, DECIDING - 1);
        Self {
            channel,
            campaign,
            first_days,
            probability,
            first_order: buys.then_some(first_order),
        }
    }

    /// A random visitor who comes for a prize and views a few pages.
    pub(crate) fn visitor(dice: &mut Dice) -> Self {
        Self {
            channel: PRIZE_DRAW,
            campaign: None,
            first_days: FirstDays {
                pages: dice.count(600, MOST),
                ..FirstDays::default()
            },
            probability: 0,
            first_order: None,
        }
    }
}

/// The probability of buying in millionths, from the effect of the channel and the counts of the first days.
fn probability(channel_effect: i32, first_days: FirstDays) -> u64 {
    let FirstDays {
        pages,
        prices,
        forms,
        clicks,
    } = first_days;
    let effects = [(600, pages), (1_100, prices), (1_000, forms), (800, clicks)];
    let effects = effects
        .into_iter()
        .map(|(effect, count)| effect * logarithm(count));
    let log_odds = -3_100 + channel_effect + effects.sum::<i32>() / 1_000;
    logistic(log_odds)
}

fn logarithm(count: u64) -> i32 {
    let count = usize::try_from(count.min(MOST)).expect("a small number");
    LOGARITHMS[count]
}

/// 1 / (1 + exp(−x)) in millionths, for x in thousandths.
fn logistic(log_odds: i32) -> u64 {
    let share = 1.0 / (1.0 + exponential(-f64::from(log_odds) / 1_000.0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1,000,000"
    )]
    let millionths = (1_000_000.0 * share + 0.5) as u64;
    millionths
}

/// e to the power of x, from sums and products only, which are the same on every machine: the first terms of
/// the series at x / 1024, squared ten times. Accurate to six digits for |x| < 12.
fn exponential(x: f64) -> f64 {
    let small = x / 1_024.0;
    let mut power = 1.0 + small * (1.0 + small / 2.0 * (1.0 + small / 3.0));
    for _ in 0..10 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::{CHANNELS, FirstDays, LOGARITHMS, Lead, MOST, logistic, probability};
    use crate::calendar::{Calendar, START};
    use crate::catalog::Catalog;
    use crate::dice::{Dice, Stream};

    #[test]
    fn tabulated_logarithms_and_probabilities_are_exact() {
        for (count, tabulated) in (0_u32..).zip(LOGARITHMS) {
            let exact = 1_000.0 * f64::from(1 + count).ln();
            assert!((exact - f64::from(tabulated)).abs() <= 0.5, "{count}");
        }
        assert_eq!(LOGARITHMS.len() as u64, MOST + 1);
        for log_odds in (-12_000..12_000).step_by(37) {
            let exact = 1e6 / (1.0 + (-f64::from(log_odds) / 1_000.0).exp());
            assert!(
                (exact - logistic(log_odds) as f64).abs() < 2.0,
                "{log_odds}"
            );
        }
    }

    #[test]
    fn more_activity_makes_an_order_likelier() {
        let none = FirstDays::default();
        let least = probability(CHANNELS[0].1.1, none);
        for more in [
            FirstDays { pages: 1, ..none },
            FirstDays { prices: 1, ..none },
            FirstDays { forms: 1, ..none },
            FirstDays { clicks: 1, ..none },
        ] {
            assert!(probability(CHANNELS[0].1.1, more) > least, "{more:?}");
        }
        assert_eq!(
            CHANNELS.iter().map(|(weight, _)| weight).sum::<u64>(),
            1_000
        );
    }

    /// The intended distribution of probabilities: few certain cases, many unlikely ones, and a ROC AUC of
    /// the true probability of about 0.8.
    #[test]
    fn probabilities_spread_widely() {
        let calendar = Calendar::new();
        let catalog = Catalog::new(&mut Dice::new(5, Stream::Reference, 0));
        let mut leads: Vec<(u64, bool)> = (0..40_000)
            .map(|number| {
                let mut dice = Dice::new(5, Stream::Lead, number);
                let lead = Lead::draw(&mut dice, &calendar, &catalog, START, number % 5 > 0);
                (lead.probability, lead.first_order.is_some())
            })
            .collect();
        leads.sort_unstable();
        let quantile = |part: usize| leads[leads.len() * part / 100].0;
        assert!((8_000..20_000).contains(&quantile(1)), "{}", quantile(1));
        assert!(
            (700_000..900_000).contains(&quantile(99)),
            "{}",
            quantile(99)
        );
        let mean = leads.iter().map(|lead| lead.0).sum::<u64>() / 40_000;
        assert!((150_000..230_000).contains(&mean), "mean {mean}");

        let buyers = leads.iter().filter(|lead| lead.1).count() as f64;
        let ranks = (1..).zip(&leads).filter(|(_, lead)| lead.1);
        let ranks: f64 = ranks.map(|(rank, _)| f64::from(rank)).sum();
        let others = leads.len() as f64 - buyers;
        let area = (ranks - buyers * (buyers + 1.0) / 2.0) / (buyers * others);
        assert!((0.77..0.83).contains(&area), "area under the curve {area}");
    }
}
