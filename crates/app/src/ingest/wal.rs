//! Write-ahead log (the "journal" of the command line): requests are acknowledged once they are appended
//! to it, and ingested soon after.

use std::path::Path;
use std::time::Duration;

use rollbook_ingest::check_claimed;
use rollbook_lake::{Entry, EntryHeader, Lake, LakeError, WalObject};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ingest::idempotency::{KnownBy, Post, Posted, post_all};
use crate::{AppError, Workspace};

/// Entries per commit at most.
const MAX_ENTRIES: usize = 2_048;
/// Bytes of bodies per commit at most.
const MAX_BYTES: u64 = 64 << 20;

/// Metadata of an entry: how its rows are to be ingested.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EntryMetadata {
    provider: ProviderName,
    /// The file name, which selects the mapping.
    file: String,
    /// The id of the request.
    batch: BatchId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The declared encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
}

/// When the log is folded into a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldPolicy {
    /// Interval between two folds.
    pub every: Duration,
    /// Bytes in the log at which it is folded at once.
    pub bytes: u64,
}

/// Content of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WalStatus {
    /// Number of objects.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// Requests that were rejected after they were acknowledged.
    pub refused: Vec<RejectedRequest>,
}

/// A request that was rejected after it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedRequest {
    /// Its id, for dropping it.
    pub id: String,
    /// The provider whose mappings were to read it.
    pub provider: String,
    /// The file name of its body.
    pub file: String,
    /// Why it was rejected.
    pub reason: String,
}

/// Result of fold.
#[derive(Debug, Default)]
pub struct Folded {
    /// Results of the ingested requests.
    pub posted: Vec<Posted>,
    /// Number of rejected requests.
    pub refused: u64,
}

/// When the log of this tenant is folded, from its settings.
///
/// # Errors
/// The lake cannot be read.
pub async fn fold_policy(workspace: &Workspace) -> Result<FoldPolicy, AppError> {
    workspace.require("ingest::wal::fold_policy")?;
    let settings = workspace.lake_or_new().await?.head().await?.settings()?;
    Ok(FoldPolicy {
        every: Duration::from_secs(u64::from(settings.journal_seconds)),
        bytes: u64::from(settings.journal_mebibytes) << 20,
    })
}

/// A request as an entry of the log. `after` is a snapshot that exists already.
///
/// # Errors
/// No mapping of the provider matches the body; the body cannot be read.
pub fn entry_of(post: &Post, id: String, after: SnapshotNumber) -> Result<Entry, AppError> {
    check_claimed(&post.provider, post.mappings.as_deref(), &post.body)?;
    let name = post.body.file_name().unwrap_or_default();
    let metadata = EntryMetadata {
        provider: post.provider.clone(),
        file: name.to_string_lossy().into_owned(),
        batch: post.batch.clone(),
        key: match &post.known_by {
            KnownBy::Key(key) => Some(key.clone()),
            KnownBy::Nothing | KnownBy::Entry { .. } => None,
        },
        charset: post.charset.map(|charset| charset.name().to_owned()),
    };
    let metadata = serde_json::to_value(metadata).expect("texts and numbers are JSON");
    let body = std::fs::read(&post.body).map_err(temporary)?;
    let header = EntryHeader {
        id,
        after,
        metadata,
    };
    Ok(Entry { header, body })
}

/// Appends entries as the object with this number, durably. Objects are folded in order of number.
///
/// # Errors
/// The lake cannot be written.
pub async fn append(
    workspace: &Workspace,
    entries: &[Entry],
    number: u64,
) -> Result<WalObject, AppError> {
    workspace.require("ingest::wal::append")?;
    Ok(workspace
        .lake_or_new()
        .await?
        .append(entries, number)
        .await?)
}

/// The objects of the log, in order.
///
/// # Errors
/// The lake cannot be read.
pub async fn appended(workspace: &Workspace) -> Result<Vec<WalObject>, AppError> {
    workspace.require("ingest::wal::appended")?;
    Ok(workspace.lake_or_new().await?.wal_objects().await?)
}

/// The content of the log, and the rejected requests.
///
/// # Errors
/// The lake cannot be read.
pub async fn status(workspace: &Workspace) -> Result<WalStatus, AppError> {
    workspace.require("ingest::wal::status")?;
    let lake = workspace.lake_or_new().await?;
    let mut status = WalStatus::default();
    for appended in lake.wal_objects().await? {
        status.objects += 1;
        status.bytes += appended.bytes;
    }
    for refused in lake.refused().await? {
        let metadata: Option<EntryMetadata> = serde_json::from_value(refused.header.metadata).ok();
        let (provider, file) = metadata.map(|m| (m.provider.to_string(), m.file)).unzip();
        status.refused.push(RejectedRequest {
            id: refused.header.id,
            provider: provider.unwrap_or_default(),
            file: file.unwrap_or_default(),
            reason: refused.reason,
        });
    }
    Ok(status)
}

