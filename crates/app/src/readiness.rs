//! Readiness: whether a lake can be read and written, and its master key is there.

use std::io::ErrorKind;

use rollbook_lake::LakeError;

use crate::{AppError, Workspace};

/// Why requests cannot be answered. The reason names no tenant, no path and no key.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// The reason, for everybody.
    pub reason: &'static str,
    /// The cause, for the log.
    pub source: AppError,
}

/// The lake cannot be read.
pub const UNREADABLE: &str = "the lake cannot be read";

/// Checks that the lake can be read and written, and that the master key is there and fits. Writes and
/// removes a small file; call it every few seconds at most.
///
/// # Errors
/// [`NotReady`] with the first reason that was found.
pub async fn check(workspace: &Workspace) -> Result<(), NotReady> {
    let because = |reason: &'static str| {
        move |source: LakeError| NotReady {
            reason,
            source: source.into(),
        }
    };
    let unreadable = |source| NotReady {
        reason: UNREADABLE,
        source,
    };
    let lake = workspace.lake_or_new().await.map_err(unreadable)?;
    let newest = lake.head().await.map_err(because(UNREADABLE))?.number;
    // Commits are put into this folder; before the first one, the location itself must be writable.
    let folder = match newest.0 {
        0 => String::new(),
        _ => format!("{}/_snapshots", workspace.tenant),
    };
    let written = lake.store().check_writable(&folder).await;
    written.map_err(|error| {
        let source = AppError::from(error);
        let reason = match source.disk_error() {
            Some(ErrorKind::ReadOnlyFilesystem) => "the storage of the lake is read-only",
            Some(_) => "the storage of the lake is full",
            None => "the lake cannot be written",
        };
        NotReady { reason, source }
    })?;
    lake.check_keys().await.map_err(|error| {
        let reason = match &error {
            LakeError::MasterKey { .. } | LakeError::File { .. } => {
                "the master key is missing or does not fit the lake"
            }
            _ => "the keys of the lake cannot be read",
        };
        because(reason)(error)
    })
}
