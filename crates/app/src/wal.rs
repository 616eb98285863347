//! Rows that are acknowledged once they are in the journal, and taken in soon after.

use std::path::Path;
use std::time::Duration;

use rollbook_ingest::check_claimed;
use rollbook_lake::{Appended, Entry, EntryHeader, Lake, LakeError};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::idempotency::{KnownBy, Post, Posted, post_all};
use crate::{AppError, Workspace};

/// Entries that share a commit at most.
const ENTRIES: usize = 2_048;
/// Bytes of bodies that are laid out for a commit at most.
const BYTES: u64 = 64 << 20;

/// What an entry of the journal says about its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EntryMetadata {
    provider: ProviderName,
    /// The name that the mappings' patterns want.
    file: String,
    /// The name of the request.
    batch: BatchId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The encoding of its text, where it was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
}

/// How often the journal is folded into a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The time between two.
    pub every: Duration,
    /// Bytes at which it does not wait any longer.
    pub bytes: u64,
}

/// What waits in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Its objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that could not be taken in, by request.
    pub refused: Vec<Refusal>,
}

/// A request whose rows could not be taken in after it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// By which `rollbook journal drop` knows it.
    pub id: String,
    /// Whose mappings were to read it.
    pub provider: String,
    /// The name of its body.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What folding did.
#[derive(Debug, Default)]
pub struct Folded {
    /// Requests that were taken in, and what they came to.
    pub posted: Vec<Posted>,
    /// Requests whose rows could not be taken in.
    pub refused: u64,
}

/// The newest snapshot; 0 where there is none.
pub async fn newest(workspace: &Workspace) -> Result<SnapshotNumber, AppError> {
    Ok(workspace.lake_or_new().await?.head().await?.number)
}

/// How often this tenant's journal is to be folded.
pub async fn pace(workspace: &Workspace) -> Result<Pace, AppError> {
    let settings = workspace.lake_or_new().await?.head().await?.settings()?;
    Ok(Pace {
        every: Duration::from_secs(u64::from(settings.journal_seconds)),
        bytes: u64::from(settings.journal_mebibytes) << 20,
    })
}

/// A request as an entry of the journal. `after` is a snapshot that is there.
///
/// # Errors
/// No mapping of the provider reads such a body; the body cannot be read.
pub fn entry_of(post: &Post, id: String, after: SnapshotNumber) -> Result<Entry, AppError> {
    check_claimed(&post.provider, post.mappings.as_deref(), &post.body)?;
    let name = post.body.file_name().unwrap_or_default();
    let meant = EntryMetadata {
        provider: post.provider.clone(),
        file: name.to_string_lossy().into_owned(),
        batch: post.batch.clone(),
        key: match &post.known_by {
            KnownBy::Key(key) => Some(key.clone()),
            KnownBy::Nothing | KnownBy::Entry { .. } => None,
        },
        charset: post.charset.map(|charset| charset.name().to_owned()),
    };
    let meant = serde_json::to_value(meant).expect("texts and numbers are JSON");
    let body = std::fs::read(&post.body).map_err(temporary)?;
    let header = EntryHeader { id, after, meant };
    Ok(Entry { header, body })
}

/// Makes entries durable, after those of all smaller numbers.
pub async fn append(
    workspace: &Workspace,
    entries: &[Entry],
    number: u64,
) -> Result<Appended, AppError> {
    Ok(workspace
        .lake_or_new()
        .await?
        .append(entries, number)
        .await?)
}

/// The objects that wait, in order.
pub async fn appended(workspace: &Workspace) -> Result<Vec<Appended>, AppError> {
    Ok(workspace.lake_or_new().await?.journal().await?)
}

/// What waits, and what could not be taken in.
pub async fn waiting(workspace: &Workspace) -> Result<Waiting, AppError> {
    let lake = workspace.lake_or_new().await?;
    let mut waiting = Waiting::default();
    for appended in lake.journal().await? {
        waiting.objects += 1;
        waiting.bytes += appended.bytes;
    }
    for refused in lake.refused().await? {
        let meant: Option<EntryMetadata> = serde_json::from_value(refused.header.meant).ok();
        let (provider, file) = meant.map(|m| (m.provider.to_string(), m.file)).unzip();
        waiting.refused.push(Refusal {
            id: refused.header.id,
            provider: provider.unwrap_or_default(),
            file: file.unwrap_or_default(),
            reason: refused.reason,
        });
    }
    Ok(waiting)
}

