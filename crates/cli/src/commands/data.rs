//! The commands `sql`, `tables`, `schema`, `snapshots` and `settings`.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rollbook_app::{Workspace, data};
use rollbook_model::settings::SETTING_KEYS;
use rollbook_model::tables;
use serde_json::json;

use crate::arguments::{OutputFormat, Sql};
use crate::commands::clock::{as_of, now};
use crate::output::show::{Document, Shown, print, print_rows};

/// Runs a query, or prints its plan.
pub(super) async fn sql(
    mut workspace: Workspace,
    arguments: Sql,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    workspace.limits.rows = arguments.limit.unwrap_or(workspace.limits.rows);
    workspace.limits.time = arguments
        .timeout
        .map_or(workspace.limits.time, Duration::from_secs);
    let query = if arguments.query == "-" {
        standard_input()?
    } else {
        arguments.query
    };
    if arguments.explain {
        let plan = data::explain(
            &workspace,
            &query,
            as_of(&workspace, &arguments.moment).await?,
            arguments.snapshot,
        )
        .await?;
        return show_plan(&plan, format);
    }
    let answer = data::sql(
        &workspace,
        &query,
        as_of(&workspace, &arguments.moment).await?,
        arguments.snapshot,
    )
    .await?;
    print_rows(&answer.schema, &answer.batches, format)?;
    match answer.truncated {
        true => Ok(note_truncation(workspace.limits.rows, format)),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Prints the tables that hold rows.
pub(super) async fn tables(workspace: &Workspace, format: OutputFormat) -> anyhow::Result<()> {
    let sizes = data::table_sizes(workspace).await?;
    let columns = [
        "table",
        "rows",
        "files",
        "bytes",
        "delta_version",
        "meaning",
    ];
    print(&Shown::list(&sizes, &columns)?, format)
}

/// Prints all snapshots.
pub(super) async fn snapshots(workspace: &Workspace, format: OutputFormat) -> anyhow::Result<()> {
    let lines = data::snapshots(workspace).await?;
    let columns = ["snapshot", "committed_at", "kind", "batch", "detail"];
    print(&Shown::list(&lines, &columns)?, format)
}

/// Notes that rows were cut. Incomplete JSON and CSV, which programs read, make the command fail.
pub(super) fn note_truncation(rows: usize, format: OutputFormat) -> ExitCode {
    eprintln!("only the first {rows} rows are shown: --limit ROWS shows more");
    match format {
        OutputFormat::Table => ExitCode::SUCCESS,
        OutputFormat::Json | OutputFormat::Csv => ExitCode::FAILURE,
    }
}

fn show_plan(plan: &str, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match format {
        OutputFormat::Json => writeln!(out, "{}", json!({ "plan": plan }))?,
        OutputFormat::Table | OutputFormat::Csv => write!(out, "{plan}")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the SQL from standard input")?;
    Ok(text)
}

/// Prints all canonical tables, or the columns of one.
pub(super) fn schema(table: Option<&str>, format: OutputFormat) -> anyhow::Result<()> {
    print(&schema_rows(table)?, format)
}

fn schema_rows(table: Option<&str>) -> anyhow::Result<Shown> {
    let Some(name) = table else {
        let all: Vec<_> = tables::TABLES
            .iter()
            .map(|def| {
                let columns = data::columns(def).len();
                json!({"table": def.name, "columns": columns, "meaning": def.meaning})
            })
            .collect();
        return Shown::rows(&all, &["table", "columns", "meaning"]);
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
    Shown::rows(
        &columns,
        &["column", "type", "nullable", "personal", "unit", "meaning"],
    )
}

/// Prints the settings, after changing one if a value is given.
pub(super) async fn settings(
    workspace: &Workspace,
    key: Option<String>,
    value: Option<String>,
    format: OutputFormat,
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
        // Fails for an unknown name.
        settings.get(key).map_err(rollbook_app::AppError::from)?;
    }
    let mut shown = Shown::list(&lines, &["key", "value", "meaning"])?;
    shown.document = Document::of(&settings)?;
    print(&shown, format)
}
