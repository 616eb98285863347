//! The `suppression` commands.

use rollbook_app::{Workspace, suppressions};
use serde_json::json;

use super::now;
use crate::arguments::{Form, Suppression};
use crate::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    what: Suppression,
    form: Form,
) -> anyhow::Result<()> {
    match what {
        Suppression::Add {
            values,
            channel,
            reason,
        } => {
            let added =
                suppressions::add(workspace, &values, channel, reason.as_deref(), now()).await?;
            print(&Shown::object(&json!({ "added": added }))?, form)
        }
        Suppression::Remove { values, channel } => {
            let removed = suppressions::remove(workspace, &values, channel, now()).await?;
            print(&Shown::object(&json!({ "removed": removed }))?, form)
        }
        Suppression::List => {
            let listed = suppressions::list(workspace).await?;
            let columns = ["kind", "value", "persons", "channel", "reason", "added_at"];
            print(&Shown::list(&listed, &columns)?, form)
        }
    }
}
