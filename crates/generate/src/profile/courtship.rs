//! How a lead behaves in the first days, and how likely that makes it that they will buy.

use crate::calendar::{DAY, END};
use crate::dice::Dice;

/// Days in which a lead shows what they are after; the decision falls in the days that follow.
pub(crate) const SHOWS: i64 = 3 * DAY;
/// The time in which they decide, equally likely at every moment of it.
pub(crate) const DECIDES: i64 = 60 * DAY;

/// What a lead does at first, and what comes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Courtship {
    /// By what they first came.
    pub(crate) channel: &'static str,
    /// Pages that they view.
    pub(crate) pages: u64,
    /// Forms that they send, beside the first.
    pub(crate) forms: u64,
    /// Links in mails that they follow.
    pub(crate) clicks: u64,
    /// Of 1,000 who behave so, how many buy.
    pub(crate) per_mille: u64,
    /// When they buy, where they do and that is before the end.
    pub(crate) buys_at: Option<i64>,
}

impl Courtship {
    pub(crate) fn draw(dice: &mut Dice, joined: i64) -> Self {
        let (channel, by_channel) = *dice.weighted(&[
            (300, ("organic", 0.0)),
            (240, ("direct", -0.2)),
            (220, ("paid_search", 0.5)),
            (150, ("social", -0.6)),
            (90, ("referral", 0.9)),
        ]);
        let (pages, by_pages) = *dice.weighted(&[
            (300, (1, 0.0)),
            (250, (2, 0.3)),
            (180, (3, 0.5)),
            (120, (5, 0.9)),
            (90, (8, 1.3)),
            (60, (12, 1.7)),
        ]);
        let (forms, by_forms) = *dice.weighted(&[(650, (0, 0.0)), (280, (1, 0.9)), (70, (2, 1.5))]);
        let (clicks, by_clicks) =
            *dice.weighted(&[(700, (0, 0.0)), (200, (1, 0.5)), (100, (3, 1.0))]);
        let interest: f64 = -2.2 + by_channel + by_pages + by_forms + by_clicks;
        // A curve from 0 to 1 like the logistic one, of operations that every machine rounds alike.
        let chance = 0.5 * (1.0 + interest / (1.0 + interest * interest).sqrt());
        let per_mille = ((chance * 1_000.0) as u64).clamp(10, 900);
        let decides_at = joined + SHOWS + dice.between(0, DECIDES - 1);
        let buys = dice.chance(per_mille);
        Self {
            channel,
            pages,
            forms,
            clicks,
            per_mille,
            buys_at: (buys && decides_at <= END).then_some(decides_at),
        }
    }

    /// Activities that it consists of, the first form among them.
    pub(crate) fn activities(&self) -> u64 {
        1 + self.pages + self.forms + self.clicks
    }
}
