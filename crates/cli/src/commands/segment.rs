//! The `segment` commands.

mod queries;
use std::process::ExitCode;

use rollbook_app::access::Rights;
use rollbook_app::segments::{Pull, Schedule, SetOperations, sql_folder};
use rollbook_app::{Workspace, segments};
use rollbook_model::config::DEFAULT_TENANT;
use serde_json::{Value, json};

use crate::arguments::{Members, OutputFormat, Put, Segment};
use crate::commands::clock::{as_of, instant, now};
use crate::output::report_error::report_error;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Segment,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    match arguments {
        Segment::Put(arguments) => put(workspace, *arguments, format).await?,
        Segment::List => {
            let listed = segments::list(workspace, now()).await?;
            let columns = [
                "key", "name", "revision", "count", "status", "refresh", "as_of", "criteria",
            ];
            print(&Shown::list(&listed, &columns)?, format)?;
        }
        Segment::Show { key } => {
            print(
                &Shown::object(&segments::show(workspace, &key, now()).await?)?,
                format,
            )?;
        }
        Segment::Delete { key } => {
            segments::delete(workspace, &key, now()).await?;
            print(&Shown::object(&json!({ "deleted": key }))?, format)?;
        }
        Segment::Refresh { keys, full, moment } => {
            let now = now();
            let as_of = instant(workspace, moment.as_of).await?.unwrap_or(now);
            let outcomes = segments::refresh(workspace, &keys, as_of, now, full).await?;
            return print_outcomes(outcomes, format);
        }
        Segment::Members(arguments) => members(workspace, arguments, format).await?,
        Segment::Apply {
            folder,
            check,
            moment,
        } => {
            let plan =
                sql_folder::plan(workspace, &folder, as_of(workspace, &moment).await?).await?;
            let columns = ["segment", "action", "before", "after", "entered", "left"];
            print(&Shown::list(&plan.lines, &columns)?, format)?;
            if check {
                return Ok(ExitCode::from(u8::from(!plan.lines.is_empty())));
            }
            sql_folder::apply(workspace, &plan, now()).await?;
        }
        Segment::Export { folder } => {
            let written = sql_folder::export(workspace, &folder).await?;
            print(&Shown::object(&json!({ "written": written }))?, format)?;
        }
        other => queries::run(workspace, other, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(workspace: &Workspace, arguments: Put, format: OutputFormat) -> anyhow::Result<()> {
    let schedule = arguments.is_static.then_some(Schedule::Static);
    let draft = segments::Draft {
        name: arguments.name,
        description: arguments.description,
        refresh: schedule.or(arguments.refresh),
        channel: arguments.channel,
        holdout: arguments.holdout,
        owner: arguments.owner,
        tags: arguments.tags,
        ..segments::Draft::new(arguments.key, arguments.criteria.unwrap_or_default())
    };
    if let Some(file) = arguments.members {
        let listing = segments::put_list(workspace, &draft, &file, now()).await?;
        if listing.unknown > 0 {
            let (unknown, lines) = (listing.unknown, &listing.unknown_lines);
            let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
            let lines = lines.join(", ");
            eprintln!("{unknown} lines match no person: {lines}");
        }
        return print(&Shown::object(&listing)?, format);
    }
    let saved = segments::put(workspace, &draft, now()).await?;
    print(&Shown::object(&saved)?, format)?;
    if format == OutputFormat::Table && !saved.is_static() {
        let tenant = tenant_flag(workspace);
        eprintln!("next: rollbook{tenant} segment refresh {}", saved.key);
    }
    Ok(())
}

async fn members(
    workspace: &Workspace,
    arguments: Members,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let combined = SetOperations {
        or: arguments.or,
        and: arguments.and,
        not: arguments.not,
    };
    let is_all = combined.is_empty() && !arguments.deliverable && arguments.sample.is_none();
    let persons = match is_all {
        true => {
            segments::members(workspace, &arguments.key, arguments.snapshot)
                .await?
                .1
        }
        false => {
            let pull = Pull {
                limit: usize::MAX - 1,
                deliverable: arguments.deliverable.then_some(arguments.channel),
                channel: arguments.channel,
                sample: arguments.sample,
                combined,
            };
            let page = segments::members_page(workspace, &arguments.key, None, &pull, now());
            page.await?.members
        }
    };
    if arguments.snapshot.is_none() {
        let freshness = segments::freshness_at(workspace, &arguments.key, now()).await?;
        if let (Some(reason), since) = (freshness.reason, freshness.since) {
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            eprintln!("segment `{}` is stale{since}: {reason}", arguments.key);
        }
    }
    let rows = persons.iter().map(|person| vec![person.to_string()]);
    let shown = Shown {
        document: Document::of(&persons)?,
        columns: vec!["person_id".to_owned()],
        rows: rows.collect(),
    };
    print(&shown, format)
}

/// Prints the outcome of every segment; fails if one failed.
fn print_outcomes(
    outcomes: Vec<segments::Outcome>,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    let lines: Vec<Value> = outcomes
        .iter()
        .map(|outcome| outcome.row(Rights::ALL))
        .collect();
    let columns = [
        "segment",
        "status",
        "count",
        "entered",
        "left",
        "evaluated",
        "snapshot",
        "as_of",
    ];
    print(&Shown::rows(&lines, &columns)?, format)?;
    let mut failed = 0_u8;
    for outcome in &outcomes {
        for warning in &outcome.warnings {
            eprintln!("note: segment `{}`: {warning}", outcome.segment);
        }
        if let Err(error) = &outcome.result {
            let segment = &outcome.segment;
            report_error(&anyhow::anyhow!("segment `{segment}`: {error}"), None);
            failed = 1;
        }
    }
    Ok(ExitCode::from(failed))
}

fn tenant_flag(workspace: &Workspace) -> String {
    match workspace.tenant.as_str() {
        DEFAULT_TENANT => String::new(),
        tenant => format!(" --tenant {tenant}"),
    }
}
