//! What a person did and what was sent to them, around their orders and in between.

use std::fmt::Write;

use super::Subject;
use super::orders::Placed;
use super::tickets::Opened;
use crate::calendar::{DAY, END, HOUR, START};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};
use crate::profile::Kind;
use crate::profile::courtship::{Courtship, SHOWS};

/// One activity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch {
    pub(super) at: i64,
    channel: &'static str,
    campaign: Option<usize>,
    what: What,
    device: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    PageViewed {
        product: usize,
        seconds: i64,
    },
    EmailSent,
    EmailOpened,
    EmailClicked {
        product: usize,
    },
    EmailUnsubscribed,
    FormSubmitted {
        form: &'static str,
    },
    CartAbandoned {
        product: usize,
        items: i64,
    },
    SupportContacted {
        ticket: u64,
        order: u64,
        topic: &'static str,
    },
}

impl Touch {
    /// Whether it was done to reach the person rather than by them.
    pub(super) fn is_outbound(&self) -> bool {
        self.what == What::EmailSent
    }
}

/// What happened to the person that activities tell of.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// What a lead does at first.
    pub(super) courtship: Option<&'a Courtship>,
    pub(super) orders: &'a [Placed],
    pub(super) tickets: &'a [Opened],
}

/// Makes exactly `count` activities in the order of time.
pub(super) fn make(
    subject: &Subject<'_>,
    dice: &mut Dice,
    told: &Told<'_>,
    count: u64,
    touches: &mut Vec<Touch>,
) {
    touches.clear();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut story = Story {
        subject,
        dice,
        touches,
    };
    if let Some(courtship) = told.courtship {
        story.courts(courtship);
    } else if count > 0 {
        story.signs_up();
    }
    // What leads do before they decide is their courtship and nothing else.
    let decided = usize::from(
        told.courtship
            .is_some_and(|courtship| courtship.buys_at.is_some()),
    );
    for order in told.orders.iter().skip(decided).filter(|order| order.known) {
        // Not all of a heavy buyer's activities should be visits that led to an order.
        if story.touches.len() * 3 < count * 2 {
            story.visits_before(order);
        }
    }
    for ticket in told.tickets {
        story.asks_support(ticket);
    }
    if let Some(at) = subject.profile.opted_out {
        story.add(at, "email", None, What::EmailUnsubscribed);
    }
    while story.touches.len() < count {
        let sent = story.dice.chance(640) && story.is_mailed();
        if !sent {
            story.browses();
        }
    }
    touches.truncate(count);
    touches.sort_by_key(|touch| touch.at);
}

struct Story<'a> {
    subject: &'a Subject<'a>,
    dice: &'a mut Dice,
    touches: &'a mut Vec<Touch>,
}