/// Ingests all entries of the log in order, and removes them from it. Entries that cannot be ingested are
/// rejected with the reason. `mappings` is a folder of custom mappings, with one subfolder per provider.
///
/// # Errors
/// The lake cannot be read or written, or other writers win every attempt to commit. Entries that were
/// not ingested stay in the log.
pub async fn fold(
    workspace: &Workspace,
    mappings: Option<&Path>,
    at: Timestamp,
) -> Result<Folded, AppError> {
    workspace.require("ingest::wal::fold")?;
    let lake = workspace.lake_or_new().await?;
    let fold = Fold::new(workspace, &lake, mappings, at);
    let mut folded = Folded::default();
    let (mut group, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
    for appended in lake.wal_objects().await? {
        match lake.entries(&appended).await {
            Ok(found) => entries.extend(found),
            // A damaged object must not block the others.
            Err(error @ LakeError::Damaged { .. }) => {
                lake.refuse_object(&appended, error.to_string()).await?;
                folded.refused += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        bytes += appended.bytes;
        group.push(appended);
        if entries.len() >= MAX_ENTRIES || bytes >= MAX_BYTES {
            fold.ingest_entries(&entries, &group, &mut folded).await?;
            (group, entries, bytes) = (Vec::new(), Vec::new(), 0);
        }
    }
    fold.ingest_entries(&entries, &group, &mut folded).await?;
    Ok(folded)
}

/// Ingests the rejected requests again.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn retry(
    workspace: &Workspace,
    mappings: Option<&Path>,
    at: Timestamp,
) -> Result<Folded, AppError> {
    workspace.require("ingest::wal::retry")?;
    let lake = workspace.lake_or_new().await?;
    let fold = Fold::new(workspace, &lake, mappings, at);
    let mut folded = Folded::default();
    for refused in lake.refused().await? {
        let id = &refused.header.id;
        let entries = match lake.refused_entries(&refused).await {
            Err(LakeError::Damaged { .. }) => {
                folded.refused += 1;
                continue;
            }
            entries => entries?,
        };
        let before = folded.refused;
        fold.ingest_entries(&entries, &[], &mut folded).await?;
        // A rejected object may hold several entries, which are now rejected one by one.
        let is_itself = entries.iter().any(|entry| entry.header.id == *id);
        if folded.refused == before || !is_itself {
            lake.delete_refused(id).await?;
        }
    }
    Ok(folded)
}

/// Deletes a rejected request for good.
///
/// # Errors
/// [`AppError::UnknownEntry`]; the lake cannot be written.
pub async fn drop_rejected(workspace: &Workspace, id: &str) -> Result<(), AppError> {
    workspace.require("ingest::wal::drop_rejected")?;
    let lake = workspace.lake_or_new().await?;
    let refused = lake.refused().await?;
    if !refused.iter().any(|refused| refused.header.id == id) {
        return Err(AppError::UnknownEntry { id: id.to_owned() });
    }
    Ok(lake.delete_refused(id).await?)
}

/// The parameters of fold.
struct Fold<'a> {
    workspace: &'a Workspace,
    lake: &'a Lake,
    mappings: Option<&'a Path>,
    at: Timestamp,
}

impl<'a> Fold<'a> {
    fn new(
        workspace: &'a Workspace,
        lake: &'a Lake,
        mappings: Option<&'a Path>,
        at: Timestamp,
    ) -> Self {
        Self {
            workspace,
            lake,
            mappings,
            at,
        }
    }

    /// Ingests the entries of some objects, and removes these objects.
    async fn ingest_entries(
        &self,
        entries: &[Entry],
        group: &[WalObject],
        folded: &mut Folded,
    ) -> Result<(), AppError> {
        let folder = tempfile::tempdir().map_err(temporary)?;
        let (mut posts, mut parsed) = (Vec::new(), Vec::new());
        for (number, entry) in entries.iter().enumerate() {
            match serde_json::from_value::<EntryMetadata>(entry.header.metadata.clone()) {
                Ok(metadata) => {
                    let own = folder.path().join(number.to_string());
                    posts.push(self.request_of(entry, metadata, &own)?);
                    parsed.push(entry);
                }
                Err(error) => {
                    let reason = format!("its metadata cannot be parsed: {error}");
                    self.lake.refuse(entry, reason).await?;
                    folded.refused += 1;
                }
            }
        }
        let mut failed = None;
        for (entry, answer) in parsed
            .into_iter()
            .zip(post_all(self.workspace, posts).await)
        {
            match answer {
                Ok(posted) => folded.posted.push(posted),
                Err(error) if error.is_fault_of_request() => {
                    self.lake.refuse(entry, error.to_string()).await?;
                    folded.refused += 1;
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for appended in group {
            self.lake.delete_wal_object(appended).await?;
        }
        Ok(())
    }

    /// The request of an entry, with its body written to `folder`.
    fn request_of(
        &self,
        entry: &Entry,
        metadata: EntryMetadata,
        folder: &Path,
    ) -> Result<Post, AppError> {
        let header = &entry.header;
        std::fs::create_dir(folder).map_err(temporary)?;
        let body = folder.join(&metadata.file);
        std::fs::write(&body, &entry.body).map_err(temporary)?;
        let mappings = self
            .mappings
            .map(|all| all.join(metadata.provider.as_str()));
        let known_by = match metadata.key {
            Some(key) => KnownBy::Key(key),
            None => KnownBy::Entry {
                id: header.id.clone(),
                after: header.after,
            },
        };
        Ok(Post {
            provider: metadata.provider,
            mappings: mappings.filter(|folder| folder.is_dir()),
            body,
            // The name was written by this program, so it parses.
            charset: metadata.charset.and_then(|name| name.parse().ok()),
            known_by,
            batch: metadata.batch,
            at: self.at,
        })
    }
}

fn temporary(source: std::io::Error) -> AppError {
    AppError::TemporaryFolder { source }
}
