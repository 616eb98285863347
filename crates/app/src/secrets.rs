//! Secrets: named values for connections to other systems, encrypted in the lake and never shown.

use rollbook_model::{SecretName, Timestamp};

pub use rollbook_lake::{InvalidSecret, SecretInfo, SecretValue};

use crate::{AppError, Workspace};

/// Stores a secret, or replaces its value. The lake need not exist yet: connections are set up first.
///
/// # Errors
/// The master key is missing or does not fit; the lake cannot be written.
pub async fn put(
    workspace: &Workspace,
    name: &SecretName,
    value: &SecretValue,
    at: Timestamp,
) -> Result<SecretInfo, AppError> {
    workspace.require("secrets::put")?;
    let lake = workspace.lake_or_new().await?;
    Ok(lake.put_secret(name, value, at).await?)
}

/// The secrets by name, without their values.
///
/// # Errors
/// There is neither a secret nor a lake; a secret is damaged; the lake cannot be read.
pub async fn list(workspace: &Workspace) -> Result<Vec<SecretInfo>, AppError> {
    workspace.require("secrets::list")?;
    let found = workspace.lake_or_new().await?.secrets().await?;
    if found.is_empty() {
        // An empty list for a wrong location would mislead.
        workspace.lake().await?;
    }
    Ok(found)
}

/// Deletes a secret.
///
/// # Errors
/// [`AppError::UnknownSecret`]; the lake cannot be written.
pub async fn delete(workspace: &Workspace, name: &SecretName) -> Result<(), AppError> {
    workspace.require("secrets::delete")?;
    let lake = workspace.lake_or_new().await?;
    match lake.delete_secret(name).await? {
        true => Ok(()),
        false => Err(unknown(name)),
    }
}

/// The value of a secret, for a connection that names it: read when the connection is opened and not
/// kept, so that a new value is used from the next time on. No command or route returns it.
///
/// # Errors
/// [`AppError::UnknownSecret`]; the master key is missing or does not fit; the secret cannot be decrypted.
pub async fn get(workspace: &Workspace, name: &SecretName) -> Result<SecretValue, AppError> {
    workspace.require("secrets::get")?;
    let lake = workspace.lake_or_new().await?;
    lake.secret(name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &SecretName) -> AppError {
    AppError::UnknownSecret { name: name.clone() }
}
