//! The demo as a newcomer sees it.

use std::io::Write;

use rollbook_app::Place;
use rollbook_app::demo::{Demo, demo};
use rollbook_app::rows::{cells, json as rows_as_json};
use serde_json::{Value, json};

use super::{new_batch, now};
use crate::arguments::Form;
use crate::show::{Shown, print};
use crate::telling::progress;

pub(super) async fn run(place: &Place, form: Form) -> anyhow::Result<()> {
    let done = {
        let (progress, _bar) = progress();
        demo(place, new_batch(), now(), &progress).await?
    };
    match form {
        Form::Table => tell(place, &done),
        _ => print(&shown(place, &done)?, form),
    }
}

fn tell(place: &Place, done: &Demo) -> anyhow::Result<()> {
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
            .map_or(0, |refreshed| refreshed.count);
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
    let (lake, tenant) = (&place.location, &place.tenant);
    let flags = if lake == rollbook_model::config::DEFAULT_LAKE {
        format!("--tenant {tenant}")
    } else {
        format!("--lake {lake} --tenant {tenant}")
    };
    let as_of = done.as_of;
    writeln!(
        out,
        "\nThe lake is {lake}, tenant `{tenant}`. What to try next:"
    )?;
    writeln!(out, "  rollbook {flags} tables")?;
    writeln!(out, "  rollbook {flags} segment members big-spenders")?;
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

fn shown(place: &Place, done: &Demo) -> anyhow::Result<Shown> {
    let mut segments = Vec::new();
    for segment in &done.segments {
        let best: Value = serde_json::from_slice(&rows_as_json(&segment.best.batches)?)?;
        let (count, error) = match &segment.outcome.result {
            Ok(refreshed) => (Some(refreshed.count), None),
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
    shown.document = json!({
        "lake": place.location,
        "tenant": place.tenant,
        "as_of": done.as_of,
        "ingest": done.ingested,
        "segments": segments,
    });
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
