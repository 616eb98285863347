//! The commands `generate`, `ingest`, `inspect` and `quarantine`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use indicatif::HumanCount;
use rollbook_app::ingest::{self, Ingested};
use rollbook_app::maintenance::{Extent, compact};
use rollbook_app::segments;
use rollbook_app::{AppError, Options, Unfound, Workspace};
use rollbook_model::ProviderName;
use serde::Serialize;
use serde_json::json;

use crate::arguments::{
    FileFormat, Generate, Ingest, IngestCommand, OutputFormat, Quarantine, QuarantineCommand,
};
use crate::commands::clock::{new_batch, now};
use crate::commands::data::note_truncation;
use crate::output::progress::progress;
use crate::output::show::{Document, Shown, print, print_rows};

pub(super) fn generate(arguments: Generate, format: OutputFormat) -> anyhow::Result<()> {
    let options = Options {
        persons: arguments.persons,
        seed: arguments.seed,
        format: match arguments.format {
            FileFormat::Csv => rollbook_app::Format::Csv,
            FileFormat::Parquet => rollbook_app::Format::Parquet,
        },
        out: arguments.out,
        orders: arguments.orders,
        activities: arguments.activities,
        deals: arguments.deals,
        duplicates_per_mille: arguments.duplicates,
        truth: arguments.truth,
    };
    let summary = rollbook_app::generate(&options).map_err(AppError::from)?;
    let files: Vec<_> = summary
        .files
        .iter()
        .map(|file| json!({"table": file.table, "rows": file.rows, "bytes": file.bytes, "path": file.path}))
        .collect();
    print(
        &Shown::rows(&files, &["table", "rows", "bytes", "path"])?,
        format,
    )
}

pub(super) async fn ingest(
    workspace: &Workspace,
    arguments: Ingest,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if let Some(IngestCommand::Undo { batch }) = arguments.command {
        let snapshot = ingest::undo(workspace, &batch, now()).await?;
        refresh_segments(workspace).await;
        return print(
            &Shown::object(&json!({"snapshot": snapshot, "undone": batch}))?,
            format,
        );
    }
    let provider = arguments
        .provider
        .expect("clap requires it unless there is a subcommand");
    let (pipes, paths): (Vec<_>, Vec<_>) = arguments
        .paths
        .into_iter()
        .partition(|path| path == Path::new("-"));
    let standard_input = match (pipes.is_empty(), arguments.named) {
        (true, _) => None,
        (false, Some(name)) => Some(name),
        (false, None) => anyhow::bail!(
            "standard input has no file name, which selects the mapping: give one with --as, such as `--as orders.csv`"
        ),
    };
    let request = ingest::Ingest {
        provider,
        paths,
        standard_input,
        mappings: arguments.mapping.mappings,
        dry_run: arguments.dry_run,
        batch: new_batch(),
        at: now(),
    };
    let done = {
        let (progress, _bar) = progress();
        ingest::ingest(workspace, request, &progress).await?
    };
    show_ingested(&done, arguments.dry_run, format)?;
    if !arguments.dry_run && done.tables.iter().any(|table| table.accepted > 0) {
        after_rows(workspace).await;
    }
    Ok(())
}

/// After an ingest: compacts tables that are due, and refreshes segments that are due.
pub(super) async fn after_rows(workspace: &Workspace) {
    note_created_key(workspace);
    compact_if_due(workspace).await;
    refresh_segments(workspace).await;
}

/// Notes a created master key: if the file is lost without a copy, personal values are lost.
pub(super) fn note_created_key(workspace: &Workspace) {
    if let Some(key) = workspace.created_key() {
        eprintln!("names and addresses are encrypted with a new key in {key}: keep a copy of it");
    }
}

/// Refreshes segments that are due. Failures are noted: the command itself has succeeded.
pub(super) async fn refresh_segments(workspace: &Workspace) {
    match segments::refresh_due(workspace, now()).await {
        Ok(outcomes) => {
            let (done, failed): (Vec<_>, Vec<_>) =
                outcomes.iter().partition(|outcome| outcome.result.is_ok());
            if !done.is_empty() {
                eprintln!("{} segments refreshed", done.len());
            }
            for outcome in failed {
                if let Err(error) = &outcome.result {
                    eprintln!(
                        "note: segment `{}` could not be refreshed: {error}",
                        outcome.segment
                    );
                }
            }
        }
        Err(error) => eprintln!(
            "note: the command succeeded, but segments could not be refreshed ({error}): `rollbook segment refresh` tries again"
        ),
    }
}

