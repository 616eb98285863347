//! Orders with their lines and refunds.

use super::{Numbers, Outcome, Subject};
use crate::calendar::{DAY, END, HOUR};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};
use crate::profile::PersonKind;

/// The data of an order that other events of the person need.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) channel: &'static str,
    pub(super) campaign: Option<usize>,
    pub(super) product: usize,
    /// False for orders of guests, whose person is unknown.
    pub(super) known: bool,
    /// Whether it is the customer's first order.
    pub(super) first: bool,
    pub(super) refunded_at: Option<i64>,
}

/// Amounts of an order in hundredths of its currency.
#[derive(Debug, Default)]
struct Amounts {
    subtotal: i64,
    discount: i64,
    tax: i64,
    shipping: i64,
    total: i64,
}

/// A line that may be refunded.
#[derive(Debug, Clone, Copy)]
struct Line {
    number: u64,
    product: usize,
    total: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Cancelled,
    Paid { at: i64 },
    PartiallyRefunded { paid_at: i64, at: i64 },
    Refunded { paid_at: i64, at: i64 },
}

/// Writes an order of a customer. The `first` order makes the person a customer: it certainly belongs to
/// them, and is paid at once. Later orders follow while they remain customers.
pub(super) fn write(
    subject: &Subject<'_>,
    first: bool,
    dice: &mut Dice,
    numbers: &mut Numbers,
    outcome: &mut Outcome,
    output: &mut Output,
) -> Result<Placed, GenerateError> {
    let (world, profile) = (subject.world, subject.profile);
    let number = Numbers::take(&mut numbers.order);
    let since = profile.customer_since.unwrap_or(profile.joined);
    let at = if first {
        since
    } else {
        world.calendar.moment(dice, since, profile.left)
    };
    let source = *dice.weighted(&[(640, "web"), (260, "app"), (100, "pos")]);
    let (channel, campaign) = match &profile.lead {
        Some(lead) if first => (lead.channel, lead.campaign),
        _ if source == "pos" => ("direct", None),
        _ => {
            let channel = channel(subject, dice, at);
            let month = world.calendar.month(at);
            let campaign = world.catalog.campaign(dice, channel, month, at);
            (channel, campaign)
        }
    };
    let known = first || !dice.chance(30);
    let person = known.then_some(subject.number);
    let currency = profile.country.currency;

    let mut amounts = Amounts::default();
    let mut returned = None;
    let lines = *dice.weighted(&[(560, 1), (250, 2), (110, 3), (55, 4), (25, 6)]);
    let scale = if profile.kind == PersonKind::Business {
        dice.between(2, 6)
    } else {
        1
    };
    for place in 1..=lines {
        let line = Line {
            number: Numbers::take(&mut numbers.line),
            product: world.catalog.product(dice),
            total: 0,
        };
        let product = &world.catalog.products[line.product];
        let quantity = scale * *dice.weighted(&[(780, 1), (160, 2), (60, 3)]);
        let unit_price = in_currency(product.price, currency);
        let full = quantity * unit_price;
        let discount = if dice.chance(110) { full / 10 } else { 0 };
        let line = Line {
            total: full - discount,
            ..line
        };
        amounts.subtotal += line.total;
        if returned.is_none() || dice.chance(300) {
            returned = Some(line);
        }
        let row = output
            .row(Table::OrderLines)
            .id('L', line.number)
            .maybe_id('P', person);
        let row = row
            .id('O', number)
            .int(place)
            .text(&product.sku)
            .text(&product.sku);
        let row = row.text(&product.name).text(product.category).int(quantity);
        let row = row
            .hundredths(unit_price)
            .hundredths(discount)
            .hundredths(line.total);
        row.text(currency).time(at).end_at(at)?;
    }
    let returned = returned.expect("an order has at least one line");

    if dice.chance(if channel == "email" { 350 } else { 110 }) {
        amounts.discount = amounts.subtotal * dice.pick(&[5, 10, 15]) / 100;
    }
    let net = amounts.subtotal - amounts.discount;
    amounts.tax = net * profile.country.tax / 1_000;
    amounts.shipping = if net >= 6_000 || source == "pos" {
        0
    } else {
        490
    };
    amounts.total = net + amounts.tax + amounts.shipping;

    let fate = if first {
        fate_of_paid(dice, at)
    } else {
        fate(dice, at)
    };
    let (paid_at, refunded_at) = match fate {
        Fate::Pending | Fate::Cancelled => (None, None),
        Fate::Paid { at } => (Some(at), None),
        Fate::PartiallyRefunded { paid_at, at } | Fate::Refunded { paid_at, at } => {
            (Some(paid_at), Some(at))
        }
    };
    let cancelled_at = (fate == Fate::Cancelled).then(|| END.min(at + dice.between(HOUR, 2 * DAY)));
    let status = match fate {
        Fate::Pending => "pending",
        Fate::Cancelled => "cancelled",
        Fate::Paid { at } if at + 4 * DAY > END => "paid",
        Fate::Paid { .. } => *dice.weighted(&[(900, "fulfilled"), (70, "completed"), (30, "paid")]),
        Fate::PartiallyRefunded { .. } => "partially_refunded",
        Fate::Refunded { .. } => "refunded",
    };
    let row = output
        .row(Table::Orders)
        .id('O', number)
        .maybe_id('P', person);
    let row = row.text(status).text(currency).hundredths(amounts.subtotal);
    let row = row.hundredths(amounts.discount).hundredths(amounts.tax);
    let row = row.hundredths(amounts.shipping).hundredths(amounts.total);
    let row = row
        .time(at)
        .maybe_time(paid_at)
        .maybe_time(cancelled_at)
        .text(source);
    let campaign_id = campaign.map(|campaign| world.catalog.campaigns[campaign].id.as_str());
    row.maybe_text(campaign_id)
        .end_at(paid_at.max(cancelled_at).unwrap_or(at))?;

    if let Some(at) = refunded_at {
        let whole = matches!(fate, Fate::Refunded { .. });
        let amount = if whole {
            amounts.total
        } else {
            returned.total.min(amounts.total * 4 / 5)
        };
        let refund = Numbers::take(&mut numbers.refund);
        let row = output
            .row(Table::Refunds)
            .id('R', refund)
            .maybe_id('P', person);
        let row = row
            .id('O', number)
            .maybe_id('L', (!whole).then_some(returned.number));
        row.hundredths(amount)
            .text(currency)
            .time(at)
            .flag(false)
            .end_at(at)?;
    }
    if known {
        outcome.last_seen = outcome.last_seen.max(at);
    }
    if known && paid_at.is_some() {
        outcome.revenue_orders += 1;
        outcome.spent += net;
    }
    let product = returned.product;
    Ok(Placed {
        number,
        at,
        channel,
        campaign,
        product,
        known,
        first,
        refunded_at,
    })
}

