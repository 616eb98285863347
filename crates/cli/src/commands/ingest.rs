//! The commands around files: generate, ingest, inspect, quarantine.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use indicatif::HumanCount;
use rollbook_app::compacting::{Extent, compact};
use rollbook_app::ingest::{self, Ingested};
use rollbook_app::segments;
use rollbook_app::{AppError, Options, Unfound, Workspace};
use rollbook_model::ProviderName;
use serde_json::json;

use super::{cut, new_batch, now};
use crate::arguments::{
    FileFormat, Form, Generate, Ingest, IngestCommand, Quarantine, QuarantineCommand,
};
use crate::progress::progress;
use crate::show::{Document, Shown, print, print_rows};

pub(super) fn generate(what: Generate, form: Form) -> anyhow::Result<()> {
    let options = Options {
        persons: what.persons,
        seed: what.seed,
        format: match what.format {
            FileFormat::Csv => rollbook_app::Format::Csv,
            FileFormat::Parquet => rollbook_app::Format::Parquet,
        },
        out: what.out,
        orders: what.orders,
        activities: what.activities,
        deals: what.deals,
        duplicates_per_mille: what.duplicates,
        truth: what.truth,
    };
    let summary = rollbook_app::generate(&options).map_err(AppError::from)?;
    let files: Vec<_> = summary
        .files
        .iter()
        .map(|file| json!({"table": file.table, "rows": file.rows, "bytes": file.bytes, "path": file.path}))
        .collect();
    print(
        &Shown::list(&files, &["table", "rows", "bytes", "path"])?,
        form,
    )
}

pub(super) async fn ingest(workspace: &Workspace, what: Ingest, form: Form) -> anyhow::Result<()> {
    if let Some(IngestCommand::Undo { batch }) = what.command {
        let snapshot = ingest::undo(workspace, &batch, now()).await?;
        refresh_segments(workspace).await;
        return print(
            &Shown::object(&json!({"snapshot": snapshot, "undone": batch}))?,
            form,
        );
    }
    let provider = what
        .provider
        .expect("clap demands it where there is no subcommand");
    let (pipes, paths): (Vec<_>, Vec<_>) = what
        .paths
        .into_iter()
        .partition(|path| path == Path::new("-"));
    let standard_input = match (pipes.is_empty(), what.named) {
        (true, _) => None,
        (false, Some(name)) => Some(name),
        (false, None) => anyhow::bail!(
            "standard input has no file name for the mappings to go by: give one with --as, such as `--as orders.csv`"
        ),
    };
    let request = ingest::Ingest {
        provider,
        paths,
        standard_input,
        mappings: what.mapping.mappings,
        dry_run: what.dry_run,
        batch: new_batch(),
        at: now(),
    };
    let done = {
        let (progress, _bar) = progress();
        ingest::ingest(workspace, request, &progress).await?
    };
    show_ingested(&done, what.dry_run, form)?;
    if !what.dry_run && done.tables.iter().any(|table| table.accepted > 0) {
        after_rows(workspace).await;
    }
    Ok(())
}

/// What follows once rows are in: tables in order, and segments that follow the data.
pub(super) async fn after_rows(workspace: &Workspace) {
    tell_of_key(workspace);
    tidy_up(workspace).await;
    refresh_segments(workspace).await;
}

/// Tells of a master key that was made: without a copy, a lost file is lost names.
pub(super) fn tell_of_key(workspace: &Workspace) {
    if let Some(key) = workspace.made_key() {
        eprintln!(
            "names and addresses are sealed under a key that was made in {key}: keep a copy of it"
        );
    }
}

/// Computes the segments that follow the data. The run is done, whatever comes of it.
pub(super) async fn refresh_segments(workspace: &Workspace) {
    match segments::refresh_due(workspace, now()).await {
        Ok(outcomes) => {
            let (done, failed): (Vec<_>, Vec<_>) =
                outcomes.iter().partition(|outcome| outcome.result.is_ok());
            if !done.is_empty() {
                eprintln!("{} segments computed anew", done.len());
            }
            for outcome in failed {
                if let Err(error) = &outcome.result {
                    eprintln!(
                        "note: segment `{}` could not be computed: {error}",
                        outcome.segment
                    );
                }
            }
        }
        Err(error) => eprintln!(
            "note: what was asked for is done, but segments could not be computed ({error}): `rollbook segment refresh` tries again"
        ),
    }
}

/// Writes tables in better order where that pays by now. The run is done, whatever comes of it.
async fn tidy_up(workspace: &Workspace) {
    match compact(workspace, Extent::Due, now()).await {
        Ok(tables) => {
            for table in tables {
                let (name, before, after) = (table.table, table.files_before, table.files_after);
                eprintln!("{name}: {before} files written anew as {after}, in order");
            }
        }
        Err(error) => eprintln!(
            "note: the rows are in, but the tables could not be put in better order ({error}): `rollbook compact` tries again"
        ),
    }
}