/// Compacts tables that are due. Failures are noted: the command itself has succeeded.
async fn compact_if_due(workspace: &Workspace) {
    match compact(workspace, Extent::Due, now()).await {
        Ok(tables) => {
            for table in tables {
                let (name, before, after) = (table.table, table.files_before, table.files_after);
                eprintln!("{name}: {before} files compacted to {after}");
            }
        }
        Err(error) => eprintln!(
            "note: the rows are committed, but tables could not be compacted ({error}): `rollbook compact` tries again"
        ),
    }
}

fn show_ingested(done: &Ingested, dry_run: bool, format: OutputFormat) -> anyhow::Result<()> {
    for file in &done.unclaimed {
        eprintln!("note: `{file}` matches no mapping");
    }
    let columns = ["table", "read", "accepted", "unchanged", "quarantined"];
    let mut shown = Shown::list(&done.tables, &columns)?;
    shown.document = Document::of(&done)?;
    print(&shown, format)?;
    let quarantined: u64 = done.tables.iter().map(|table| table.quarantined).sum();
    if quarantined > 0 {
        eprintln!("note: {quarantined} rows are in quarantine: `rollbook quarantine` shows them");
    }
    for table in &done.tables {
        let rows = match (table.table.as_str(), table.without_order) {
            (_, 0) => continue,
            (name, 1) => format!("1 row of {name} refers to"),
            (name, count) => format!("{count} rows of {name} refer to"),
        };
        let until = match table.table.as_str() {
            "refunds" | "order_lines" => {
                "; until it is ingested, they count for the person that they name"
            }
            _ => "",
        };
        eprintln!("note: {rows} an order that is not in the lake{until}");
    }
    for unfound in &done.unfound {
        note_unfound(unfound);
    }
    let records = done.records;
    if records.linked + records.moved > 0 {
        eprintln!(
            "{} records linked to existing persons, {} reassigned",
            records.linked, records.moved
        );
    }
    if records.ambiguous > 0 {
        eprintln!(
            "note: {} records match several persons: `rollbook identity review list` lists them",
            records.ambiguous
        );
    }
    if let Some(currency) = &done.currency {
        eprintln!(
            "note: reports are in {currency}, the most common currency here; `rollbook settings currency CODE` changes it"
        );
    }
    if format == OutputFormat::Table {
        match (dry_run, done.tables.iter().any(|table| table.accepted > 0)) {
            (true, _) => eprintln!("dry run: nothing was changed"),
            (false, true) => eprintln!("snapshot {}, batch {}", done.snapshot, done.batch),
            (false, false) => {
                eprintln!("nothing new; the newest data is snapshot {}", done.snapshot)
            }
        }
    }
    Ok(())
}

/// Notes references to rows that do not exist.
fn note_unfound(unfound: &Unfound) {
    let Unfound {
        table,
        names,
        rows,
        of,
    } = unfound;
    let found = match rows == of {
        true => {
            format!("none of the {of} rows of `{table}` that name a {names} name an existing one")
        }
        false => format!("{rows} of {of} rows of `{table}` name a {names} that does not exist"),
    };
    eprintln!("note: {found}; they are linked once the {names} is ingested");
}

/// The profile of a file, and the draft of its mapping.
#[derive(Serialize)]
struct Inspected<'a, P> {
    profile: &'a P,
    mapping: &'a str,
}

pub(super) fn inspect(file: &Path, format: OutputFormat) -> anyhow::Result<()> {
    let (profile, draft) = ingest::profile(file)?;
    if !profile.complete {
        let rows = HumanCount(profile.rows as u64);
        eprintln!("note: the profile covers the first {rows} rows only");
    }
    let document = serde_json::to_value(&profile)?;
    let columns = document["columns"].as_array().cloned().unwrap_or_default();
    let names = ingest::PROFILE_COLUMNS;
    let mut shown = Shown::list(&columns, &names)?;
    shown.document = Document::of(&Inspected {
        profile: &profile,
        mapping: &draft,
    })?;
    print(&shown, format)?;
    if format == OutputFormat::Table {
        writeln!(std::io::stdout(), "{draft}")?;
    }
    Ok(())
}

pub(super) async fn quarantine(
    mut workspace: Workspace,
    arguments: Quarantine,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    workspace.limits.rows = arguments.limit.unwrap_or(workspace.limits.rows);
    match arguments.command {
        None => {
            let found = ingest::quarantine(&workspace, arguments.table.as_deref(), now()).await?;
            print_rows(&found.schema, &found.batches, format)?;
            if found.truncated {
                return Ok(note_truncation(workspace.limits.rows, format));
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
                    true => anyhow::anyhow!("the quarantine is empty"),
                    false => anyhow::anyhow!(
                        "the quarantine has rows of {}: choose a provider with --provider",
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
            show_ingested(&done, false, format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
