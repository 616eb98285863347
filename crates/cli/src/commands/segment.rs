//! The `segment` commands.

mod asking;

use std::process::ExitCode;

use rollbook_app::segments::{Combined, Pull, Schedule, code};
use rollbook_app::{Workspace, segments};
use rollbook_model::config::DEFAULT_TENANT;
use serde_json::{Value, json};

use super::{as_of, instant, now};
use crate::arguments::{Form, Members, Put, Segment};
use crate::report_error::report_error;
use crate::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    what: Segment,
    form: Form,
) -> anyhow::Result<ExitCode> {
    match what {
        Segment::Put(what) => put(workspace, *what, form).await?,
        Segment::List => {
            let listed = segments::list(workspace, now()).await?;
            let columns = [
                "key", "name", "revision", "count", "status", "refresh", "as_of", "criteria",
            ];
            print(&Shown::list(&listed, &columns)?, form)?;
        }
        Segment::Show { key } => {
            print(
                &Shown::object(&segments::show(workspace, &key, now()).await?)?,
                form,
            )?;
        }
        Segment::Delete { key } => {
            segments::delete(workspace, &key, now()).await?;
            print(&Shown::object(&json!({ "deleted": key }))?, form)?;
        }
        Segment::Refresh { keys, full, moment } => {
            let now = now();
            let as_of = instant(workspace, moment.as_of).await?.unwrap_or(now);
            let outcomes = segments::refresh(workspace, &keys, as_of, now, full).await?;
            return refreshed(outcomes, form);
        }
        Segment::Members(what) => members(workspace, what, form).await?,
        Segment::Apply {
            folder,
            check,
            moment,
        } => {
            let plan = code::plan(workspace, &folder, as_of(workspace, &moment).await?).await?;
            let columns = ["segment", "action", "before", "after", "entered", "left"];
            print(&Shown::list(&plan.lines, &columns)?, form)?;
            if check {
                return Ok(ExitCode::from(u8::from(!plan.lines.is_empty())));
            }
            code::apply(workspace, &plan, now()).await?;
        }
        Segment::Export { folder } => {
            let written = code::export(workspace, &folder).await?;
            print(&Shown::object(&json!({ "written": written }))?, form)?;
        }
        other => asking::run(workspace, other, form).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn put(workspace: &Workspace, what: Put, form: Form) -> anyhow::Result<()> {
    let schedule = what.is_static.then_some(Schedule::Static);
    let draft = segments::Draft {
        name: what.name,
        description: what.description,
        refresh: schedule.or(what.refresh),
        channel: what.channel,
        holdout: what.holdout,
        owner: what.owner,
        tags: what.tags,
        ..segments::Draft::new(what.key, what.criteria.unwrap_or_default())
    };
    if let Some(file) = what.members {
        let listing = segments::put_list(workspace, &draft, &file, now()).await?;
        if listing.unknown > 0 {
            let (unknown, lines) = (listing.unknown, &listing.unknown_lines);
            let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
            let lines = lines.join(", ");
            eprintln!("{unknown} lines name nobody in the lake: {lines}");
        }
        return print(&Shown::object(&listing)?, form);
    }
    let saved = segments::put(workspace, &draft, now()).await?;
    print(&Shown::object(&saved)?, form)?;
    if form == Form::Table && !saved.is_static() {
        let tenant = tenant_flag(workspace);
        eprintln!("next: rollbook{tenant} segment refresh {}", saved.key);
    }
    Ok(())
}

async fn members(workspace: &Workspace, what: Members, form: Form) -> anyhow::Result<()> {
    let combined = Combined {
        or: what.or,
        and: what.and,
        not: what.not,
    };
    let is_all = combined.is_empty() && !what.deliverable && what.sample.is_none();
    let persons = match is_all {
        true => {
            segments::members(workspace, &what.key, what.snapshot)
                .await?
                .1
        }
        false => {
            let pull = Pull {
                limit: usize::MAX - 1,
                deliverable: what.deliverable.then_some(what.channel),
                sample: what.sample,
                combined,
            };
            let page = segments::members_page(workspace, &what.key, None, &pull, now());
            page.await?.members
        }
    };
    if what.snapshot.is_none() {
        let standing = segments::freshness_at(workspace, &what.key, now()).await?;
        if let (Some(reason), since) = (standing.reason, standing.since) {
            let since = since.map_or_else(String::new, |since| format!(" since {since}"));
            eprintln!("segment `{}` is stale{since}: {reason}", what.key);
        }
    }
    let rows = persons.iter().map(|person| vec![person.to_string()]);
    let shown = Shown {
        document: Document::of(&persons)?,
        columns: vec!["person_id".to_owned()],
        rows: rows.collect(),
    };
    print(&shown, form)
}

/// Prints every segment's outcome; one that failed makes the command fail, after the others.
fn refreshed(outcomes: Vec<segments::Outcome>, form: Form) -> anyhow::Result<ExitCode> {
    let lines: Vec<Value> = outcomes.iter().map(segments::Outcome::row).collect();
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
    print(&Shown::list(&lines, &columns)?, form)?;
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
