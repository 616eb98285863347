//! The `segment` commands that only read.

use rollbook_app::segments::{Explanation, Previewed};
use rollbook_app::{Workspace, segments};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{OutputFormat, Segment};
use crate::commands::clock::{as_of, now};
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Segment,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Segment::Preview { criteria, moment } => {
            let found =
                segments::preview(workspace, &criteria, as_of(workspace, &moment).await?).await?;
            print_preview(&found, format)
        }
        Segment::Count { key } => print(
            &Shown::object(&segments::count(workspace, &key, now()).await?)?,
            format,
        ),
        Segment::Explain {
            key,
            person,
            moment,
        } => {
            let explained =
                segments::explain(workspace, &key, person, as_of(workspace, &moment).await?)
                    .await?;
            print_explanation(&explained, format)
        }
        Segment::Impact {
            key,
            criteria,
            moment,
        } => {
            let impact =
                segments::impact(workspace, &key, &criteria, as_of(workspace, &moment).await?)
                    .await?;
            print(&Shown::object(&impact)?, format)
        }
        Segment::Calendar { key, days, moment } => {
            let calendar =
                segments::calendar(workspace, &key, days, as_of(workspace, &moment).await?).await?;
            let columns = ["at", "entered", "left", "count"];
            print(&Shown::list(&calendar.days, &columns)?, format)
        }
        Segment::NearMiss { key, moment } => {
            let found =
                segments::near_miss(workspace, &key, as_of(workspace, &moment).await?).await?;
            let columns = ["clause", "text", "only_this_fails", "sample"];
            print(&Shown::list(&found.clauses, &columns)?, format)
        }
        Segment::Fit {
            key,
            clause,
            size,
            moment,
        } => {
            let fitted = segments::fit(
                workspace,
                &key,
                clause,
                size,
                as_of(workspace, &moment).await?,
            )
            .await?;
            print(&Shown::object(&fitted)?, format)
        }
        Segment::Changes { key, since } => {
            let changes = segments::changes(workspace, &key, since).await?;
            let rows = changes.changes.iter().flat_map(|change| {
                change.persons.iter().map(move |person| {
                    vec![
                        person.to_string(),
                        change.change.name().to_owned(),
                        change.reason.name().to_owned(),
                        change.at.to_string(),
                        change.snapshot.to_string(),
                        change.revision.to_string(),
                    ]
                })
            });
            let columns = [
                "person_id",
                "change",
                "reason",
                "at",
                "snapshot",
                "revision",
            ];
            let shown = Shown {
                rows: rows.collect(),
                columns: columns.map(str::to_owned).to_vec(),
                document: Document::of(&changes)?,
            };
            print(&shown, format)
        }
        Segment::History { key } => {
            let history = segments::history(workspace, &key).await?;
            let rows = history.iter().map(|change| {
                let moves = change.moves.iter().map(|one| {
                    format!(
                        "{} {} ({})",
                        one.count,
                        one.direction.name(),
                        one.reason.name()
                    )
                });
                vec![
                    change.at.to_string(),
                    change.as_of.to_string(),
                    change.snapshot.to_string(),
                    change.revision.to_string(),
                    change.count.to_string(),
                    moves.collect::<Vec<_>>().join(", "),
                ]
            });
            let columns = ["at", "as_of", "snapshot", "revision", "count", "changes"];
            let shown = Shown {
                rows: rows.collect(),
                columns: columns.map(str::to_owned).to_vec(),
                document: Document::of(&history)?,
            };
            print(&shown, format)
        }
        Segment::Reach {
            key,
            channel,
            moment,
        } => {
            let reach =
                segments::reach(workspace, &key, channel, as_of(workspace, &moment).await?).await?;
            print(&Shown::object(&reach)?, format)
        }
        Segment::Overlap { keys } => {
            let overlap = segments::overlap(workspace, &keys).await?;
            let columns = ["a", "b", "both", "only_a", "only_b", "jaccard"];
            let mut shown = Shown::list(&overlap.pairs, &columns)?;
            shown.document = Document::of(&overlap)?;
            print(&shown, format)
        }
        _ => unreachable!("the caller handles commands that change something"),
    }
}

/// The fields of a preview without its clauses.
#[derive(Serialize)]
struct PreviewSummary<'a> {
    count: u64,
    sample: &'a [u64],
    snapshot: SnapshotNumber,
    as_of: Timestamp,
}

fn print_preview(found: &Previewed, format: OutputFormat) -> anyhow::Result<()> {
    if format != OutputFormat::Table {
        return print(&Shown::object(found)?, format);
    }
    let short = PreviewSummary {
        count: found.count,
        sample: &found.sample,
        snapshot: found.snapshot,
        as_of: found.as_of,
    };
    print(&Shown::object(&short)?, format)?;
    if found.clauses.len() > 1 {
        println!();
        let columns = ["clause", "text", "alone", "without"];
        print(&Shown::list(&found.clauses, &columns)?, format)?;
    }
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// Prints a row per clause, indented by nesting.
fn print_explanation(explained: &Explanation, format: OutputFormat) -> anyhow::Result<()> {
    let document = serde_json::to_value(explained)?;
    if format == OutputFormat::Json {
        return print(&Shown::object(explained)?, format);
    }
    let mut rows = Vec::new();
    clause_rows(&document["why"], 0, &mut rows);
    let columns = ["met", "clause", "value", "bound", "distance"];
    let shown = Shown {
        document: Document::of(explained)?,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    };
    let (key, about) = (&explained.segment, &explained.explained);
    let verb = if about.is_member {
        "belongs"
    } else {
        "does not belong"
    };
    if format == OutputFormat::Table {
        println!(
            "person {} {verb} to {key} at {}",
            about.person_id, explained.as_of
        );
        match about.turns_at {
            Some(at) => println!("{} on {at}, assuming no new data", about.turns),
            None => println!("{}", about.turns),
        }
        println!();
    }
    print(&shown, format)
}

fn clause_rows(line: &Value, depth: usize, rows: &mut Vec<Vec<String>>) {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let kind = line["kind"].as_str().unwrap_or_default();
    let clause = match kind {
        "all" => "all of".to_owned(),
        "any" => "any of".to_owned(),
        "not" => "not".to_owned(),
        _ => text("text"),
    };
    let met = match line["is_met"].as_bool() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    rows.push(vec![
        met.to_owned(),
        format!("{}{clause}", "  ".repeat(depth)),
        text("value"),
        text("bound"),
        text("distance"),
    ]);
    for part in line["parts"].as_array().into_iter().flatten() {
        clause_rows(part, depth + 1, rows);
    }
}
