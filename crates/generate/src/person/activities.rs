//! Activities of a person, inbound and outbound, and how they are written.

use std::io::{self, Write};

use super::Subject;
use super::orders::Placed;
use super::tickets::Opened;
use crate::error::GenerateError;
use crate::output::{Output, Table};

mod customer;
mod diary;
mod lead;

pub(super) use customer::of_a_customer;
pub(super) use lead::before_the_first_order;

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
    SignedUp,
    PricingViewed {
        seconds: i64,
    },
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
    /// Whether the business initiated the activity, such as a mail that it sent.
    pub(super) fn is_outbound(&self) -> bool {
        self.what == What::EmailSent
    }
}

/// Events of the person to which activities refer.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) orders: &'a [Placed],
    pub(super) tickets: &'a [Opened],
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
        .written(|cell| properties(subject, touch, cell))
        .end_at(touch.at)
}

fn name(what: What) -> &'static str {
    match what {
        What::SignedUp => "signed_up",
        What::PricingViewed { .. } => "pricing_viewed",
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

fn properties(subject: &Subject<'_>, touch: &Touch, json: &mut Vec<u8>) -> io::Result<()> {
    let products = &subject.world.catalog.products;
    let device = touch.device;
    match touch.what {
        What::PageViewed { product, seconds } => {
            let category = products[product].category;
            write!(
                json,
                r#"{{"category":"{category}","device":"{device}","seconds":{seconds}}}"#
            )
        }
        What::PricingViewed { seconds } => {
            write!(json, r#"{{"device":"{device}","seconds":{seconds}}}"#)
        }
        What::SignedUp | What::EmailOpened => write!(json, r#"{{"device":"{device}"}}"#),
        What::FormSubmitted { form } => write!(json, r#"{{"form":"{form}"}}"#),
        What::CartAbandoned { product, items } => {
            let value = products[product].price * items;
            let (whole, cents) = (value / 100, value % 100);
            write!(json, r#"{{"items":{items},"value":{whole}.{cents:02}}}"#)
        }
        What::SupportContacted { topic, .. } => write!(json, r#"{{"topic":"{topic}"}}"#),
        What::EmailSent | What::EmailClicked { .. } | What::EmailUnsubscribed => Ok(()),
    }
}
