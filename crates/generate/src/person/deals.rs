//! Deals of persons who buy for an organization.

use super::{Numbers, Outcome, Subject};
use crate::calendar::{DAY, END};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};
use crate::reference::probability;

/// The users who are responsible for deals and leads.
pub(super) const OWNERS: [&str; 5] = ["rep-1", "rep-2", "rep-3", "rep-4", "rep-5"];
const LOST: [&str; 4] = ["price", "no answer", "chose another supplier", "no budget"];

pub(super) fn write(
    subject: &Subject<'_>,
    dice: &mut Dice,
    numbers: &mut Numbers,
    outcome: &mut Outcome,
    output: &mut Output,
) -> Result<(), GenerateError> {
    let (world, profile) = (subject.world, subject.profile);
    let number = Numbers::take(&mut numbers.deal);
    let created_at = world.calendar.moment(dice, profile.joined, END);
    let renewal = outcome.won_deals > 0 && dice.chance(400);
    let pipeline = if renewal { "renewals" } else { "sales" };
    let wins = dice.chance(if renewal { 700 } else { 380 });
    let cycle = dice.between(7, if wins { 90 } else { 140 }) * DAY + dice.between(0, DAY - 1);
    // A few are forgotten in an early stage and never closed.
    let closed_at = Some(created_at + cycle).filter(|at| *at <= END && !dice.chance(40));
    let (status, stage) = match closed_at {
        Some(_) if wins => ("won", "won"),
        Some(_) => ("lost", "lost"),
        None => (
            "open",
            dice.pick(&["qualified", "qualified", "proposal", "negotiation"]),
        ),
    };
    let lost_reason = (status == "lost").then(|| dice.pick(&LOST));
    let value = i64::try_from(dice.pareto(60_000)).expect("a small number") * 300 / 1_000 * 1_000;
    let subject_matter = dice.pick(&[
        "Staff equipment",
        "Rental fleet",
        "Team event",
        "Season stock",
    ]);
    let expected = created_at + dice.between(20, 120) * DAY;
    let updated_at = closed_at.unwrap_or_else(|| dice.between(created_at, END));

    let row = output
        .row(Table::Deals)
        .id('D', number)
        .id('P', subject.number);
    let row = row
        .maybe_id('G', profile.organization)
        .text(pipeline)
        .text(stage)
        .text(status);
    let row = row
        .maybe_text(lost_reason)
        .text(subject_matter)
        .hundredths(value)
        .text("EUR");
    let row = row
        .hundredths(probability(pipeline, stage))
        .text(dice.pick(&OWNERS));
    let row = row
        .day(expected)
        .flag(renewal || dice.chance(150))
        .time(created_at);
    row.maybe_time(closed_at)
        .time(updated_at)
        .end_at(updated_at)?;

    outcome.won_deals += u64::from(status == "won");
    outcome.open_deals += u64::from(status == "open");
    outcome.last_seen = outcome.last_seen.max(created_at);
    Ok(())
}
