//! The `audit` commands.

use std::process::ExitCode;

use rollbook_app::Workspace;
use rollbook_app::audit::ActFilter;
use rollbook_model::TenantName;

use crate::arguments::{Audit, AuditCommand, OutputFormat};
use crate::commands::clock::instant;
use crate::output::show::{Shown, print};

/// Lists the newest acts, those of one tenant if one was named; or verifies all.
pub(super) async fn run(
    workspace: &Workspace,
    tenant: Option<TenantName>,
    arguments: Audit,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    if let Some(AuditCommand::Verify) = arguments.command {
        let verified = workspace.verify_audit().await?;
        print(&Shown::object(&verified)?, format)?;
        return Ok(match verified.findings.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let filter = ActFilter {
        since: instant(workspace, arguments.since).await?,
        until: instant(workspace, arguments.until).await?,
        who: arguments.who,
        tenant,
        limit: arguments.limit,
    };
    let acts = workspace.acts(&filter).await?;
    let columns = [
        "at",
        "caller",
        "from",
        "tenant",
        "act",
        "segment",
        "person_id",
        "rows",
        "result",
    ];
    print(&Shown::list(&acts, &columns)?, format)?;
    Ok(ExitCode::SUCCESS)
}