/// The channel through which somebody came to order.
fn channel(subject: &Subject<'_>, dice: &mut Dice, at: i64) -> &'static str {
    let channel = *dice.weighted(&[
        (230, "email"),
        (220, "paid_search"),
        (210, "organic"),
        (190, "direct"),
        (100, "paid_social"),
        (50, "referral"),
    ]);
    if channel == "email" && !subject.profile.may_be_mailed(at) {
        "direct"
    } else {
        channel
    }
}

/// Prices are set in euros; in other currencies they are near the converted value, rounded to a typical
/// price.
fn in_currency(price: i64, currency: &str) -> i64 {
    match currency {
        "GBP" => price * 88 / 100 / 10 * 10,
        "USD" => price * 110 / 100 / 10 * 10,
        _ => price,
    }
}

/// The outcome of an order placed at `at`, as known by the end of the data.
fn fate(dice: &mut Dice, at: i64) -> Fate {
    if dice.chance(40) {
        return Fate::Cancelled;
    }
    let wait = if dice.chance(850) {
        dice.between(5, 300)
    } else {
        dice.between(DAY, 4 * DAY)
    };
    let paid_at = at + wait;
    if paid_at > END || dice.chance(8) {
        return Fate::Pending;
    }
    fate_of_paid(dice, paid_at)
}

/// The outcome of a paid order.
fn fate_of_paid(dice: &mut Dice, paid_at: i64) -> Fate {
    let refunded_at = paid_at + dice.between(2 * DAY, 35 * DAY);
    match dice.below(1_000) {
        0..25 if refunded_at <= END => Fate::Refunded {
            paid_at,
            at: refunded_at,
        },
        25..60 if refunded_at <= END => Fate::PartiallyRefunded {
            paid_at,
            at: refunded_at,
        },
        _ => Fate::Paid { at: paid_at },
    }
}
