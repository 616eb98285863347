//! The `attribution` command.

use std::io::Write;

use rollbook_app::Place;
use rollbook_app::attribution::{self, Question};
use serde_json::json;

use super::as_of;
use crate::arguments::{Attribution, AttributionRun, Form};
use crate::show::{Shown, print};

pub(super) async fn run(place: &Place, what: Attribution, form: Form) -> anyhow::Result<()> {
    let Attribution::Run(AttributionRun {
        models,
        by,
        from,
        to,
        lookback,
        half_life,
        moment,
    }) = what;
    let question = Question {
        models,
        by,
        from,
        to,
        lookback,
        half_life,
    };
    let attributed = attribution::run(place, &question, as_of(&moment)).await?;
    let report = &attributed.report;
    let columns = ["model", "channel", "conversions", "value", "share"];
    let mut shown = Shown::list(&report.rows, &columns)?;
    shown.document = json!(attributed);
    print(&shown, form)?;
    if form == Form::Table {
        let currency = report.currency.as_deref().unwrap_or("no currency");
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "booked: {} {currency} in {} conversions, the sum of each model's rows",
            report.booked, report.conversions
        )?;
        if report.refunded.units() != 0 {
            writeln!(
                out,
                "of it given back: {} {currency}, not taken off",
                report.refunded
            )?;
        }
    }
    if report.unconverted > 0 {
        eprintln!(
            "note: {} conversions are left out: `fx_rates` has no rate of their currency on their day",
            report.unconverted
        );
    }
    if report.not_linked > 0 {
        eprintln!(
            "note: {} conversions are of nobody that is known",
            report.not_linked
        );
    }
    Ok(())
}
