//! Activities of a customer around and between orders.

use super::diary::Diary;
use super::{Told, Touch, What};
use crate::calendar::{DAY, HOUR, START};
use crate::dice::Dice;
use crate::person::Subject;
use crate::person::orders::Placed;
use crate::person::tickets::Opened;
use crate::profile::PersonKind;

/// The maximum number of activities per mailing.
const OF_A_MAILING: usize = 4;

/// Adds activities of a customer until there are `count` more than before.
pub(in crate::person) fn of_a_customer(
    subject: &Subject<'_>,
    dice: &mut Dice,
    told: &Told<'_>,
    count: u64,
    touches: &mut Vec<Touch>,
) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let before = touches.len();
    let mut story = Story {
        diary: Diary {
            subject,
            dice,
            touches,
        },
        since: subject.profile.customer_since.unwrap_or(START),
    };
    let from_the_beginning = subject.profile.lead.is_none();
    if from_the_beginning && count > before {
        story.signs_up();
    }
    for order in told.orders.iter().filter(|order| order.known) {
        // Not all of a heavy buyer's activities should be visits that led to an order, and what
        // leads do before their first is told already.
        let made = story.diary.touches.len() - before;
        let tells = from_the_beginning || !order.first;
        if tells && made * 3 < (count - before) * 2 {
            story.visits_before(order);
        }
    }
    for ticket in told.tickets {
        story.asks_support(ticket);
    }
    if from_the_beginning {
        story.diary.unsubscribe();
    }
    while story.diary.touches.len() < count {
        // A mailing is generated completely or not at all: a truncated one would look unanswered.
        let has_room = count - story.diary.touches.len() >= OF_A_MAILING;
        let sent = has_room && story.diary.dice.chance(640) && story.is_mailed();
        if !sent {
            story.browses();
        }
    }
    touches.truncate(count);
}

struct Story<'a> {
    diary: Diary<'a>,
    since: i64,
}

impl Story<'_> {
    fn signs_up(&mut self) {
        let form = match self.diary.subject.profile.kind {
            PersonKind::Business => "quote_request",
            _ => "account",
        };
        let (channel, campaign) = self.diary.visit_channel(self.since);
        let what = What::FormSubmitted { form };
        self.diary.add(self.since, channel, campaign, what);
    }

    /// The visits that led to an order. Visits before a shopper's first order are known from the browser in
    /// which it was placed.
    fn visits_before(&mut self, order: &Placed) {
        let Self { diary, since } = self;
        let (profile, catalog) = (diary.subject.profile, &diary.subject.world.catalog);
        let earliest = if order.first { START } else { *since };
        if diary.dice.chance(450) {
            let at = order.at - diary.dice.between(DAY, 20 * DAY);
            let at = at.max(earliest).min(order.at);
            let (channel, campaign) = diary.visit_channel(at);
            diary.view(at, channel, campaign, order.product);
        }
        let at = order.at - diary.dice.between(90, 2 * HOUR);
        let at = at.max(earliest).min(order.at);
        if let Some(campaign) = order.campaign.filter(|_| order.channel == "email") {
            let sent = match catalog.campaigns[campaign].kind {
                "automation" => at - diary.dice.between(HOUR, DAY),
                _ => catalog.campaigns[campaign].starts_at,
            };
            if (*since..at - 60).contains(&sent) && profile.may_be_mailed(sent) {
                diary.add(sent, "email", Some(campaign), What::EmailSent);
                diary.add(at - 30, "email", Some(campaign), What::EmailOpened);
                let product = order.product;
                let what = What::EmailClicked { product };
                diary.add(at - 2, "email", Some(campaign), what);
            }
        }
        diary.view(at, order.channel, order.campaign, order.product);
    }

    fn asks_support(&mut self, ticket: &Opened) {
        let channel = self.diary.dice.pick(&["email", "phone", "chat"]);
        let Opened {
            number,
            at,
            order,
            category,
        } = *ticket;
        let what = What::SupportContacted {
            ticket: number,
            order,
            topic: category,
        };
        self.diary.add(at, channel, None, what);
    }

    /// Records a mailing to the person, if they receive it; returns whether they do.
    fn is_mailed(&mut self) -> bool {
        let mailings = &self.diary.subject.world.catalog.mailings;
        let first = mailings.partition_point(|mailing| mailing.starts_at < self.since);
        let sent = mailings.len() - first;
        if sent == 0 {
            return false;
        }
        // Lists grow, so that more is sent later on.
        let dice = &mut self.diary.dice;
        let mailing = first + dice.index(sent).max(dice.index(sent));
        self.diary.mail(mailing, i64::MAX)
    }

    fn browses(&mut self) {
        let Self { diary, since } = self;
        let (profile, world) = (diary.subject.profile, diary.subject.world);
        let mut at = world.calendar.moment(diary.dice, *since, profile.left);
        let (channel, campaign) = diary.visit_channel(at);
        let pages = *diary
            .dice
            .weighted(&[(500, 1), (300, 2), (140, 4), (60, 7)]);
        for _ in 0..pages {
            let product = world.catalog.product(diary.dice);
            diary.view(at, channel, campaign, product);
            at += diary.dice.between(5, 300);
        }
        if profile.kind != PersonKind::Business && diary.dice.chance(90) {
            let product = world.catalog.product(diary.dice);
            let items = diary.dice.between(1, 4);
            let what = What::CartAbandoned { product, items };
            diary.add(at + HOUR, channel, campaign, what);
        }
    }
}