impl Story<'_> {
    fn add(&mut self, at: i64, channel: &'static str, campaign: Option<usize>, what: What) {
        if at > END {
            return;
        }
        let device = *self
            .dice
            .weighted(&[(550, "mobile"), (380, "desktop"), (70, "tablet")]);
        self.touches.push(Touch {
            at: at.max(START),
            channel,
            campaign,
            what,
            device,
        });
    }

    fn view(&mut self, at: i64, channel: &'static str, campaign: Option<usize>, product: usize) {
        let seconds = self.dice.between(4, 240);
        self.add(at, channel, campaign, What::PageViewed { product, seconds });
    }

    fn signs_up(&mut self) {
        let profile = self.subject.profile;
        let form = match profile.kind {
            Kind::Business => "quote_request",
            Kind::Lead => self.dice.pick(&["newsletter", "size_guide", "contact"]),
            Kind::Shopper => "account",
        };
        let (channel, campaign) = self.visit_channel(profile.joined);
        self.add(
            profile.joined,
            channel,
            campaign,
            What::FormSubmitted { form },
        );
    }

    fn courts(&mut self, courtship: &Courtship) {
        let (joined, world) = (self.subject.profile.joined, self.subject.world);
        let channel = courtship.channel;
        let month = world.calendar.month(joined);
        let campaign = world.catalog.campaign(self.dice, channel, month, joined);
        let form = self.dice.pick(&["newsletter", "size_guide"]);
        self.add(joined, channel, campaign, What::FormSubmitted { form });
        for _ in 0..courtship.pages {
            let at = joined + self.dice.between(60, SHOWS - 60);
            let product = world.catalog.product(self.dice);
            self.view(at, channel, campaign, product);
        }
        for _ in 0..courtship.forms {
            let at = joined + self.dice.between(60, SHOWS - 60);
            self.add(at, "direct", None, What::FormSubmitted { form: "contact" });
        }
        for _ in 0..courtship.clicks {
            let at = joined + self.dice.between(60, SHOWS - 60);
            let product = world.catalog.product(self.dice);
            self.add(at, "email", None, What::EmailClicked { product });
        }
    }

    fn visits_before(&mut self, order: &Placed) {
        let joined = self.subject.profile.joined;
        if self.dice.chance(450) {
            let at = joined
                .max(order.at - self.dice.between(DAY, 20 * DAY))
                .min(order.at - 60);
            let (channel, campaign) = self.visit_channel(at);
            self.view(at, channel, campaign, order.product);
        }
        let mut at = order.at - self.dice.between(90, 2 * HOUR);
        if let Some(mailing) = order.campaign.filter(|_| order.channel == "email") {
            let sent = self.subject.world.catalog.campaigns[mailing].starts_at;
            if self.subject.profile.may_be_mailed(sent) {
                self.add(sent, "email", Some(mailing), What::EmailSent);
            }
            at = at.max(sent + 60).min(order.at - 5);
            self.add(at - 30, "email", Some(mailing), What::EmailOpened);
            let what = What::EmailClicked {
                product: order.product,
            };
            self.add(at - 2, "email", Some(mailing), what);
        }
        self.view(at, order.channel, order.campaign, order.product);
    }

    fn asks_support(&mut self, ticket: &Opened) {
        let channel = self.dice.pick(&["email", "phone", "chat"]);
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
        self.add(at, channel, None, what);
    }

    /// One mailing with what the person did with it; false where they may not be mailed.
    fn is_mailed(&mut self) -> bool {
        let (profile, catalog) = (self.subject.profile, &self.subject.world.catalog);
        let from = catalog
            .mailings
            .partition_point(|mailing| catalog.campaigns[*mailing].starts_at < profile.joined);
        let mailings = &catalog.mailings[from..];
        if mailings.is_empty() {
            return false;
        }
        // Lists grow, so that more is sent later on.
        let mailing = self.dice.pick(mailings).max(self.dice.pick(mailings));
        let sent = catalog.campaigns[mailing].starts_at + self.dice.between(0, 2 * HOUR);
        if !profile.may_be_mailed(sent) {
            return false;
        }
        self.add(sent, "email", Some(mailing), What::EmailSent);
        let opens = if sent <= profile.left {
            profile.opens
        } else {
            profile.opens / 8
        };
        if !self.dice.chance(opens) {
            return true;
        }
        let opened = sent + self.dice.between(120, 2 * DAY);
        self.add(opened, "email", Some(mailing), What::EmailOpened);
        if self.dice.chance(450) {
            let product = catalog.product(self.dice);
            let clicked = opened + self.dice.between(3, 120);
            self.add(
                clicked,
                "email",
                Some(mailing),
                What::EmailClicked { product },
            );
            self.view(clicked + 2, "email", Some(mailing), product);
        }
        true
    }

    fn browses(&mut self) {
        let (profile, world) = (self.subject.profile, self.subject.world);
        let from = match profile.courtship {
            Some(_) => END.min(profile.joined + SHOWS),
            None => profile.joined,
        };
        let mut at = world.calendar.moment(self.dice, from, profile.left);
        let (channel, campaign) = self.visit_channel(at);
        let pages = *self.dice.weighted(&[(500, 1), (300, 2), (140, 4), (60, 7)]);
        for _ in 0..pages {
            let product = world.catalog.product(self.dice);
            self.view(at, channel, campaign, product);
            at += self.dice.between(5, 300);
        }
        if profile.kind == Kind::Shopper && self.dice.chance(90) {
            let product = world.catalog.product(self.dice);
            let items = self.dice.between(1, 4);
            self.add(
                at + HOUR,
                channel,
                campaign,
                What::CartAbandoned { product, items },
            );
        }
    }

    fn visit_channel(&mut self, at: i64) -> (&'static str, Option<usize>) {
        let channel = *self.dice.weighted(&[
            (300, "organic"),
            (260, "direct"),
            (210, "paid_search"),
            (150, "social"),
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

pub(super) fn write(
    subject: &Subject<'_>,
    touch: &Touch,
    number: u64,
    output: &mut Output,
) -> Result<(), GenerateError> {
    let catalog = &subject.world.catalog;
    let campaign = touch
        .campaign
        .map(|campaign| catalog.campaigns[campaign].id.as_str());
    let direction = if touch.is_outbound() {
        "outbound"
    } else {
        "inbound"
    };
    let row = output
        .row(Table::Activities)
        .id('A', number)
        .id('P', subject.number);
    let row = row
        .text(name(touch.what))
        .text(touch.channel)
        .maybe_text(campaign)
        .text(direction);
    let row = match touch.what {
        What::SupportContacted { ticket, order, .. } => {
            row.id('T', ticket).text("order").id('O', order)
        }
        What::PageViewed { product, .. }
        | What::EmailClicked { product }
        | What::CartAbandoned { product, .. } => row
            .blank()
            .text("product")
            .text(&catalog.products[product].sku),
        _ => row.blank().blank().blank(),
    };
    row.time(touch.at)
        .text(&properties(subject, touch))
        .end_at(touch.at)
}

fn name(what: What) -> &'static str {
    match what {
        What::PageViewed { .. } => "page_viewed",
        What::EmailSent => "email_sent",
        What::EmailOpened => "email_opened",
        What::EmailClicked { .. } => "email_clicked",
        What::EmailUnsubscribed => "email_unsubscribed",
        What::FormSubmitted { .. } => "form_submitted",
        What::CartAbandoned { .. } => "cart_abandoned",
        What::SupportContacted { .. } => "support_contacted",
    }
}

fn properties(subject: &Subject<'_>, touch: &Touch) -> String {
    let products = &subject.world.catalog.products;
    let mut json = String::new();
    let written = match touch.what {
        What::PageViewed { product, seconds } => {
            let (category, device) = (products[product].category, touch.device);
            write!(
                json,
                r#"{{"category":"{category}","device":"{device}","seconds":{seconds}}}"#
            )
        }
        What::EmailOpened => write!(json, r#"{{"device":"{}"}}"#, touch.device),
        What::FormSubmitted { form } => write!(json, r#"{{"form":"{form}"}}"#),
        What::CartAbandoned { product, items } => {
            let value = products[product].price * items;
            write!(
                json,
                r#"{{"items":{items},"value":{}.{:02}}}"#,
                value / 100,
                value % 100
            )
        }
        What::SupportContacted { topic, .. } => write!(json, r#"{{"topic":"{topic}"}}"#),
        What::EmailSent | What::EmailClicked { .. } | What::EmailUnsubscribed => Ok(()),
    };
    written.expect("writing to memory does not fail");
    json
}
