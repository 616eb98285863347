//! `snapshot keep`, `check`: care for a lake.

use std::process::ExitCode;

use rollbook_app::Place;
use rollbook_app::keeping::{check as look, keep, named, release};

use super::now;
use crate::arguments::{Form, Snapshot};
use crate::show::{Shown, print};

pub(super) async fn snapshot(place: &Place, what: Snapshot, form: Form) -> anyhow::Result<()> {
    let named = match what {
        Snapshot::Keep { number, name } => vec![keep(place, number, &name, now()).await?],
        Snapshot::Release { name } => vec![release(place, &name).await?],
        Snapshot::List => named(place).await?,
    };
    print(&Shown::list(&named, &["name", "snapshot"])?, form)
}

/// Fails where something is wrong.
pub(super) async fn check(place: &Place, form: Form) -> anyhow::Result<ExitCode> {
    let checked = look(place).await?;
    let mut shown = Shown::list(&checked.problems, &["snapshot", "object", "problem"])?;
    shown.document = serde_json::to_value(&checked)?;
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
