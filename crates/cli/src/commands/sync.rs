//! The `sync` command.

use std::path::PathBuf;
use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::ingest::sync::{SyncOptions, Synced, providers, sync};

use crate::arguments::OutputFormat;
use crate::commands::clock::{new_batch, now};
use crate::commands::ingest;
use crate::output::progress::progress;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    folder: PathBuf,
    is_full: bool,
    mappings: Option<PathBuf>,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    let options = SyncOptions {
        folder,
        mappings,
        is_full,
        at: now(),
    };
    let mut done: Vec<Synced> = Vec::new();
    let mut failed = false;
    for provider in providers(&options.folder)? {
        let (progress, _bar) = progress();
        // A failure of one provider does not stop the others.
        match sync(workspace, &options, &provider, new_batch(), &progress).await {
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
    print(&Shown::list(&done, &columns)?, format)?;
    if done.iter().any(|synced| synced.snapshot.is_some()) {
        ingest::after_rows(workspace).await;
    }
    Ok(match failed {
        true => ExitCode::from(1),
        false => ExitCode::SUCCESS,
    })
}
