//! A builder for the activities of one person: page views, mailings and reactions to them.

use super::{Touch, What};
use crate::calendar::{DAY, END, HOUR, START};
use crate::dice::Dice;
use crate::person::Subject;

/// Collects the activities of a person.
pub(super) struct Diary<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) dice: &'a mut Dice,
    pub(super) touches: &'a mut Vec<Touch>,
}

impl Diary<'_> {
    /// Records an activity, unless it is after the end of the data.
    pub(super) fn add(
        &mut self,
        at: i64,
        channel: &'static str,
        campaign: Option<usize>,
        what: What,
    ) {
        let device = *self
            .dice
            .weighted(&[(550, "mobile"), (380, "desktop"), (70, "tablet")]);
        if at > END {
            return;
        }
        self.touches.push(Touch {
            at: at.max(START),
            channel,
            campaign,
            what,
            device,
        });
    }

    /// Records that the person viewed a product.
    pub(super) fn view(
        &mut self,
        at: i64,
        channel: &'static str,
        campaign: Option<usize>,
        product: usize,
    ) {
        let seconds = self.dice.between(4, 240);
        self.add(at, channel, campaign, What::PageViewed { product, seconds });
    }

    /// Records that the person unsubscribed, if they did.
    pub(super) fn unsubscribe(&mut self) {
        if let Some(at) = self.subject.profile.opted_out {
            self.add(at, "email", None, What::EmailUnsubscribed);
        }
    }

    /// Records one mailing and the person's reactions; returns false if they may not be mailed, or if it
    /// would be sent at `before` or later. The share of opened mails in which a link is clicked depends only
    /// on the variant.
    pub(super) fn mail(&mut self, mailing: usize, before: i64) -> bool {
        let (profile, catalog) = (self.subject.profile, &self.subject.world.catalog);
        let mailing = &catalog.mailings[mailing];
        let campaign = mailing.arm(self.subject.number);
        let sent = mailing.starts_at + self.dice.between(0, 2 * HOUR);
        if sent >= before || !profile.may_be_mailed(sent) {
            return false;
        }
        self.add(sent, "email", Some(campaign), What::EmailSent);
        let opens = if sent <= profile.left {
            profile.opens
        } else {
            profile.opens / 8
        };
        if !self.dice.chance(opens) {
            return true;
        }
        let opened = sent + self.dice.between(120, 2 * DAY);
        self.add(opened, "email", Some(campaign), What::EmailOpened);
        if self.dice.chance(catalog.campaigns[campaign].click_rate) {
            let product = catalog.product(self.dice);
            let clicked = opened + self.dice.between(3, 120);
            let what = What::EmailClicked { product };
            self.add(clicked, "email", Some(campaign), what);
            self.view(clicked + 2, "email", Some(campaign), product);
        }
        true
    }

    /// The channel and the campaign through which somebody visits the shop.
    pub(super) fn visit_channel(&mut self, at: i64) -> (&'static str, Option<usize>) {
        let channel = *self.dice.weighted(&[
            (300, "organic"),
            (260, "direct"),
            (210, "paid_search"),
            (150, "paid_social"),
            (80, "referral"),
        ]);
        let world = self.subject.world;
        let month = world.calendar.month(at);
        (
            channel,
            world.catalog.campaign(self.dice, channel, month, at),
        )
    }
}
