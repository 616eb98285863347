//! The `tenant` commands.

use rollbook_app::tenants::Tenants;
use rollbook_app::{Quotas, Workspace};
use serde_json::json;

use crate::arguments::{OutputFormat, Tenant};
use crate::commands::clock::now;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Tenant,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let tenants = Tenants::of(workspace)?;
    let changed = match arguments {
        Tenant::Create { name, quotas } => {
            let quotas = quotas.change().of(Quotas::default());
            tenants.create(&name, quotas, now()).await?
        }
        Tenant::List => {
            let listed = tenants.list_with_usage(now()).await?;
            let columns = [
                "tenant",
                "status",
                "storage_bytes",
                "max_storage_bytes",
                "rows_today",
                "max_rows_per_day",
                "segments",
                "max_segments",
            ];
            return print(&Shown::list(&listed, &columns)?, format);
        }
        Tenant::Limit { name, quotas } => tenants.limit(&name, &quotas.change()).await?,
        Tenant::Suspend { name } => tenants.suspend(&name).await?,
        Tenant::Resume { name } => tenants.resume(&name).await?,
        Tenant::Delete { name, yes } => {
            if !yes {
                anyhow::bail!(
                    "this deletes everything of tenant `{name}` for good: add --yes to do it, or `rollbook tenant suspend {name}` to keep its data"
                );
            }
            let removed = tenants.delete(&name).await?;
            let (objects, bytes) = (removed.objects, removed.bytes);
            let done = json!({ "deleted": name, "objects": objects, "bytes": bytes });
            return print(&Shown::object(&done)?, format);
        }
    };
    print(&Shown::object(&changed)?, format)
}
