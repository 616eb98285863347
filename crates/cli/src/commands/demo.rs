//! The demo as a newcomer sees it.

use std::io::Write;

use rollbook_app::Workspace;
use rollbook_app::demo::{Demo, demo};
use rollbook_app::rows::{cells, json as rows_as_json};
use rollbook_app::scores::Method;
use serde_json::{Value, json};

use super::ingest::tell_of_key;
use super::{new_batch, now, serve};
use crate::arguments::{Form, Serve};
use crate::progress::progress;
use crate::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: Workspace,
    serves: Option<Serve>,
    form: Form,
) -> anyhow::Result<()> {
    let done = {
        let (progress, _bar) = progress();
        demo(&workspace, new_batch(), now(), &progress).await?
    };
    tell_of_key(&workspace);
    match form {
        Form::Table => tell(&workspace, &done)?,
        _ => print(&shown(&workspace, &done)?, form)?,
    }
    match serves {
        None => Ok(()),
        Some(what) => serve::run(workspace, what, Some(done.as_of)).await,
    }
}

fn tell(workspace: &Workspace, done: &Demo) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let counts = done
        .ingested
        .tables
        .iter()
        .map(|t| format!("{} {}", t.read, t.table));
    writeln!(out, "An outdoor shop that never was, as of {}:", done.as_of)?;
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
    tell_credit(&mut out, done)?;
    tell_leads(&mut out, done)?;
    let (lake, tenant) = (&workspace.location, &workspace.tenant);
    let flags = if lake == rollbook_model::config::DEFAULT_LAKE {
        format!("--tenant {tenant}")
    } else {
        format!("--lake {lake} --tenant {tenant}")
    };
    let as_of = done.as_of;
    writeln!(
        out,
        "\nAll of this is as of {as_of}, where the sample ends. Asked today, the lists on which"
    )?;
    writeln!(
        out,
        "time has a hold are stale, because time passed: `--as-of` looks from that moment."
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

/// Channels down, models across.
fn tell_credit(out: &mut impl Write, done: &Demo) -> anyhow::Result<()> {
    let report = &done.attributed.report;
    let currency = report.currency.as_deref().unwrap_or_default();
    writeln!(out, "\nWhat the money came from, in {currency}, by model:")?;
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

fn tell_leads(out: &mut impl Write, done: &Demo) -> anyhow::Result<()> {
    let tested = &done.lead_model.evaluation;
    let how = match done.lead_model.method {
        Method::Logistic => "learnt from what others did",
        Method::Rules => "by written rules",
    };
    let auc = tested
        .roc_auc
        .map_or_else(|| "none".to_owned(), |auc| format!("{auc:.3}"));
    writeln!(
        out,
        "\nThe best leads, {how} (ROC AUC {auc} of {} persons over {}):",
        tested.examples,
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

fn shown(workspace: &Workspace, done: &Demo) -> anyhow::Result<Shown> {
    let mut segments = Vec::new();
    for segment in &done.segments {
        let best: Value = serde_json::from_slice(&rows_as_json(&segment.best.batches)?)?;
        let (count, error) = match &segment.outcome.result {
            Ok(done) => (Some(done.refreshed.count), None),
            Err(error) => (None, Some(error.to_string())),
        };
        segments.push(json!({
            "segment": segment.key,
            "name": segment.name,
            "criteria": segment.criteria,
            "count": count,
            "error": error,
            "best": best,
        }));
    }
    let mut shown = Shown::list(&segments, &["segment", "name", "count", "criteria"])?;
    shown.document = Document::of(&json!({
        "lake": workspace.location,
        "tenant": workspace.tenant,
        "as_of": done.as_of,
        "ingest": done.ingested,
        "segments": segments,
        "attribution": done.attributed,
        "lead_model": done.lead_model,
        "best_leads": done.best_leads.iter().map(|lead| json!(lead.explanation)).collect::<Vec<_>>(),
    }))?;
    Ok(shown)
}

/// Text in lines that fit a terminal of 80 columns.
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
