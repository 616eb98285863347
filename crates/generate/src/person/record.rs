//! The person's own row, which follows from their facts.

use super::card::Card;
use super::card::FIRST_PROVIDER;
use super::deals::OWNERS;
use super::{Outcome, Subject};
use crate::calendar::{DAY, END};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};
use crate::profile::PersonKind;

pub(super) fn write(
    subject: &Subject<'_>,
    dice: &mut Dice,
    outcome: &Outcome,
    card: &Card,
    output: &mut Output,
) -> Result<(), GenerateError> {
    let (profile, country) = (subject.profile, subject.profile.country);
    let business = profile.kind == PersonKind::Business;
    let customer = outcome.revenue_orders > 0 || outcome.won_deals > 0;
    let lead = !customer && profile.kind == PersonKind::Lead;
    let seen = outcome.last_seen;

    let row = output.row(Table::Persons).id('P', subject.number);
    let row = row
        .text(&format!("{} {}", card.first_name, card.last_name))
        .text(card.first_name)
        .text(card.last_name);
    let row = row.text(&card.email).flag(customer || dice.chance(500));
    let phone = card.phone.as_deref();
    let row = match phone {
        Some(phone) => row.text(phone).flag(dice.chance(300)),
        None => row.blank().blank(),
    };
    let (title, department) = dice.pick(&[
        ("Buyer", "Purchasing"),
        ("Head of Operations", "Operations"),
        ("Owner", ""),
    ]);
    let row = if business {
        row.text(title).text(department)
    } else {
        row.blank().blank()
    };
    let row = row.maybe_id('G', profile.organization);
    let cared_for = lead || business;
    let row = row.maybe_text(cared_for.then(|| dice.pick(&OWNERS)));
    let follow_up = (cared_for && dice.chance(350)).then(|| END + dice.between(1, 45) * DAY);
    let contact = *dice.weighted(&[(800, "email"), (120, "phone"), (80, "sms")]);
    let contact = if phone.is_none() { "email" } else { contact };
    let (city, region, postal_code) = card.city;
    let row = row
        .maybe_day(follow_up)
        .text(contact)
        .text(city)
        .text(region)
        .text(postal_code);
    let row = row.text(country.code).text(country.timezone);

    let has_login = !lead && dice.chance(700);
    let row = row.flag(has_login).flag(customer).flag(lead).flag(business);
    let row = row.flag(business && dice.chance(20)).flag(dice.chance(4));
    let stage = match outcome.revenue_orders {
        _ if customer && outcome.revenue_orders >= 8 => "evangelist",
        _ if customer => "customer",
        _ if business => "contact",
        _ if lead => "lead",
        _ => "visitor",
    };
    let lead_status = match (lead, outcome.open_deals) {
        (true, 0) => Some(*dice.weighted(&[
            (400, "new"),
            (300, "contacted"),
            (150, "qualified"),
            (150, "unqualified"),
        ])),
        (true, _) => Some("qualified"),
        (false, _) => None,
    };
    let source = match &profile.lead {
        Some(lead) => source_of(lead.channel),
        None => *dice.weighted(&[
            (300, "organic search"),
            (250, "paid search"),
            (150, "paid social"),
            (130, "referral"),
            (90, "trade fair"),
            (80, "newsletter"),
        ]),
    };
    let row = row.text(stage).maybe_text(lead_status).text(source);

    let vip = outcome.spent >= 150_000;
    let mailable = profile.may_be_mailed(END);
    let mut tags = Vec::new();
    tags.extend(mailable.then_some("newsletter"));
    tags.extend(business.then_some("b2b"));
    tags.extend(vip.then_some("vip"));
    tags.extend((outcome.revenue_orders >= 3).then_some("repeat"));
    let row = row.text(&tags.join(","));
    let row = if outcome.revenue_orders > 0 {
        let tier = match outcome.spent {
            ..20_000 => "bronze",
            20_000..80_000 => "silver",
            _ => "gold",
        };
        row.int(outcome.spent / 100).text(tier)
    } else {
        row.blank().blank()
    };
    let texts = phone.is_some() && dice.chance(350);
    let row = row
        .flag(vip)
        .flag(mailable)
        .flag(texts)
        .maybe_time(profile.opted_in);
    // Who agreed to be mailed agreed to have their data held; some others did as well.
    let consents = profile.opted_in.is_some() || dice.chance(700);
    let row = row
        .flag(consents)
        .maybe_time(consents.then_some(profile.joined));
    let row = if dice.chance(250) {
        let product = &subject.world.catalog.products[subject.world.catalog.product(dice)];
        row.text(&format!(
            r#"{{"favourite_category":"{}"}}"#,
            product.category
        ))
    } else {
        row.blank()
    };
    let updated_at = seen.max(profile.opted_out.unwrap_or(seen));
    let row = row.time(profile.joined).time(updated_at).time(seen);
    if subject.world.duplicates_per_mille > 0 {
        row.text(FIRST_PROVIDER).end()
    } else {
        row.end()
    }
}

/// The shop's name for the channel of a lead.
fn source_of(channel: &'static str) -> &'static str {
    match channel {
        "organic" => "organic search",
        "paid_search" => "paid search",
        "paid_social" => "paid social",
        "email" => "newsletter",
        channel => channel,
    }
}
