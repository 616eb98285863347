//! Sync: ingest of a folder with one subfolder per provider, the most authoritative provider first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rollbook_identity::resolve::authority;
use rollbook_ingest::Progress;
use rollbook_lake::{Cause, Commit, Lake, Update, ValueName};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use crate::ingest::{Ingest, Ingested, ingest};
use crate::{AppError, Workspace};

/// Bytes of a file that are hashed at once.
const CHUNK: usize = 1 << 20;

/// Options of a sync.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// A folder with one subfolder per provider.
    pub folder: PathBuf,
    /// A folder of custom mappings, with one subfolder per provider.
    pub mappings: Option<PathBuf>,
    /// Whether unchanged files are read too.
    pub is_full: bool,
    /// The time of the sync.
    pub at: Timestamp,
}

/// Result for one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Synced {
    /// The provider.
    pub provider: ProviderName,
    /// Rows read from its files.
    pub fetched: u64,
    /// Records that became new persons.
    pub created: u64,
    /// Rows that changed, or are new and no records of persons.
    pub updated: u64,
    /// Records linked to existing persons.
    pub linked: u64,
    /// Records that match several persons and wait for a review.
    pub ambiguous: u64,
    /// Rows in quarantine.
    pub errors: u64,
    /// Unchanged files that were not read.
    pub skipped: u64,
    /// The snapshot that holds the rows; `None` if nothing was read.
    pub snapshot: Option<SnapshotNumber>,
}

/// The files of a provider that were ingested: hash of the content by path in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Cursor {
    files: BTreeMap<String, String>,
}

/// The providers that have a subfolder, the most authoritative first.
///
/// # Errors
/// The folder cannot be read; [`AppError::NoProviders`].
pub fn providers(folder: &Path) -> Result<Vec<ProviderName>, AppError> {
    let failed = |source| AppError::ListFile {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir()
            && let Ok(provider) = name.parse::<ProviderName>()
        {
            found.push(provider);
        }
    }
    found.sort_by_key(|provider| (authority(provider.as_str()), provider.to_string()));
    match found.is_empty() {
        true => Err(AppError::NoProviders {
            path: folder.to_owned(),
        }),
        false => Ok(found),
    }
}

/// Ingests one provider's folder if any file in it is new or changed.
///
/// # Errors
/// A file cannot be read; else those of [`ingest`].
pub async fn sync(
    workspace: &Workspace,
    options: &SyncOptions,
    provider: &ProviderName,
    batch: BatchId,
    progress: &Progress,
) -> Result<Synced, AppError> {
    workspace.require("ingest::sync::sync")?;
    let lake = workspace.lake_or_new().await?;
    let folder = options.folder.join(provider.as_str());
    let read = hash_files(&folder)?;
    let known = cursor(&lake, provider).await?;
    let is_known = |path: &String, hash: &String| known.files.get(path) == Some(hash);
    let is_same = read.files.iter().all(|(path, hash)| is_known(path, hash));
    let mut synced = Synced {
        provider: provider.clone(),
        fetched: 0,
        created: 0,
        updated: 0,
        linked: 0,
        ambiguous: 0,
        errors: 0,
        skipped: 0,
        snapshot: None,
    };
    if is_same && !options.is_full && !read.files.is_empty() {
        synced.skipped = read.files.len() as u64;
        return Ok(synced);
    }
    // A mapping may join files of a provider, so if one of them changed, all are read.
    let mappings = options
        .mappings
        .as_ref()
        .map(|folder| folder.join(provider.as_str()));
    let ingested = ingest(
        workspace,
        Ingest {
            provider: provider.clone(),
            paths: vec![folder],
            standard_input: None,
            mappings: mappings.filter(|folder| folder.is_dir()),
            dry_run: false,
            batch,
            at: options.at,
        },
        progress,
    );
    let ingested = ingested.await?;
    add_counts(&mut synced, &ingested);
    if read != known {
        save_cursor(&lake, provider, read, options.at).await?;
    }
    Ok(synced)
}

fn add_counts(synced: &mut Synced, ingested: &Ingested) {
    let total = |of: fn(&rollbook_model::TableCounts) -> u64| ingested.tables.iter().map(of).sum();
    let records = ingested.records;
    let accepted: u64 = total(|counts| counts.accepted);
    synced.fetched = total(|counts| counts.read);
    synced.created = records.created;
    synced.linked = records.linked;
    synced.ambiguous = records.ambiguous;
    let of_records = records.created + records.linked + records.ambiguous;
    synced.updated = accepted.saturating_sub(of_records);
    synced.errors = total(|counts| counts.quarantined);
    synced.snapshot = Some(ingested.snapshot);
}

/// Hashes all files below a folder.
fn hash_files(folder: &Path) -> Result<Cursor, AppError> {
    let mut cursor = Cursor::default();
    let mut folders = BTreeSet::from([folder.to_owned()]);
    while let Some(next) = folders.pop_first() {
        let failed = |source| AppError::ListFile {
            path: next.clone(),
            source,
        };
        for entry in fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.insert(path);
                continue;
            }
            let hash = hash_of(&path)?;
            let below = path.strip_prefix(folder).unwrap_or(&path);
            cursor
                .files
                .insert(below.to_string_lossy().into_owned(), hash);
        }
    }
    Ok(cursor)
}

fn hash_of(path: &Path) -> Result<String, AppError> {
    let failed = |source| AppError::ListFile {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut chunk) = (Xxh3::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            read => hash.update(&chunk[..read]),
        }
    }
}

fn cursor_name(provider: &ProviderName) -> String {
    ValueName::Sync(provider.as_str()).to_string()
}

async fn cursor(lake: &Lake, provider: &ProviderName) -> Result<Cursor, AppError> {
    let state = lake.head().await?;
    let path: Option<String> = state.value(&cursor_name(provider))?;
    Ok(match path {
        Some(path) => lake.document(&path).await?,
        None => Cursor::default(),
    })
}

/// Saves the cursor after its files are committed.
async fn save_cursor(
    lake: &Lake,
    provider: &ProviderName,
    read: Cursor,
    at: Timestamp,
) -> Result<(), AppError> {
    let path = lake.put_content("_definitions/sync", &read).await?;
    let path = &path;
    let update = |_| async move {
        let named = BTreeMap::from([(cursor_name(provider), Some(json!(path)))]);
        let cause = Cause::Define {
            name: cursor_name(provider),
        };
        let commit = Commit::of_names(cause, at, named);
        Ok::<_, AppError>(Update::commit(commit, ()))
    };
    lake.update(update).await
}
