//! `snapshot keep`, `keys`, `check`: care for a lake.

use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::maintenance::{
    backup as backup_to, check as look, forget_in_backup, keep, keys as shown_keys, named, release,
    rotate_keys,
};
use serde_json::json;

use super::now;
use crate::arguments::{Backup, Form, Keys, OfBackup, Snapshot};
use crate::show::{Document, Shown, print};

pub(super) async fn snapshot(
    workspace: &Workspace,
    what: Snapshot,
    form: Form,
) -> anyhow::Result<()> {
    let named = match what {
        Snapshot::Keep { number, name } => vec![keep(workspace, number, &name, now()).await?],
        Snapshot::Release { name } => vec![release(workspace, &name).await?],
        Snapshot::List => named(workspace).await?,
    };
    print(&Shown::list(&named, &["name", "snapshot"])?, form)
}

pub(super) async fn keys(workspace: &Workspace, what: Keys, form: Form) -> anyhow::Result<()> {
    let keys = match what {
        Keys::Show => shown_keys(workspace).await?,
        Keys::Rotate => rotate_keys(workspace).await?,
    };
    match &keys {
        Some(keys) => print(&Shown::object(keys)?, form)?,
        None => eprintln!("nothing was sealed yet, so there is no key"),
    }
    let masters = keys.map_or(0, |keys| keys.masters);
    if matches!(what, Keys::Rotate) && masters > 1 {
        eprintln!(
            "older master keys stay for lakes that are not rotated yet: take their lines out when none is left"
        );
    }
    Ok(())
}

pub(super) async fn backup(workspace: &Workspace, what: Backup, form: Form) -> anyhow::Result<()> {
    if let Some(OfBackup::Forget { at }) = what.what {
        let forgotten = forget_in_backup(workspace, &at).await?;
        return print(&Shown::object(&json!({ "forgotten": forgotten }))?, form);
    }
    let to = what.to.unwrap_or_default();
    let copied = backup_to(workspace, &to, what.snapshot).await?;
    print(&Shown::object(&copied)?, form)
}

/// Fails where something is wrong.
pub(super) async fn check(workspace: &Workspace, form: Form) -> anyhow::Result<ExitCode> {
    let checked = look(workspace).await?;
    let mut shown = Shown::list(&checked.problems, &["snapshot", "object", "problem"])?;
    shown.document = Document::of(&checked)?;
    if form != Form::Table || !checked.problems.is_empty() {
        print(&shown, form)?;
    }
    let (snapshots, objects, rows) = (checked.snapshots, checked.objects, checked.rows);
    eprintln!("looked at {snapshots} snapshots, {objects} objects, {rows} rows");
    match checked.problems.len() {
        0 => {
            eprintln!("all is well");
            Ok(ExitCode::SUCCESS)
        }
        count => {
            eprintln!("{count} problems");
            Ok(ExitCode::FAILURE)
        }
    }
}
