//! The `serve` command: the server, its log, and the signals that stop it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rollbook_app::Workspace;
use rollbook_model::Timestamp;
use rollbook_server::{Listening, Options, Program, ServeLimits};
use tracing::Level;
use tracing_subscriber::fmt::time::ChronoUtc;

use super::{new_batch, now};
use crate::arguments::Serve;

/// Bytes of memory that one query of the server may use; several run at once.
const QUERY_MEMORY: usize = 1 << 30;

/// Serves until it is told to stop. After the demo `lines_for` is the moment that lines to try are
/// shown for.
pub(super) async fn run(
    mut workspace: Workspace,
    what: Serve,
    lines_for: Option<Timestamp>,
) -> anyhow::Result<()> {
    workspace.limits.memory = workspace.limits.memory.min(QUERY_MEMORY);
    let workers = worker(&workspace);
    let workspace = workspace.kept_warm();
    let listening = Listening::on(what.listen).await?;
    log_as_json(Level::INFO);
    let address = listening.address();
    eprintln!(
        "serving tenant `{}` of `{}`",
        workspace.tenant, workspace.location
    );
    eprintln!(
        "callers have no keys yet, so only programs on this machine are answered: http://{address}"
    );
    if let Some(as_of) = lines_for {
        let json = "-H 'content-type: application/json'";
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nIn another terminal:")?;
        writeln!(
            out,
            "  curl 'http://{address}/v1/segments/big-spenders/members?limit=5'"
        )?;
        writeln!(
            out,
            "  curl {json} http://{address}/v1/segments/preview \\\n    -d '{{\"criteria\": \"order_count >= 3\", \"as_of\": \"{as_of}\"}}'"
        )?;
        writeln!(out, "  curl 'http://{address}/v1/scores/lead?limit=5'")?;
    }
    let options = Options {
        workspace,
        mappings: what.mappings,
        limits: ServeLimits {
            body_bytes: what.body_bytes,
            body_time: Duration::from_secs(what.body_seconds),
            ..ServeLimits::default()
        },
        clock: now,
        new_batch,
        workers,
    };
    listening.serve(options, stopped()).await;
    eprintln!("stopped");
    Ok(())
}

/// This program, on the same lake, as a worker of the server.
fn worker(workspace: &Workspace) -> Option<Program> {
    // What the system started it from is still there where a newer one was put in its place.
    let itself = PathBuf::from("/proc/self/exe");
    let path = match itself.exists() {
        true => itself,
        false => std::env::current_exe().ok()?,
    };
    let memory = (workspace.limits.memory >> 20).to_string();
    let arguments = [
        "--lake",
        &workspace.location,
        "--tenant",
        workspace.tenant.as_str(),
        "--memory-mib",
        &memory,
        "work",
    ];
    let arguments = arguments.map(OsString::from).into();
    Some(Program { path, arguments })
}

/// Answers what a server hands on.
pub(super) async fn work(workspace: Workspace) -> anyhow::Result<()> {
    log_as_json(Level::WARN);
    let options = Options {
        workspace: workspace.kept_warm(),
        mappings: None,
        limits: ServeLimits::default(),
        clock: now,
        new_batch,
        workers: None,
    };
    let working = rollbook_server::work(options).await;
    working.context("`work` is what `serve` starts, and nothing to be run by hand")
}

/// One JSON object a line on standard error, without personal data.
fn log_as_json(most: Level) {
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_timer(ChronoUtc::rfc_3339())
        .with_writer(std::io::stderr)
        .with_max_level(most);
    // Only a second server in one process would find a log set already.
    let _ = log.try_init();
}

/// Ctrl-C, or what a service manager sends.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}
