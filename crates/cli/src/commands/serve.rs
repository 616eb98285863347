//! The `serve` and `work` commands: the server, its workers, log and stop signals.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rollbook_app::Workspace;
use rollbook_app::access::{Authenticator, IssuedKey};
use rollbook_model::Timestamp;
use rollbook_server::{Listening, NetworkOptions, Options, Program, ServeLimits, TlsFiles};
use tracing::Level;
use tracing_subscriber::fmt::time::ChronoUtc;

use crate::arguments::Serve;
use crate::commands::clock::{new_batch, now};
use crate::commands::recorded::record_first_key;

/// Serves until a stop signal. After the demo, prints commands to try as of `examples_as_of`.
pub(super) async fn run(
    mut workspace: Workspace,
    arguments: Serve,
    examples_as_of: Option<Timestamp>,
) -> anyhow::Result<()> {
    workspace.limits = workspace.limits.of_server();
    let workers = worker_program(&workspace);
    let workspace = workspace.with_cache();
    let jwt = arguments.jwt.options();
    if let Some(jwt) = &jwt {
        jwt.check().await?;
    }
    let tls = arguments.tls_cert.zip(arguments.tls_key);
    let network = NetworkOptions {
        tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        trusted_proxies: arguments.trusted_proxies,
    };
    let listening = Listening::on(arguments.listen, network).await?;
    log_as_json(Level::INFO);
    let url = listening.url();
    // Whoever reads the address below may stop the server at once.
    let stop = stop_signal();
    eprintln!(
        "serving tenant `{}` of `{}`",
        workspace.tenant, workspace.location
    );
    let keys = workspace.api_keys()?;
    if listening.is_exposed()
        && let Some(first) = keys.create_first(&workspace.tenant, now()).await?
    {
        show_once(&workspace, &first);
        record_first_key(&workspace, &first).await?;
    }
    let needs_key = listening.is_exposed() || Authenticator::new(keys).needs_key().await?;
    let limit = match arguments.rate_limit.0 {
        Some(_) => "",
        None => ", without limits on their number of calls",
    };
    let place = if listening.is_exposed() {
        ""
    } else {
        " on this machine"
    };
    match (&jwt, needs_key) {
        (Some(jwt), _) => eprintln!(
            "callers{place} need an API key or a JWT of `{}`{limit}: {url}",
            jwt.issuer
        ),
        (None, true) => eprintln!("callers{place} need an API key{limit}: {url}"),
        (None, false) => eprintln!(
            "no API keys: every program on this machine may do everything, without limits on its number of calls: {url}"
        ),
    }
    if let Some(as_of) = examples_as_of {
        let json = "-H 'content-type: application/json'";
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nIn another terminal:")?;
        writeln!(
            out,
            "  curl '{url}/v1/segments/big-spenders/members?limit=5'"
        )?;
        writeln!(
            out,
            "  curl {json} {url}/v1/segments/preview \\\n    -d '{{\"criteria\": \"order_count >= 3\", \"as_of\": \"{as_of}\"}}'"
        )?;
        writeln!(out, "  curl '{url}/v1/scores/lead?limit=5'")?;
    }
    let options = Options {
        workspace,
        mappings: arguments.mappings,
        limits: ServeLimits {
            body_bytes: arguments.body_bytes,
            body_time: Duration::from_secs(arguments.body_seconds),
            call_rate: arguments.rate_limit.0,
            requests_per_key: arguments.requests_per_key,
            trial_rows: NonZeroU32::new(arguments.trial_rows_per_hour),
            ..ServeLimits::default()
        },
        clock: now,
        new_batch,
        workers,
        jwt,
    };
    listening.serve(options, stop).await?;
    eprintln!("stopped");
    Ok(())
}

/// Shows the token of the first key, which is stored nowhere.
fn show_once(workspace: &Workspace, first: &IssuedKey) {
    let (tenant, token) = (&workspace.tenant, &first.token);
    eprintln!("the lake had no API key; this is the first, with all rights in tenant `{tenant}`:");
    eprintln!("  {token}");
    eprintln!(
        "it is shown only this once; `rollbook api-key create` on a machine that has the lake creates another"
    );
}

/// The command line of workers: this program on the same lake.
fn worker_program(workspace: &Workspace) -> Option<Program> {
    // The running executable, even if its file was replaced by a newer version.
    let itself = PathBuf::from("/proc/self/exe");
    let path = match itself.exists() {
        true => itself,
        false => std::env::current_exe().ok()?,
    };
    let memory = (workspace.limits.total_memory() >> 20).to_string();
    let arguments = [
        "--lake",
        &workspace.location,
        "--memory-mib",
        &memory,
        "work",
    ];
    let arguments = arguments.map(OsString::from).into();
    Some(Program { path, arguments })
}

/// Runs as a worker of a server.
pub(super) async fn work(mut workspace: Workspace) -> anyhow::Result<()> {
    log_as_json(Level::WARN);
    workspace.limits = workspace.limits.of_worker();
    let options = Options {
        workspace: workspace.with_cache(),
        mappings: None,
        limits: ServeLimits::default(),
        clock: now,
        new_batch,
        workers: None,
        jwt: None,
    };
    let working = rollbook_server::work(options).await;
    working.context("`work` is started by `serve` and cannot be run by hand")
}

/// One JSON object a line on standard error, without personal data.
fn log_as_json(level: Level) {
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_timer(ChronoUtc::rfc_3339())
        .with_writer(std::io::stderr)
        .with_max_level(level);
    // Fails only for a second server in one process.
    let _ = log.try_init();
}

/// Resolves on SIGINT (Ctrl-C) or SIGTERM, also on a SIGTERM from before this is awaited.
fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    async move {
        let interrupted = tokio::signal::ctrl_c();
        #[cfg(unix)]
        if let Ok(mut terminated) = terminated {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        let _ = interrupted.await;
    }
}
