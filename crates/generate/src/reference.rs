//! Writes the tables without persons: products, campaigns, organizations, rates, pipelines.

use crate::calendar::{DAY, DAYS, END, START};
use crate::countries::COUNTRIES;
use crate::dice::{Dice, Stream};
use crate::error::GenerateError;
use crate::output::{Output, Table};
use crate::world::World;

/// Pipeline, stage, position, probability of winning in percent, whether it is won, whether it is lost.
const STAGES: [(&str, &str, i64, i64, bool, bool); 10] = [
    ("sales", "qualified", 0, 20, false, false),
    ("sales", "proposal", 1, 45, false, false),
    ("sales", "negotiation", 2, 70, false, false),
    ("sales", "won", 3, 100, true, false),
    ("sales", "lost", 4, 0, false, true),
    ("renewals", "qualified", 0, 50, false, false),
    ("renewals", "proposal", 1, 70, false, false),
    ("renewals", "negotiation", 2, 85, false, false),
    ("renewals", "won", 3, 100, true, false),
    ("renewals", "lost", 4, 0, false, true),
];

/// The probability of winning a deal in a stage, in percent.
pub(crate) fn probability(pipeline: &str, stage: &str) -> i64 {
    let found = STAGES
        .iter()
        .find(|row| row.0 == pipeline && row.1 == stage);
    found.map_or(0, |row| row.3)
}

pub(crate) fn write(
    world: &World,
    dice: &mut Dice,
    output: &mut Output,
) -> Result<(), GenerateError> {
    products(world, output)?;
    campaigns(world, dice, output)?;
    organizations(world, output)?;
    rates(world, dice, output)?;
    for (pipeline, stage, position, chance, is_won, is_lost) in STAGES {
        let row = output
            .row(Table::Pipelines)
            .text(&format!("{pipeline}/{stage}"));
        let row = row
            .text(pipeline)
            .text(stage)
            .int(position)
            .hundredths(chance);
        row.flag(is_won).flag(is_lost).end()?;
    }
    Ok(())
}

fn products(world: &World, output: &mut Output) -> Result<(), GenerateError> {
    for product in &world.catalog.products {
        let row = output
            .row(Table::Products)
            .text(&product.sku)
            .text(&product.name);
        let row = row
            .text(&product.sku)
            .text(product.category)
            .hundredths(product.price);
        let properties = format!(r#"{{"weight_grams":{}}}"#, product.weight_grams);
        row.text("EUR")
            .flag(product.is_active)
            .text(&properties)
            .end()?;
    }
    Ok(())
}

fn campaigns(world: &World, dice: &mut Dice, output: &mut Output) -> Result<(), GenerateError> {
    for campaign in &world.catalog.campaigns {
        let status = if campaign.ends_at < END {
            "ended"
        } else {
            "active"
        };
        let costs = campaign.budget > 0;
        let row = output
            .row(Table::Campaigns)
            .text(&campaign.id)
            .text(&campaign.name);
        let row = row.text(campaign.kind).text(campaign.channel).text(status);
        let row = row.time(campaign.starts_at).time(campaign.ends_at);
        let row = if costs {
            row.hundredths(campaign.budget).text("EUR")
        } else {
            row.blank().blank()
        };
        row.maybe_text(campaign.variant).end()?;
        if let Some(variant) = campaign
            .variant
            .filter(|_| output.has(Table::TruthVariants))
        {
            let row = output.row(Table::TruthVariants).text(&campaign.id);
            row.text(variant).thousandths(campaign.click_rate).end()?;
        }
        if !costs {
            continue;
        }
        let days = (campaign.ends_at - campaign.starts_at) / DAY + 1;
        for day in 0..days {
            let at = campaign.starts_at + day * DAY;
            let amount = campaign.budget / days * dice.between(70, 130) / 100;
            let clicks = amount / dice.between(45, 80);
            let name = format!("{}/{}", campaign.id, world.calendar.day(at));
            let row = output
                .row(Table::CampaignSpend)
                .text(&name)
                .text(&campaign.id)
                .day(at);
            let row = row.hundredths(amount).text("EUR");
            row.int(clicks * dice.between(25, 60)).int(clicks).end()?;
        }
    }
    Ok(())
}

fn organizations(world: &World, output: &mut Output) -> Result<(), GenerateError> {
    const FIRST: [&str; 8] = [
        "Nordlicht",
        "Été",
        "Sólheim",
        "Grünfeld",
        "Alba",
        "Køge",
        "Río Claro",
        "Brightwater",
    ];
    const SECOND: [&str; 6] = [
        "Outdoor",
        "Expeditions",
        "Logistik",
        "Hôtels",
        "Schools",
        "Events",
    ];
    const INDUSTRIES: [&str; 6] = [
        "retail",
        "travel",
        "logistics",
        "hospitality",
        "education",
        "events",
    ];
    for number in 0..world.organizations {
        let mut dice = Dice::new(world.seed, Stream::Organization, number);
        let kind = dice.index(SECOND.len());
        let name = format!("{} {} {}", dice.pick(&FIRST), SECOND[kind], number + 1);
        let employees = dice.pareto(400_000) / 100;
        let employees = i64::try_from(employees).expect("a small number");
        let joined = world
            .calendar
            .joined(&mut dice, number, world.organizations);
        let row = output.row(Table::Organizations).id('G', number).text(&name);
        let row = row
            .text(&format!("org{}.example.com", number + 1))
            .text(INDUSTRIES[kind]);
        let row = row
            .int(employees)
            .hundredths(employees * dice.between(70, 220) * 100_000);
        let row = row.text("EUR").text(dice.weighted(COUNTRIES).code);
        row.text(dice.pick(&["net 14", "net 30", "net 60"]))
            .time(joined)
            .time(joined)
            .end()?;
    }
    Ok(())
}

/// Exchange rates vary a little from day to day around their first value, in ten-thousandths.
fn rates(world: &World, dice: &mut Dice, output: &mut Output) -> Result<(), GenerateError> {
    for (currency, begin) in [("GBP", 11_650), ("USD", 9_150)] {
        let mut rate = begin;
        for day in 0..DAYS {
            let at = START + day * DAY;
            rate += dice.between(-35, 35) + (begin - rate) / 40;
            let name = format!("{}/{currency}", world.calendar.day(at));
            let row = output
                .row(Table::FxRates)
                .text(&name)
                .day(at)
                .text(currency);
            row.text(&format!("{}.{:04}", rate / 10_000, rate % 10_000))
                .end()?;
        }
    }
    Ok(())
}
