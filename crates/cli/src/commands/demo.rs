//! The `demo` command.

use std::io::Write;

use rollbook_app::Workspace;
use rollbook_app::attribution::Attributed;
use rollbook_app::demo::{Demo, demo};
use rollbook_app::ingest::Ingested;
use rollbook_app::rows::{cells, json as rows_as_json};
use rollbook_app::scores::{Explanation, Method, ScoreModel};
use rollbook_model::{TenantName, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arguments::{OutputFormat, Serve};
use crate::commands::clock::{new_batch, now};
use crate::commands::ingest::note_created_key;
use crate::commands::serve;
use crate::output::progress::progress;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: Workspace,
    serves: Option<Serve>,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let done = {
        let (progress, _bar) = progress();
        demo(&workspace, new_batch(), now(), &progress).await?
    };
    note_created_key(&workspace);
    match format {
        OutputFormat::Table => print_report(&workspace, &done)?,
        _ => print(&shown(&workspace, &done)?, format)?,
    }
    match serves {
        None => Ok(()),
        Some(arguments) => serve::run(workspace, arguments, Some(done.as_of)).await,
    }
}

fn print_report(workspace: &Workspace, done: &Demo) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let counts = done
        .ingested
        .tables
        .iter()
        .map(|t| format!("{} {}", t.read, t.table));
    writeln!(out, "Sample data of an outdoor shop, as of {}:", done.as_of)?;
    for line in wrapped(&counts.collect::<Vec<_>>().join(", ")) {
        writeln!(out, "  {line}")?;
    }
    for segment in &done.segments {
        let count = segment
            .outcome
            .result
            .as_ref()
            .map_or(0, |done| done.refreshed.count);
        writeln!(
            out,
            "\n{}: {count} persons ({})",
            segment.name, segment.purpose
        )?;
        for line in wrapped(segment.criteria) {
            writeln!(out, "    {line}")?;
        }
        for row in cells(&segment.best.batches)? {
            if let [id, name, country, spent] = row.as_slice() {
                writeln!(out, "  {id:>7}  {name:<32} {country:<3} {spent:>12} spent")?;
            }
        }
    }
    print_credits(&mut out, done)?;
    print_leads(&mut out, done)?;
    let (lake, tenant) = (&workspace.location, &workspace.tenant);
    let flags = if lake == rollbook_model::config::DEFAULT_LAKE {
        format!("--tenant {tenant}")
    } else {
        format!("--lake {lake} --tenant {tenant}")
    };
    let as_of = done.as_of;
    writeln!(
        out,
        "\nAll of this is as of {as_of}, the end of the sample. As of today, segments whose criteria"
    )?;
    writeln!(
        out,
        "depend on the time are stale: `--as-of` queries as of that moment."
    )?;
    writeln!(
        out,
        "\nThe lake is {lake}, tenant `{tenant}`. What to try next:"
    )?;
    writeln!(out, "  rollbook {flags} tables")?;
    writeln!(out, "  rollbook {flags} segment members big-spenders")?;
    if let Some(best) = done.best_leads.first() {
        let person = best.explanation.person_id;
        writeln!(
            out,
            "  rollbook {flags} score explain lead {person} \\\n    --as-of {as_of}"
        )?;
    }
    writeln!(
        out,
        "  rollbook {flags} segment preview --as-of {as_of} \\\n    --criteria \"country = 'DE' and total_spent > 500\""
    )?;
    writeln!(
        out,
        "  rollbook {flags} sql --as-of {as_of} \\\n    \"select country, count(*), sum(total_spent) from people group by 1 order by 3 desc\""
    )?;
    writeln!(
        out,
        "(`cargo run -- ARGUMENTS` runs rollbook from the source folder.)"
    )?;
    Ok(())
}

