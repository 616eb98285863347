//! Activities of a lead: many in the first days, then few until the first order.
//!
//! They are generated regardless of whether the lead buys, and end when they do. So nothing in them reveals
//! who will buy, except the counts from which the probability was computed.

use super::diary::Diary;
use super::{Touch, What};
use crate::calendar::{DAY, END};
use crate::dice::{Dice, Stream};
use crate::lead::{FIRST_DAYS, FirstDays, Lead};
use crate::person::Subject;

/// The period for which the rate of activities of a lead is constant.
const MONTH: i64 = 30 * DAY;

/// Adds all activities of a lead until their first order, or until the end of the data.
pub(in crate::person) fn before_the_first_order(
    subject: &Subject<'_>,
    lead: &Lead,
    touches: &mut Vec<Touch>,
) {
    let dice = &mut Dice::new(subject.world.seed, Stream::Funnel, subject.number);
    let mut courtship = Courtship {
        diary: Diary {
            subject,
            dice,
            touches,
        },
        lead,
        joined: subject.profile.joined,
    };
    courtship.signs_up();
    courtship.first_days(lead.first_days);
    courtship.idles(lead.first_order.unwrap_or(i64::MAX).min(END));
    courtship.diary.unsubscribe();
}

struct Courtship<'a> {
    diary: Diary<'a>,
    lead: &'a Lead,
    joined: i64,
}

impl Courtship<'_> {
    /// The first touch, and the welcome mail.
    fn signs_up(&mut self) {
        let Self {
            diary,
            lead,
            joined,
        } = self;
        diary.add(*joined, lead.channel, lead.campaign, What::SignedUp);
        let sent = *joined + diary.dice.between(120, 900);
        if !diary.subject.profile.may_be_mailed(sent) {
            return;
        }
        let welcome = Some(diary.subject.world.catalog.welcome);
        diary.add(sent, "email", welcome, What::EmailSent);
        let clicks = lead.first_days.clicks;
        if clicks > 0 || diary.dice.chance(diary.subject.profile.opens) {
            let opened = sent + diary.dice.between(30, 3_000);
            diary.add(opened, "email", welcome, What::EmailOpened);
        }
    }

    /// The activities that determine the probability.
    fn first_days(&mut self, counts: FirstDays) {
        for _ in 0..counts.pages {
            let (at, channel, campaign) = self.visit();
            let product = self.diary.subject.world.catalog.product(self.diary.dice);
            self.diary.view(at, channel, campaign, product);
        }
        for _ in 0..counts.prices {
            let (at, channel, campaign) = self.visit();
            let seconds = self.diary.dice.between(10, 400);
            let what = What::PricingViewed { seconds };
            self.diary.add(at, channel, campaign, what);
        }
        for _ in 0..counts.forms {
            let (at, channel, campaign) = self.visit();
            let forms = ["newsletter", "size_guide", "contact", "callback"];
            let form = self.diary.dice.pick(&forms);
            let what = What::FormSubmitted { form };
            self.diary.add(at, channel, campaign, what);
        }
        let catalog = &self.diary.subject.world.catalog;
        for _ in 0..counts.clicks {
            // After the welcome, which may be opened an hour after they joined.
            let at = self.joined + self.diary.dice.between(4_000, FIRST_DAYS - 1);
            let product = catalog.product(self.diary.dice);
            let what = What::EmailClicked { product };
            self.diary.add(at, "email", Some(catalog.welcome), what);
        }
    }

    /// A random moment in the first days, more likely an early one, with the channel of the visit.
    fn visit(&mut self) -> (i64, &'static str, Option<usize>) {
        let dice = &mut self.diary.dice;
        let latest = dice.between(60, FIRST_DAYS - 1);
        let at = self.joined + dice.between(30, latest);
        if dice.chance(400) {
            (at, self.lead.channel, self.lead.campaign)
        } else {
            (at, "direct", None)
        }
    }

    /// Mailings and visits after the first days, up to a moment; fewer from the third month on.
    fn idles(&mut self, until: i64) {
        let world = self.diary.subject.world;
        let mut from = self.joined + FIRST_DAYS;
        let mut month = 0;
        while from < until {
            let rate = if month < 2 { 400 } else { 120 } * world.idle_rate / 1_000;
            for _ in 0..times(rate, self.diary.dice) {
                if self.diary.dice.chance(500) {
                    self.is_mailed_between(from, until);
                } else {
                    self.looks_around(from, until);
                }
            }
            from += MONTH;
            month += 1;
        }
    }

    fn is_mailed_between(&mut self, from: i64, until: i64) {
        let mailings = &self.diary.subject.world.catalog.mailings;
        let first = mailings.partition_point(|mailing| mailing.starts_at < from);
        let after = mailings.partition_point(|mailing| mailing.starts_at < from + MONTH);
        if first < after {
            let mailing = first + self.diary.dice.index(after - first);
            self.diary.mail(mailing, until);
        }
    }

    fn looks_around(&mut self, from: i64, until: i64) {
        let at = self.diary.dice.between(from, from + MONTH - 1);
        let (channel, campaign) = self.diary.visit_channel(at);
        let product = self.diary.subject.world.catalog.product(self.diary.dice);
        if at < until {
            self.diary.view(at, channel, campaign, product);
        }
    }
}

/// A random count with this mean, in thousandths.
fn times(rate: u64, dice: &mut Dice) -> u64 {
    dice.below(2 * (rate / 1_000) + 1) + u64::from(dice.chance(rate % 1_000))
}
