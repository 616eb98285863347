//! Support tickets: most follow an order, more often a refunded one.

use super::orders::Placed;
use super::{Numbers, Subject};
use crate::calendar::{DAY, END, HOUR};
use crate::dice::Dice;
use crate::error::GenerateError;
use crate::output::{Output, Table};

/// A ticket that activities refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) order: u64,
    pub(super) category: &'static str,
}

pub(super) fn write(
    subject: &Subject<'_>,
    dice: &mut Dice,
    orders: &[Placed],
    opened: &mut Vec<Opened>,
    numbers: &mut Numbers,
    output: &mut Output,
) -> Result<(), GenerateError> {
    for order in orders.iter().filter(|order| order.known) {
        let unhappy = order.refunded_at.is_some();
        if !dice.chance(if unhappy { 600 } else { 55 }) {
            continue;
        }
        let at = match order.refunded_at {
            Some(refunded_at) => dice.between(order.at + HOUR, refunded_at),
            None => order.at + dice.between(HOUR, 21 * DAY),
        };
        if at > END {
            continue;
        }
        let category = if unhappy {
            dice.pick(&["return", "damaged", "return", "wrong_item"])
        } else {
            dice.pick(&["delivery", "delivery", "product", "invoice", "account"])
        };
        let number = Numbers::take(&mut numbers.ticket);
        opened.push(Opened {
            number,
            at,
            order: order.number,
            category,
        });

        let closed_at = at + dice.between(2 * HOUR, if unhappy { 20 * DAY } else { 6 * DAY });
        let closed_at = Some(closed_at).filter(|closed| *closed <= END && !dice.chance(60));
        let status = match closed_at {
            Some(_) => dice.pick(&["closed", "closed", "solved"]),
            None => dice.pick(&["open", "pending"]),
        };
        let priority = *dice.weighted(if unhappy {
            &[(500, "high"), (350, "normal"), (150, "urgent")]
        } else {
            &[(200, "low"), (700, "normal"), (100, "high")]
        });
        let satisfaction = closed_at.filter(|_| dice.chance(550)).map(|_| {
            *dice.weighted(if unhappy {
                &[(400, "1"), (300, "2"), (200, "3"), (100, "4")]
            } else {
                &[(50, "1"), (100, "3"), (350, "4"), (500, "5")]
            })
        });
        let row = output
            .row(Table::Tickets)
            .id('T', number)
            .id('P', subject.number)
            .text(status);
        let row = row
            .text(priority)
            .text(category)
            .time(at)
            .maybe_time(closed_at);
        row.maybe_text(satisfaction)
            .end_at(closed_at.unwrap_or(at))?;
    }
    Ok(())
}