/// Takes all that waits in the journal in, in order, and removes it from there. What cannot be
/// taken in is put aside with the reason. `mappings` has a folder for each provider of the user's
/// own.
///
/// # Errors
/// The lake; everything that was not taken in still waits then.
pub async fn fold(
    workspace: &Workspace,
    mappings: Option<&Path>,
    at: Timestamp,
) -> Result<Folded, AppError> {
    let lake = workspace.lake_or_new().await?;
    let folding = Folding::new(workspace, &lake, mappings, at);
    let mut folded = Folded::default();
    let (mut group, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
    for appended in lake.journal().await? {
        match lake.entries(&appended).await {
            Ok(found) => entries.extend(found),
            // What cannot be read must not hold up what can.
            Err(error @ LakeError::Damaged { .. }) => {
                lake.put_aside(&appended, error.to_string()).await?;
                folded.refused += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        bytes += appended.bytes;
        group.push(appended);
        if entries.len() >= ENTRIES || bytes >= BYTES {
            folding.take_in(&entries, &group, &mut folded).await?;
            (group, entries, bytes) = (Vec::new(), Vec::new(), 0);
        }
    }
    folding.take_in(&entries, &group, &mut folded).await?;
    Ok(folded)
}

/// Tries once more what could not be taken in.
pub async fn retry(
    workspace: &Workspace,
    mappings: Option<&Path>,
    at: Timestamp,
) -> Result<Folded, AppError> {
    let lake = workspace.lake_or_new().await?;
    let folding = Folding::new(workspace, &lake, mappings, at);
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
        folding.take_in(&entries, &[], &mut folded).await?;
        // Of an object that was put aside, each entry that is refused stands for itself now.
        let is_itself = entries.iter().any(|entry| entry.header.id == *id);
        if folded.refused == before || !is_itself {
            lake.forget_refused(id).await?;
        }
    }
    Ok(folded)
}

/// Removes rows that could not be taken in, for good.
pub async fn drop_refused(workspace: &Workspace, id: &str) -> Result<(), AppError> {
    let lake = workspace.lake_or_new().await?;
    let refused = lake.refused().await?;
    if !refused.iter().any(|refused| refused.header.id == id) {
        return Err(AppError::UnknownEntry { id: id.to_owned() });
    }
    Ok(lake.forget_refused(id).await?)
}

/// What folding needs besides the entries.
struct Folding<'a> {
    workspace: &'a Workspace,
    lake: &'a Lake,
    mappings: Option<&'a Path>,
    at: Timestamp,
}

impl<'a> Folding<'a> {
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

    /// Takes the entries of some objects in, and removes these.
    async fn take_in(
        &self,
        entries: &[Entry],
        group: &[Appended],
        folded: &mut Folded,
    ) -> Result<(), AppError> {
        let folder = tempfile::tempdir().map_err(temporary)?;
        let (mut posts, mut understood) = (Vec::new(), Vec::new());
        for (number, entry) in entries.iter().enumerate() {
            match serde_json::from_value::<EntryMetadata>(entry.header.meant.clone()) {
                Ok(meant) => {
                    let own = folder.path().join(number.to_string());
                    posts.push(self.laid_out(entry, meant, &own)?);
                    understood.push(entry);
                }
                Err(error) => {
                    let reason = format!("what it says of its rows is not understood: {error}");
                    self.lake.refuse(entry, reason).await?;
                    folded.refused += 1;
                }
            }
        }
        let mut failed = None;
        for (entry, answer) in understood
            .into_iter()
            .zip(post_all(self.workspace, posts).await)
        {
            match answer {
                Ok(posted) => folded.posted.push(posted),
                Err(error) if error.is_about_the_request() => {
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
            self.lake.forget_entries(appended).await?;
        }
        Ok(())
    }

    /// The request that an entry was made of, with its body in a folder of its own.
    fn laid_out(
        &self,
        entry: &Entry,
        meant: EntryMetadata,
        folder: &Path,
    ) -> Result<Post, AppError> {
        let header = &entry.header;
        std::fs::create_dir(folder).map_err(temporary)?;
        let body = folder.join(&meant.file);
        std::fs::write(&body, &entry.body).map_err(temporary)?;
        let mappings = self.mappings.map(|all| all.join(meant.provider.as_str()));
        let known_by = match meant.key {
            Some(key) => KnownBy::Key(key),
            None => KnownBy::Entry {
                id: header.id.clone(),
                after: header.after,
            },
        };
        Ok(Post {
            provider: meant.provider,
            mappings: mappings.filter(|folder| folder.is_dir()),
            body,
            // Names are written by this program: each is one that it knows.
            charset: meant.charset.and_then(|name| name.parse().ok()),
            known_by,
            batch: meant.batch,
            at: self.at,
        })
    }
}

fn temporary(source: std::io::Error) -> AppError {
    AppError::TemporaryFolder { source }
}
