//! The `traits` commands.

use std::process::ExitCode;

use rollbook_app::{Workspace, traits};

use super::ingest::refresh_segments;
use super::{as_of, now};
use crate::arguments::{Form, Traits};
use crate::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    what: Traits,
    form: Form,
) -> anyhow::Result<ExitCode> {
    match what {
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
            print(&Shown::list(&listed, &columns)?, form)?;
        }
        Traits::Apply {
            folder,
            check,
            moment,
        } => {
            let plan = traits::plan(workspace, &folder, as_of(workspace, &moment).await?).await?;
            let columns = ["trait", "action", "type", "persons", "segments"];
            print(&Shown::list(&plan.lines, &columns)?, form)?;
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
