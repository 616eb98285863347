//! The command `sync`.

use std::path::PathBuf;
use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::sync::{Sync, Synced, providers, sync};

use super::{ingest, new_batch, now};
use crate::arguments::Form;
use crate::progress::progress;
use crate::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    folder: PathBuf,
    is_full: bool,
    mappings: Option<PathBuf>,
    form: Form,
) -> anyhow::Result<ExitCode> {
    let what = Sync {
        folder,
        mappings,
        is_full,
        at: now(),
    };
    let mut done: Vec<Synced> = Vec::new();
    let mut failed = false;
    for provider in providers(&what.folder)? {
        let (progress, _bar) = progress();
        // What is wrong with one provider's files does not keep the others' out.
        match sync(workspace, &what, &provider, new_batch(), &progress).await {
            Ok(synced) => done.push(synced),
            Err(error) => {
                failed = true;
                eprintln!("error: {provider}: {error}");
            }
        }
    }
    let columns = [
        "provider",
        "fetched",
        "created",
        "updated",
        "linked",
        "ambiguous",
        "errors",
        "skipped",
    ];
    print(&Shown::list(&done, &columns)?, form)?;
    if done.iter().any(|synced| synced.snapshot.is_some()) {
        ingest::after_rows(workspace).await;
    }
    Ok(match failed {
        true => ExitCode::from(1),
        false => ExitCode::SUCCESS,
    })
}
