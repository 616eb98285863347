//! Commands: each calls a use case and prints its result.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use rollbook_app::process_usage::{max_resident, max_resident_of_ingest, watch_own_memory};
use rollbook_app::tenants::Tenants;
use rollbook_app::{AppError, Workspace};
use rollbook_model::TenantName;
use rollbook_model::config::{DEFAULT_TENANT, Limits};

use crate::arguments::{Arguments, Command};
use crate::commands::recorded::Recorded;
use crate::output::report_error::report_error;

mod api_key;
mod attribution;
mod audit;
mod clock;
mod data;
mod demo;
mod identity;
mod ingest;
mod journal;
mod maintenance;
mod person;
mod recorded;
mod retention;
mod score;
mod secret;
mod segment;
mod serve;
mod suppression;
mod sync;
mod tenant;
mod traits;

/// Runs the command of the arguments, and returns the exit status.
///
/// # Errors
/// Those of the use case; standard output cannot be written.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { common, command } = arguments;
    let format = common.output;
    let is_demo = matches!(command, Command::Demo { .. });
    let default = if is_demo {
        rollbook_app::demo::TENANT
    } else {
        DEFAULT_TENANT
    };
    let named_tenant = common.tenant.clone();
    let tenant = match common.tenant {
        Some(tenant) => tenant,
        None => default.parse::<TenantName>()?,
    };
    let mut limits = Limits::default();
    if let Some(mebibytes) = common.memory_mib {
        limits.memory = usize::try_from(u64::from(mebibytes) << 20)?;
    }
    let workspace = Workspace::new(common.lake, tenant, limits);
    match command {
        Command::Sql(_) | Command::Segment(_) | Command::Traits(_) => {
            exit_beyond(max_resident(limits.memory), limits.memory);
        }
        Command::Ingest(_) | Command::Sync { .. } | Command::Quarantine { .. } => {
            exit_beyond(max_resident_of_ingest(limits.memory), limits.memory);
        }
        _ => {}
    }
    if matches!(
        command,
        Command::Demo { .. } | Command::Ingest(_) | Command::Sync { .. } | Command::Serve(_)
    ) {
        Tenants::of(&workspace)?
            .check_name(&workspace.tenant)
            .await?;
    }
    if let Some(recorded) = Recorded::of(&command) {
        recorded.begin(&workspace).await?;
        let done = match command {
            Command::Person(arguments) => person::run(&workspace, arguments, format).await,
            Command::ApiKey(arguments) => api_key::run(&workspace, arguments, format).await,
            Command::Keys(arguments) => maintenance::keys(&workspace, arguments, format).await,
            Command::Secret(arguments) => secret::run(&workspace, arguments, format).await,
            Command::Tenant(arguments) => tenant::run(&workspace, arguments, format).await,
            Command::Retention(arguments) => retention::run(&workspace, arguments, format).await,
            _ => Ok(()),
        };
        let kept = recorded.end(&workspace, &done).await;
        return done.and(kept).map(|()| ExitCode::SUCCESS);
    }
    match command {
        Command::Demo { serve, how } => demo::run(workspace, serve.then_some(how), format).await?,
        Command::Generate(arguments) => ingest::generate(arguments, format)?,
        Command::Ingest(arguments) => ingest::ingest(&workspace, arguments, format).await?,
        Command::Sync {
            folder,
            full,
            mappings,
        } => return sync::run(&workspace, folder, full, mappings, format).await,
        Command::Inspect { file } => ingest::inspect(&file, format)?,
        Command::Quarantine(arguments) => {
            return ingest::quarantine(workspace, arguments, format).await;
        }
        Command::Tables => data::tables(&workspace, format).await?,
        Command::Schema { table } => data::schema(table.as_deref(), format)?,
        Command::Sql(arguments) => return data::sql(workspace, arguments, format).await,
        Command::Settings { key, value } => {
            data::settings(&workspace, key, value, format).await?;
        }
        Command::Traits(arguments) => return traits::run(&workspace, arguments, format).await,
        Command::Segment(arguments) => return segment::run(&workspace, arguments, format).await,
        Command::Person(arguments) => person::run(&workspace, arguments, format).await?,
        Command::Identity(arguments) => identity::run(&workspace, arguments, format).await?,
        Command::Suppression(arguments) => suppression::run(&workspace, arguments, format).await?,
        Command::Attribution(arguments) => attribution::run(&workspace, arguments, format).await?,
        Command::Score(arguments) => score::run(&workspace, arguments, format).await?,
        Command::ApiKey(arguments) => api_key::run(&workspace, arguments, format).await?,
        Command::Audit(arguments) => {
            return audit::run(&workspace, named_tenant, arguments, format).await;
        }
        Command::Secret(arguments) => secret::run(&workspace, arguments, format).await?,
        Command::Tenant(arguments) => tenant::run(&workspace, arguments, format).await?,
        Command::Serve(arguments) => serve::run(workspace, arguments, None).await?,
        Command::Work => serve::work(workspace).await?,
        Command::Journal(arguments) => {
            return journal::run(&workspace, arguments.command, format).await;
        }
        Command::Snapshots => data::snapshots(&workspace, format).await?,
        Command::Snapshot(arguments) => {
            maintenance::snapshot(&workspace, arguments, format).await?
        }
        Command::Vacuum { dry_run } => maintenance::vacuum(&workspace, dry_run, format).await?,
        Command::Retention(arguments) => retention::run(&workspace, arguments, format).await?,
        Command::Keys(arguments) => maintenance::keys(&workspace, arguments, format).await?,
        Command::Check => return maintenance::check(&workspace, format).await,
        Command::Backup(arguments) => maintenance::backup(&workspace, arguments, format).await?,
        Command::Restore { from } => maintenance::restore(&workspace, &from, format).await?,
        Command::Compact { all } => maintenance::compact(&workspace, all, format).await?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "rollbook", &mut text);
            std::io::stdout().write_all(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Exits if this process exceeds `max` resident bytes. Nothing else stops a function whose result is much
/// larger than its input.
fn exit_beyond(max: u64, pool: usize) {
    watch_own_memory(max, move || {
        let error = AppError::memory_exhausted(pool).into();
        std::process::exit(i32::from(report_error(&error, None)));
    });
}
