//! The `attribution` command.

use std::io::Write;

use rollbook_app::Workspace;
use rollbook_app::attribution::{self, Question};

use crate::arguments::{Attribution, AttributionRun, OutputFormat};
use crate::commands::clock::{as_of, instant};
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Attribution,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let Attribution::Run(AttributionRun {
        models,
        by,
        from,
        to,
        lookback,
        half_life,
        moment,
    }) = arguments;
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
    print(&shown, format)?;
    if format == OutputFormat::Table {
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
                "refunds of it: {} {currency}, not deducted",
                report.refunded
            )?;
        }
    }
    if report.unconverted > 0 {
        eprintln!(
            "note: {} conversions are left out: `fx_rates` has no rate for their currency and day",
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
            "note: {} conversions are linked to no person",
            report.not_linked
        );
    }
    Ok(())
}