/// A row per channel, a column per model.
fn print_credits(out: &mut impl Write, done: &Demo) -> anyhow::Result<()> {
    let report = &done.attributed.report;
    let currency = report.currency.as_deref().unwrap_or_default();
    writeln!(
        out,
        "\nRevenue by channel, in {currency}, by attribution model:"
    )?;
    let models = &report.question.models;
    let names: String = models
        .iter()
        .map(|model| format!("{:>14}", model.name()))
        .collect();
    writeln!(out, "  {:<14}{names}", "channel")?;
    let channels = report.rows.iter().filter(|row| row.model == models[0]);
    for channel in channels.map(|row| &row.channel) {
        let value = |model| {
            let row = report
                .rows
                .iter()
                .find(|row| row.model == model && row.channel == *channel);
            row.map_or_else(String::new, |row| row.value.to_string())
        };
        let values: String = models
            .iter()
            .map(|model| format!("{:>14}", value(*model)))
            .collect();
        writeln!(out, "  {channel:<14}{values}")?;
    }
    let sums: String = models
        .iter()
        .map(|_| format!("{:>14}", report.booked.to_string()))
        .collect();
    writeln!(out, "  {:<14}{sums}", "booked")?;
    Ok(())
}

fn print_leads(out: &mut impl Write, done: &Demo) -> anyhow::Result<()> {
    let test = &done.lead_model.evaluation;
    let method = match done.lead_model.method {
        Method::Logistic => "by a model learnt from earlier leads",
        Method::Rules => "by fixed rules",
    };
    let auc = test
        .roc_auc
        .map_or_else(|| "none".to_owned(), |auc| format!("{auc:.3}"));
    writeln!(
        out,
        "\nThe best leads, {method} (ROC AUC {auc} of {} persons over {}):",
        test.examples,
        done.lead_model.kind.horizon()
    )?;
    for lead in &done.best_leads {
        let explanation = &lead.explanation;
        let percent = explanation.probability * 100.0;
        writeln!(
            out,
            "  {:>7}  {:<32} {percent:>5.1} %",
            explanation.person_id, lead.name
        )?;
        let mut factors: Vec<_> = explanation
            .factors
            .iter()
            .filter(|one| one.points > 0.0)
            .collect();
        factors.sort_by(|a, b| b.points.total_cmp(&a.points));
        let why: Vec<_> = factors.iter().take(3).map(|one| one.meaning).collect();
        writeln!(out, "           {}", why.join("; "))?;
    }
    Ok(())
}

/// The demo as JSON.
#[derive(Serialize)]
struct DemoDocument<'a> {
    lake: &'a str,
    tenant: &'a TenantName,
    as_of: Timestamp,
    ingest: &'a Ingested,
    segments: Vec<SegmentSummary<'a>>,
    attribution: &'a Attributed,
    lead_model: &'a ScoreModel,
    best_leads: Vec<&'a Explanation>,
}

/// A segment of the demo with its best members.
#[derive(Serialize)]
struct SegmentSummary<'a> {
    segment: &'a str,
    name: &'a str,
    criteria: &'a str,
    count: Option<u64>,
    error: Option<String>,
    best: Box<RawValue>,
}

fn shown(workspace: &Workspace, done: &Demo) -> anyhow::Result<Shown> {
    let mut segments = Vec::new();
    for segment in &done.segments {
        let (count, error) = match &segment.outcome.result {
            Ok(done) => (Some(done.refreshed.count), None),
            Err(error) => (None, Some(error.to_string())),
        };
        segments.push(SegmentSummary {
            segment: segment.key,
            name: segment.name,
            criteria: segment.criteria,
            count,
            error,
            best: serde_json::from_slice(&rows_as_json(&segment.best.batches)?)?,
        });
    }
    let mut shown = Shown::list(&segments, &["segment", "name", "count", "criteria"])?;
    shown.document = Document::of(&DemoDocument {
        lake: &workspace.location,
        tenant: &workspace.tenant,
        as_of: done.as_of,
        ingest: &done.ingested,
        segments,
        attribution: &done.attributed,
        lead_model: &done.lead_model,
        best_leads: done
            .best_leads
            .iter()
            .map(|lead| &lead.explanation)
            .collect(),
    })?;
    Ok(shown)
}

/// Wraps a text to lines that fit a terminal of 80 columns.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 72 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
