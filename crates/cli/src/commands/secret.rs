//! The `secret` commands.

mod input;
mod prompt;

use rollbook_app::{Workspace, secrets};
use serde_json::json;

use crate::arguments::{OutputFormat, PutSecret, Secret};
use crate::commands::clock::now;
use crate::output::show::{Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Secret,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Secret::Put(arguments) => put(workspace, arguments, format).await,
        Secret::List => {
            let listed = secrets::list(workspace).await?;
            let columns = ["name", "created_at", "updated_at"];
            print(&Shown::list(&listed, &columns)?, format)
        }
        Secret::Delete { name } => {
            secrets::delete(workspace, &name).await?;
            print(&Shown::object(&json!({ "deleted": name }))?, format)
        }
    }
}

async fn put(
    workspace: &Workspace,
    arguments: PutSecret,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if !arguments.values.is_empty() {
        anyhow::bail!(
            "the value of a secret is never an argument, which other programs and the history of the shell can see: type it at the prompt, pipe it in, or use --from-env or --from-command; replace a value that was given here"
        );
    }
    let value = input::value(&arguments).await?;
    let stored = secrets::put(workspace, &arguments.name, &value, now()).await?;
    print(&Shown::object(&stored)?, format)?;
    if let Some(key) = workspace.created_key() {
        eprintln!("the secret is encrypted with a new key in {key}: keep a copy of it");
    }
    Ok(())
}
