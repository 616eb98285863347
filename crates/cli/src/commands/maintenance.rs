//! The commands `snapshot`, `vacuum`, `keys`, `check`, `backup`, `restore` and `compact`.

use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::maintenance::{self, Extent};
use serde_json::json;

use crate::arguments::{Backup, BackupCommand, Keys, OutputFormat, Snapshot};
use crate::commands::clock::now;
use crate::output::show::{Document, Shown, print};

pub(super) async fn snapshot(
    workspace: &Workspace,
    arguments: Snapshot,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let named = match arguments {
        Snapshot::Keep { number, name } => {
            vec![maintenance::keep(workspace, number, &name, now()).await?]
        }
        Snapshot::Release { name } => vec![maintenance::release(workspace, &name).await?],
        Snapshot::List => maintenance::named(workspace).await?,
    };
    print(&Shown::list(&named, &["name", "snapshot"])?, format)
}

pub(super) async fn keys(
    workspace: &Workspace,
    arguments: Keys,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let keys = match arguments {
        Keys::Show => maintenance::keys(workspace).await?,
        Keys::Rotate => maintenance::rotate_keys(workspace).await?,
    };
    match &keys {
        Some(keys) => print(&Shown::object(keys)?, format)?,
        None => eprintln!("no personal value was encrypted yet, so there is no key"),
    }
    let masters = keys.map_or(0, |keys| keys.masters);
    if matches!(arguments, Keys::Rotate) && masters > 1 {
        eprintln!(
            "older master keys stay in the file for lakes that are not rotated yet: remove their lines once all are"
        );
    }
    Ok(())
}

pub(super) async fn backup(
    workspace: &Workspace,
    arguments: Backup,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if let Some(BackupCommand::Forget { at }) = arguments.command {
        let forgotten = maintenance::forget_in_backup(workspace, &at).await?;
        return print(&Shown::object(&json!({ "forgotten": forgotten }))?, format);
    }
    let to = arguments.to.unwrap_or_default();
    let copied = maintenance::backup(workspace, &to, arguments.snapshot).await?;
    print(&Shown::object(&copied)?, format)
}

/// Verifies the lake; fails if there are problems.
pub(super) async fn check(workspace: &Workspace, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let checked = maintenance::check(workspace).await?;
    let mut shown = Shown::list(&checked.problems, &["snapshot", "object", "problem"])?;
    shown.document = Document::of(&checked)?;
    if format != OutputFormat::Table || !checked.problems.is_empty() {
        print(&shown, format)?;
    }
    let (snapshots, objects, rows) = (checked.snapshots, checked.objects, checked.rows);
    eprintln!("checked {snapshots} snapshots, {objects} objects, {rows} rows");
    match checked.problems.len() {
        0 => {
            eprintln!("no problems found");
            Ok(ExitCode::SUCCESS)
        }
        count => {
            eprintln!("{count} problems found");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Expires old snapshots and deletes unreferenced files.
pub(super) async fn vacuum(
    workspace: &Workspace,
    dry_run: bool,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let collected = maintenance::vacuum(workspace, dry_run, now()).await?;
    print(&Shown::object(&collected)?, format)
}

/// Does the same without a report.
pub(super) async fn collect(workspace: &Workspace) -> anyhow::Result<()> {
    maintenance::vacuum(workspace, false, now()).await?;
    Ok(())
}

/// Restores a backup.
pub(super) async fn restore(
    workspace: &Workspace,
    from: &str,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let copied = maintenance::restore(workspace, from).await?;
    print(&Shown::object(&copied)?, format)
}

/// Compacts tables that are due, or all.
pub(super) async fn compact(
    workspace: &Workspace,
    all: bool,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let extent = match all {
        true => Extent::All,
        false => Extent::Due,
    };
    let done = maintenance::compact(workspace, extent, now()).await?;
    if done.is_empty() {
        eprintln!("no table needs compaction");
    }
    let columns = ["table", "files_before", "files_after", "rows", "snapshot"];
    print(&Shown::list(&done, &columns)?, format)
}
