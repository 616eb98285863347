//! The `attribution` command.

use std::io::Write;

use rollbook_app::Workspace;
use rollbook_app::attribution::{self, Question};

use super::{as_of, instant};
use crate::arguments::{Attribution, AttributionRun, Form};
use crate::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    what: Attribution,
    form: Form,
) -> anyhow::Result<()> {
    let Attribution::Run(AttributionRun {
        models,
        by,
        from,
        to,
        lookback,
        half_life,
        moment,
    }) = what;
    let (from, to) = (
        instant(workspace, from).await?,
        instant(workspace, to).await?,
    );
    let question = Question {
        models,
        by,
        from,
        to,
        lookback,
        half_life,
    };
    let attributed =
        attribution::run(workspace, &question, as_of(workspace, &moment).await?).await?;
    let report = &attributed.report;
    let columns = ["model", "channel", "conversions", "value", "share"];
    let mut shown = Shown::list(&report.rows, &columns)?;
    shown.document = Document::of(&attributed)?;
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
            "note: {} conversions are left out: `fx_rates` has no rate of their currency for their day",
            report.unconverted
        );
    }
    if report.earlier_rate > 0 {
        eprintln!(
            "note: {} amounts are converted by the rate of an earlier day (setting `fx_days`)",
            report.earlier_rate
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
