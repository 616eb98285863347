//! The `segment` commands that ask and change nothing.

use rollbook_app::segments::{Explanation, Previewed};
use rollbook_app::{Workspace, segments};
use serde_json::{Value, json};

use crate::arguments::{Form, Segment};
use crate::commands::{as_of, now};
use crate::show::{Document, Shown, print};

pub(super) async fn run(workspace: &Workspace, what: Segment, form: Form) -> anyhow::Result<()> {
    match what {
        Segment::Preview { criteria, moment } => {
            let found =
                segments::preview(workspace, &criteria, as_of(workspace, &moment).await?).await?;
            previewed(&found, form)
        }
        Segment::Count { key } => print(
            &Shown::object(&segments::count(workspace, &key, now()).await?)?,
            form,
        ),
        Segment::Explain {
            key,
            person,
            moment,
        } => {
            let explained =
                segments::explain(workspace, &key, person, as_of(workspace, &moment).await?)
                    .await?;
            show_explanation(&explained, form)
        }
        Segment::Impact {
            key,
            criteria,
            moment,
        } => {
            let impact =
                segments::impact(workspace, &key, &criteria, as_of(workspace, &moment).await?)
                    .await?;
            print(&Shown::object(&impact)?, form)
        }
        Segment::Calendar { key, days, moment } => {
            let calendar =
                segments::calendar(workspace, &key, days, as_of(workspace, &moment).await?).await?;
            let columns = ["at", "entered", "left", "count"];
            print(&Shown::list(&calendar.days, &columns)?, form)
        }
        Segment::NearMiss { key, moment } => {
            let found =
                segments::near_miss(workspace, &key, as_of(workspace, &moment).await?).await?;
            let columns = ["clause", "text", "only_this_fails", "sample"];
            print(&Shown::list(&found.clauses, &columns)?, form)
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
            print(&Shown::object(&fitted)?, form)
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
            print(&shown, form)
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
            print(&shown, form)
        }
        Segment::Reach {
            key,
            channel,
            moment,
        } => {
            let reach =
                segments::reach(workspace, &key, channel, as_of(workspace, &moment).await?).await?;
            print(&Shown::object(&reach)?, form)
        }
        Segment::Overlap { keys } => {
            let overlap = segments::overlap(workspace, &keys).await?;
            let columns = ["a", "b", "both", "only_a", "only_b", "jaccard"];
            let mut shown = Shown::list(&overlap.pairs, &columns)?;
            shown.document = Document::of(&overlap)?;
            print(&shown, form)
        }
        _ => unreachable!("commands that change something are not asked here"),
    }
}

fn previewed(found: &Previewed, form: Form) -> anyhow::Result<()> {
    if form != Form::Table {
        return print(&Shown::object(found)?, form);
    }
    let short = json!({
        "count": found.count,
        "snapshot": found.snapshot,
        "as_of": found.as_of,
        "sample": found.sample,
    });
    print(&Shown::object(&short)?, form)?;
    if found.clauses.len() > 1 {
        println!();
        let columns = ["clause", "text", "alone", "without"];
        print(&Shown::list(&found.clauses, &columns)?, form)?;
    }
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// A line for each clause, further in for parts.
fn show_explanation(explained: &Explanation, form: Form) -> anyhow::Result<()> {
    let document = serde_json::to_value(explained)?;
    if form == Form::Json {
        return print(&Shown::object(explained)?, form);
    }
    let mut rows = Vec::new();
    lines(&document["why"], 0, &mut rows);
    let columns = ["met", "clause", "value", "bound", "distance"];
    let shown = Shown {
        document: Document::of(explained)?,
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    };
    let (key, about) = (&explained.segment, &explained.explained);
    let belongs = if about.is_member {
        "belongs"
    } else {
        "does not belong"
    };
    if form == Form::Table {
        println!(
            "person {} {belongs} to {key} at {}",
            about.person_id, explained.as_of
        );
        match about.turns_at {
            Some(at) => println!("{} on {at} if nothing happens", about.turns),
            None => println!("{}", about.turns),
        }
        println!();
    }
    print(&shown, form)
}

fn lines(line: &Value, depth: usize, rows: &mut Vec<Vec<String>>) {
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
        lines(part, depth + 1, rows);
    }
}
