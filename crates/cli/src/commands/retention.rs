//! The `retention` commands.

use rollbook_app::Workspace;
use rollbook_app::retention::{RetentionReport, RetentionRule, reports, rules, run as remove, set};
use serde_json::{Value, json};

use crate::arguments::{OutputFormat, Retention};
use crate::commands::clock::{decider, now};
use crate::commands::ingest::refresh_segments;
use crate::commands::maintenance;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Retention,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Retention::Show => print_rules(&rules(workspace, now()).await?, format),
        Retention::Set { rule, days } => {
            print_rules(&set(workspace, &rule, Some(days), now()).await?, format)
        }
        Retention::Unset { rule } => {
            print_rules(&set(workspace, &rule, None, now()).await?, format)
        }
        Retention::Run { how } => {
            let report = remove(workspace, &decider(&how)).await?;
            let mut shown = Shown::list(&lines(&report), &["what", "removed", "held"])?;
            shown.document = Document::of(&report)?;
            print(&shown, format)?;
            if report.rules.is_empty() {
                eprintln!("no rule is set: `rollbook retention set TABLE DAYS` sets one");
            }
            if how.dry_run {
                if format == OutputFormat::Table {
                    eprintln!("dry run: nothing was changed");
                }
                return Ok(());
            }
            if report.snapshot.is_some() {
                maintenance::collect(workspace).await?;
                refresh_segments(workspace).await;
            }
            Ok(())
        }
        Retention::Reports => {
            let all = reports(workspace).await?;
            let columns = ["snapshot", "at", "by", "finished", "rows", "values"];
            print(&Shown::list(&all, &columns)?, format)
        }
    }
}

fn print_rules(rules: &[RetentionRule], format: OutputFormat) -> anyhow::Result<()> {
    if rules.is_empty() {
        eprintln!("no rule is set: everything is kept");
    }
    print(&Shown::list(rules, &["rule", "days", "before"])?, format)
}

/// A report as lines: what was removed, and what was not because of a legal hold.
fn lines(report: &RetentionReport) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut add = |what: String, removed: u64, held: Option<u64>| {
        if removed > 0 || held.is_some_and(|held| held > 0) {
            lines.push(json!({"what": what, "removed": removed, "held": held}));
        }
    };
    let mut tables: Vec<&String> = report.rows.keys().chain(report.held.rows.keys()).collect();
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        let count = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.get(table).copied().unwrap_or_default()
        };
        let (removed, held) = (count(&report.rows), count(&report.held.rows));
        add(format!("rows of {table}"), removed, Some(held));
    }
    for (table, count) in &report.values {
        add(format!("personal values of {table}"), *count, None);
    }
    add(
        "persons not seen".to_owned(),
        report.persons_unseen,
        Some(report.held.persons),
    );
    add(
        "persons past their date".to_owned(),
        report.persons_past_date,
        None,
    );
    add(
        "rejected requests".to_owned(),
        report.rejected_requests,
        None,
    );
    add(
        "entries into segments and exits".to_owned(),
        report.segment_changes,
        Some(report.held.segment_changes),
    );
    add("snapshots".to_owned(), report.snapshots.count, None);
    for (name, number) in &report.snapshots.named {
        add(format!("snapshot {number}, named {name}"), 1, None);
    }
    lines
}