fn show_ingested(done: &Ingested, dry_run: bool, form: Form) -> anyhow::Result<()> {
    for file in &done.unclaimed {
        eprintln!("note: no mapping reads `{file}`");
    }
    let columns = ["table", "read", "accepted", "unchanged", "quarantined"];
    let mut shown = Shown::list(&done.tables, &columns)?;
    shown.document = Document::of(&done)?;
    print(&shown, form)?;
    let quarantined: u64 = done.tables.iter().map(|table| table.quarantined).sum();
    if quarantined > 0 {
        eprintln!("note: {quarantined} rows are in quarantine: `rollbook quarantine` shows them");
    }
    for table in &done.tables {
        let of = match (table.table.as_str(), table.without_order) {
            (_, 0) => continue,
            (name, 1) => format!("1 row of {name} names"),
            (name, count) => format!("{count} rows of {name} name"),
        };
        let until = match table.table.as_str() {
            "refunds" | "order_lines" => "; until it comes, the person that they name counts",
            _ => "",
        };
        eprintln!("note: {of} an order that is not in the lake{until}");
    }
    for unfound in &done.unfound {
        note_unfound(unfound);
    }
    let records = done.records;
    if records.linked + records.moved > 0 {
        eprintln!(
            "{} new records are of persons who have others; {} have another person than before",
            records.linked, records.moved
        );
    }
    if records.ambiguous > 0 {
        eprintln!(
            "note: {} records could be of several persons: `rollbook identity review list`",
            records.ambiguous
        );
    }
    if let Some(currency) = &done.currency {
        eprintln!(
            "note: reports are in {currency}, the most common currency here; `rollbook settings currency CODE` changes it"
        );
    }
    if form == Form::Table {
        match (dry_run, done.tables.iter().any(|table| table.accepted > 0)) {
            (true, _) => eprintln!("a rehearsal: nothing was changed"),
            (false, true) => eprintln!("snapshot {}, batch {}", done.snapshot, done.batch),
            (false, false) => {
                eprintln!("nothing new; the newest data is snapshot {}", done.snapshot)
            }
        }
    }
    Ok(())
}

/// Tells of rows that name something that is not there.
fn note_unfound(unfound: &Unfound) {
    let Unfound {
        table,
        names,
        rows,
        of,
    } = unfound;
    let found = match rows == of {
        true => format!("none of the {of} rows of `{table}` that name a {names} found it"),
        false => format!("{rows} of {of} rows of `{table}` name a {names} that is not there"),
    };
    eprintln!("note: {found}; they are linked when it comes");
}

pub(super) fn inspect(file: &Path, form: Form) -> anyhow::Result<()> {
    let (profile, draft) = ingest::profile(file)?;
    if !profile.complete {
        let rows = HumanCount(profile.rows as u64);
        eprintln!("note: this is what the first {rows} rows hold; the file has more");
    }
    let document = serde_json::to_value(&profile)?;
    let columns = document["columns"].as_array().cloned().unwrap_or_default();
    let names = ingest::PROFILE_COLUMNS;
    let mut shown = Shown::list(&columns, &names)?;
    shown.document = Document::of(&json!({"profile": profile, "mapping": draft}))?;
    print(&shown, form)?;
    if form == Form::Table {
        writeln!(std::io::stdout(), "{draft}")?;
    }
    Ok(())
}

pub(super) async fn quarantine(
    mut workspace: Workspace,
    what: Quarantine,
    form: Form,
) -> anyhow::Result<ExitCode> {
    workspace.limits.rows = what.limit.unwrap_or(workspace.limits.rows);
    match what.command {
        None => {
            let found = ingest::quarantine(&workspace, what.table.as_deref(), now()).await?;
            print_rows(&found.schema, &found.batches, form)?;
            if found.truncated {
                return Ok(cut(workspace.limits.rows, form));
            }
        }
        Some(QuarantineCommand::Retry {
            provider,
            paths,
            mapping,
        }) => {
            let providers = match provider {
                Some(provider) => vec![provider],
                None => ingest::quarantined_providers(&workspace, now()).await?,
            };
            let [provider] = <[ProviderName; 1]>::try_from(providers).map_err(|found| {
                let names: Vec<_> = found.iter().map(ProviderName::as_str).collect();
                match names.is_empty() {
                    true => anyhow::anyhow!("there is nothing in quarantine"),
                    false => anyhow::anyhow!(
                        "there are rows of {} in quarantine: choose one with --provider",
                        names.join(", ")
                    ),
                }
            })?;
            let request = ingest::Ingest {
                provider,
                paths,
                standard_input: None,
                mappings: mapping.mappings,
                dry_run: false,
                batch: new_batch(),
                at: now(),
            };
            let done = {
                let (progress, _bar) = progress();
                ingest::retry(&workspace, request, &progress).await?
            };
            show_ingested(&done, false, form)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
