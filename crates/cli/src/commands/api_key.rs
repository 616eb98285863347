//! The `api-key` commands.

use rollbook_app::Workspace;
use rollbook_app::access::{Bounds, Grant, NewKey};

use crate::arguments::{ApiKey, OutputFormat};
use crate::commands::clock::now;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: ApiKey,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let (keys, local) = (workspace.api_keys()?, Grant::local());
    let issued = match arguments {
        ApiKey::Create(new) => {
            let mut tenants = new.tenants;
            if tenants.is_empty() {
                tenants.push(workspace.tenant.clone());
            }
            let new = NewKey {
                name: new.name,
                role: new.role,
                rights: new.rights,
                tenants,
                bounds: Bounds {
                    segments: new.segments,
                    tags: new.tags,
                    channels: new.channels,
                    columns: new.columns,
                },
                trial: new.trial,
                expires: new.expires,
            };
            keys.create(&new, &local, now()).await?
        }
        ApiKey::Rotate { prefix, overlap } => keys.rotate(&prefix, overlap, &local, now()).await?,
        ApiKey::Revoke { prefix } => {
            let revoked = keys.revoke(&prefix, &local, now()).await?;
            return print(&Shown::object(&revoked)?, format);
        }
        ApiKey::List => {
            let listed = keys.list(&local, now()).await?;
            let columns = [
                "prefix",
                "name",
                "role",
                "rights",
                "tenants",
                "status",
                "expires_at",
                "last_used_at",
            ];
            return print(&Shown::list(&listed, &columns)?, format);
        }
    };
    print(&Shown::object(&issued)?, format)?;
    eprintln!("the token is shown only this once: store it where its program finds it");
    Ok(())
}
