//! The `suppression` commands.

use rollbook_app::{Workspace, suppressions};
use serde_json::json;

use crate::arguments::{OutputFormat, Suppression};
use crate::commands::clock::now;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Suppression,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Suppression::Add {
            values,
            channel,
            reason,
        } => {
            let added =
                suppressions::add(workspace, &values, channel, reason.as_deref(), now()).await?;
            print(&Shown::object(&json!({ "added": added }))?, format)
        }
        Suppression::Remove { values, channel } => {
            let removed = suppressions::remove(workspace, &values, channel, now()).await?;
            print(&Shown::object(&json!({ "removed": removed }))?, format)
        }
        Suppression::List => {
            let listed = suppressions::list(workspace).await?;
            let columns = ["kind", "value", "persons", "channel", "reason", "added_at"];
            print(&Shown::list(&listed, &columns)?, format)
        }
    }
}
