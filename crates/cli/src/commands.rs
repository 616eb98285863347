//! What each command does: call the verb, print its answer.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use clap::CommandFactory;
use rollbook_app::compacting::{Extent, compact};
use rollbook_app::identity::Decider;
use rollbook_app::maintenance::{restore, vacuum};
use rollbook_app::usage::{most_of_ingest, most_resident, watch_own_memory};
use rollbook_app::{AppError, Workspace, data};
use rollbook_model::config::{DEFAULT_TENANT, Limits};
use rollbook_model::settings::SETTING_KEYS;
use rollbook_model::{BatchId, GivenTime, TenantName, Timestamp, tables};
use serde_json::json;

use crate::arguments::{Arguments, Command, Deciding, Form, Moment};
use crate::report_error::report_error;
use crate::show::{Document, Shown, print, print_rows};

mod attribution;
mod demo;
mod identity;
mod ingest;
mod journal;
mod maintenance;
mod person;
mod score;
mod segment;
mod serve;
mod suppression;
mod sync;
mod traits;

/// Does what the arguments say.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { common, command } = arguments;
    let form = common.output;
    let is_demo = matches!(command, Command::Demo { .. });
    let fallback = if is_demo {
        rollbook_app::demo::TENANT
    } else {
        DEFAULT_TENANT
    };
    let tenant = match common.tenant {
        Some(tenant) => tenant,
        None => fallback.parse::<TenantName>()?,
    };
    let mut limits = Limits::default();
    if let Some(mebibytes) = common.memory_mib {
        limits.memory = usize::try_from(u64::from(mebibytes) << 20)?;
    }
    let workspace = Workspace::new(common.lake, tenant, limits);
    match command {
        Command::Sql { .. } | Command::Segment(_) | Command::Traits(_) => {
            end_beyond(most_resident(limits.memory), limits.memory);
        }
        Command::Ingest(_) | Command::Sync { .. } | Command::Quarantine { .. } => {
            end_beyond(most_of_ingest(limits.memory), limits.memory);
        }
        _ => {}
    }
    match command {
        Command::Demo { serve, how } => demo::run(workspace, serve.then_some(how), form).await?,
        Command::Generate(what) => ingest::generate(what, form)?,
        Command::Ingest(what) => ingest::ingest(&workspace, what, form).await?,
        Command::Sync {
            folder,
            full,
            mappings,
        } => return sync::run(&workspace, folder, full, mappings, form).await,
        Command::Inspect { file } => ingest::inspect(&file, form)?,
        Command::Quarantine(what) => return ingest::quarantine(workspace, what, form).await,
        Command::Tables => {
            let sizes = data::table_sizes(&workspace).await?;
            let columns = [
                "table",
                "rows",
                "files",
                "bytes",
                "delta_version",
                "meaning",
            ];
            print(&Shown::list(&sizes, &columns)?, form)?;
        }
        Command::Schema { table } => print(&schema(table.as_deref())?, form)?,
        Command::Sql {
            query,
            moment,
            snapshot,
            limit,
            timeout,
            explain,
        } => {
            let mut workspace = workspace;
            workspace.limits.rows = limit.unwrap_or(workspace.limits.rows);
            workspace.limits.time = timeout.map_or(workspace.limits.time, Duration::from_secs);
            let query = if query == "-" {
                standard_input()?
            } else {
                query
            };
            if explain {
                let plan = data::explain(
                    &workspace,
                    &query,
                    as_of(&workspace, &moment).await?,
                    snapshot,
                )
                .await?;
                return show_plan(&plan, form);
            }
            let answer = data::sql(
                &workspace,
                &query,
                as_of(&workspace, &moment).await?,
                snapshot,
            )
            .await?;
            print_rows(&answer.schema, &answer.batches, form)?;
            if answer.truncated {
                return Ok(cut(workspace.limits.rows, form));
            }
        }
        Command::Settings { key, value } => settings(&workspace, key, value, form).await?,
        Command::Traits(what) => return traits::run(&workspace, what, form).await,
        Command::Segment(what) => return segment::run(&workspace, what, form).await,
        Command::Person(what) => person::run(&workspace, what, form).await?,
        Command::Identity(what) => identity::run(&workspace, what, form).await?,
        Command::Suppression(what) => suppression::run(&workspace, what, form).await?,
        Command::Attribution(what) => attribution::run(&workspace, what, form).await?,
        Command::Score(what) => score::run(&workspace, what, form).await?,
        Command::Serve(what) => serve::run(workspace, what, None).await?,
        Command::Work => serve::work(workspace).await?,
        Command::Journal(what) => return journal::run(&workspace, what.command, form).await,
        Command::Snapshots => {
            let lines = data::snapshots(&workspace).await?;
            let columns = ["snapshot", "committed_at", "kind", "batch", "detail"];
            print(&Shown::list(&lines, &columns)?, form)?;
        }
        Command::Snapshot(what) => maintenance::snapshot(&workspace, what, form).await?,
        Command::Vacuum { dry_run } => {
            let collected = vacuum(&workspace, dry_run, now()).await?;
            print(&Shown::object(&collected)?, form)?;
        }
        Command::Keys(what) => maintenance::keys(&workspace, what, form).await?,
        Command::Check => return maintenance::check(&workspace, form).await,
        Command::Backup(what) => maintenance::backup(&workspace, what, form).await?,
        Command::Restore { from } => {
            let copied = restore(&workspace, &from).await?;
            print(&Shown::object(&copied)?, form)?;
        }
        Command::Compact { all } => {
            let extent = match all {
                true => Extent::All,
                false => Extent::Due,
            };
            let done = compact(&workspace, extent, now()).await?;
            if done.is_empty() {
                eprintln!("every table is in good order: nothing was written");
            }
            let columns = ["table", "files_before", "files_after", "rows", "snapshot"];
            print(&Shown::list(&done, &columns)?, form)?;
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "rollbook", &mut text);
            std::io::stdout().write_all(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends this process where its memory goes far beyond the pool of its queries. Nothing else stops a
/// function that makes much out of little.
fn end_beyond(most: u64, pool: usize) {
    watch_own_memory(most, move || {
        let error = AppError::memory_exhausted(pool).into();
        std::process::exit(i32::from(report_error(&error, None)));
    });
}

/// Says that an answer was cut. What is read by a program does not pass for the whole.
fn cut(rows: usize, form: Form) -> ExitCode {
    eprintln!("only the first {rows} rows are shown: --limit ROWS shows more");
    match form {
        Form::Table => ExitCode::SUCCESS,
        Form::Json | Form::Csv => ExitCode::FAILURE,
    }
}

fn show_plan(plan: &str, form: Form) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match form {
        Form::Json => writeln!(out, "{}", json!({ "plan": plan }))?,
        Form::Table | Form::Csv => write!(out, "{plan}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The clock is read here and nowhere below.
fn decider(how: &Deciding) -> Decider {
    Decider {
        by: how.by.clone(),
        at: now(),
        dry_run: how.dry_run,
    }
}

fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}

async fn as_of(workspace: &Workspace, moment: &Moment) -> anyhow::Result<Timestamp> {
    Ok(instant(workspace, moment.as_of).await?.unwrap_or_else(now))
}

/// The instant that a time is, where one is given.
async fn instant(
    workspace: &Workspace,
    given: Option<GivenTime>,
) -> anyhow::Result<Option<Timestamp>> {
    Ok(match given {
        Some(given) => Some(data::moment(workspace, given).await?),
        None => None,
    })
}

/// A name for a run: the day, and a part that tells two runs of a day apart.
fn new_batch() -> BatchId {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(now().micros());
    BatchId::new(
        &Utc::now().format("%Y%m%d").to_string(),
        (random & 0x00ff_ffff) as u32,
    )
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the SQL from standard input")?;
    Ok(text)
}

fn schema(table: Option<&str>) -> anyhow::Result<Shown> {
    let Some(name) = table else {
        let all: Vec<_> = tables::TABLES
            .iter()
            .map(|def| {
                let columns = data::columns(def).len();
                json!({"table": def.name, "columns": columns, "meaning": def.meaning})
            })
            .collect();
        return Shown::list(&all, &["table", "columns", "meaning"]);
    };
    let def = data::table(name)?;
    let columns: Vec<_> = data::columns(def)
        .iter()
        .map(|column| {
            json!({
                "column": column.name,
                "type": column.ty.name(),
                "nullable": column.nullable,
                "personal": column.personal,
                "unit": column.unit,
                "ages": column.ages,
                "meaning": column.meaning,
            })
        })
        .collect();
    Shown::list(
        &columns,
        &["column", "type", "nullable", "personal", "unit", "meaning"],
    )
}

async fn settings(
    workspace: &Workspace,
    key: Option<String>,
    value: Option<String>,
    form: Form,
) -> anyhow::Result<()> {
    let settings = match (&key, &value) {
        (Some(key), Some(value)) => data::set(workspace, key, value, now()).await?,
        _ => data::settings(workspace).await?,
    };
    let keys = SETTING_KEYS
        .into_iter()
        .filter(|(known, _)| key.as_ref().is_none_or(|k| k == known));
    let mut lines = Vec::new();
    for (known, meaning) in keys {
        lines.push(json!({"key": known, "value": settings.get(known)?, "meaning": meaning}));
    }
    if let Some(key) = &key {
        // Only to complain of a name that is none.
        settings.get(key).map_err(rollbook_app::AppError::from)?;
    }
    let mut shown = Shown::list(&lines, &["key", "value", "meaning"])?;
    shown.document = Document::of(&settings)?;
    print(&shown, form)
}
