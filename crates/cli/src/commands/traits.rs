//! The `traits` commands.

use std::process::ExitCode;

use rollbook_app::{Workspace, traits};

use crate::arguments::{OutputFormat, Traits};
use crate::commands::clock::{as_of, now};
use crate::commands::ingest::refresh_segments;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Traits,
    format: OutputFormat,
) -> anyhow::Result<ExitCode> {
    match arguments {
        Traits::List => {
            let listed = traits::list(workspace, now()).await?;
            let columns = [
                "name",
                "type",
                "default",
                "description",
                "segments",
                "problem",
            ];
            print(&Shown::list(&listed, &columns)?, format)?;
        }
        Traits::Apply {
            folder,
            check,
            moment,
        } => {
            let plan = traits::plan(workspace, &folder, as_of(workspace, &moment).await?).await?;
            let columns = ["trait", "action", "type", "persons", "segments"];
            print(&Shown::list(&plan.lines, &columns)?, format)?;
            if check {
                return Ok(ExitCode::from(u8::from(!plan.lines.is_empty())));
            }
            traits::apply(workspace, &plan, now()).await?;
            if !plan.lines.is_empty() {
                refresh_segments(workspace).await;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
