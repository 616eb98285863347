//! Idempotent ingest of request bodies: a repeated request is committed once, and gets the first answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use rollbook_ingest::persons::LinkCounts;
use rollbook_ingest::{IngestError, PostedRequest};
use rollbook_lake::{Cause, Lake};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use rollbook_read::DeclaredCharset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ingest::{Ingest, Ingested, ingest_bodies};
use crate::{AppError, ErrorClass, Workspace};

/// The rows of one request.
#[derive(Debug, Clone)]
pub struct Post {
    /// The provider, whose mappings are used.
    pub provider: ProviderName,
    /// A folder of custom mappings of that provider.
    pub mappings: Option<PathBuf>,
    /// The body as a file, whose name selects the mapping.
    pub body: PathBuf,
    /// The encoding that the caller declares.
    pub charset: Option<DeclaredCharset>,
    /// How a repetition of the request is recognised.
    pub known_by: KnownBy,
    /// The id of the run.
    pub batch: BatchId,
    /// The time of the run.
    pub at: Timestamp,
}

/// How a repetition of a request is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownBy {
    /// Not at all: each is a new request.
    Nothing,
    /// By the idempotency key of the caller, who gets the first answer again.
    Key(String),
    /// By its entry in the write-ahead log.
    Entry {
        /// The id of the entry.
        id: String,
        /// A snapshot from before the entry was appended.
        after: SnapshotNumber,
    },
}

/// Result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The result of its first execution.
    pub ingested: Ingested,
    /// Whether the request is a repetition.
    pub repeated: bool,
}

/// The stored document of an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyDocument {
    /// Digest of the request, so that the key cannot be reused for another one.
    digest: String,
    /// The newest snapshot before the first attempt.
    after: SnapshotNumber,
    /// The answer, once the request is committed.
    answer: Option<Ingested>,
}

/// A request that is not committed yet.
struct NewRequest {
    /// Its index among the requests.
    at: usize,
    post: Post,
    known: Option<RequestId>,
}

/// Recognises a repetition of a request.
struct RequestId {
    /// The id by which a commit refers to the request.
    id: String,
    /// The newest snapshot known not to hold the request.
    unanswered: SnapshotNumber,
    /// The document of the caller's key, which gets the answer.
    key: Option<KeyLocation>,
}

/// The document of an idempotency key: its path and fixed content.
struct KeyLocation {
    path: String,
    digest: String,
    after: SnapshotNumber,
}

/// Outcome of looking a request up before its rows are read.
enum Lookup {
    Answered(Posted),
    New(Option<RequestId>),
}

/// Ingests the rows of one request; committed when this returns.
///
/// # Errors
/// [`AppError::KeyReused`]; else those of [`ingest`](crate::ingest::ingest).
pub async fn post(workspace: &Workspace, post: Post) -> Result<Posted, AppError> {
    workspace.require("ingest::idempotency::post")?;
    let mut answers = post_all(workspace, vec![post]).await;
    answers.pop().expect("as many answers as requests")
}

/// Ingests the rows of several requests with as few commits as possible: requests of one source share a
/// commit, and each gets the answer that it would have got alone. The answers are in the order of the
/// requests.
pub async fn post_all(workspace: &Workspace, posts: Vec<Post>) -> Vec<Result<Posted, AppError>> {
    if let Err(refused) = workspace.require("ingest::idempotency::post_all") {
        let refused = Arc::new(refused);
        let refusal = || Err(AppError::Shared(Arc::clone(&refused)));
        return posts.iter().map(|_| refusal()).collect();
    }
    let mut answers: Vec<Option<_>> = posts.iter().map(|_| None).collect();
    let mut waiting: Vec<(usize, Post)> = posts.into_iter().enumerate().collect();
    while !waiting.is_empty() {
        // Requests with the same key are answered one after the other.
        let mut keys = HashSet::new();
        let is_first = |(_, post): &(usize, Post)| match &post.known_by {
            KnownBy::Key(key) => keys.insert(key.clone()),
            KnownBy::Nothing | KnownBy::Entry { .. } => true,
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_first);
        waiting = later;
        let mut fresh = Vec::new();
        let logged = answered_entries(workspace, &now).await.map_err(Arc::new);
        for (at, post) in now {
            let found = match (&post.known_by, &logged) {
                (KnownBy::Nothing, _) => Ok(Lookup::New(None)),
                (KnownBy::Key(key), _) => look_up(workspace, &post, key).await,
                (KnownBy::Entry { .. }, Err(error)) => Err(AppError::Shared(Arc::clone(error))),
                (KnownBy::Entry { id, .. }, Ok(answered)) => Ok(answered.look_up(&post, id)),
            };
            match found {
                Ok(Lookup::Answered(posted)) => answers[at] = Some(Ok(posted)),
                Ok(Lookup::New(known)) => fresh.push(NewRequest { at, post, known }),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        for (at, answer) in ingest_all(workspace, fresh).await {
            answers[at] = Some(answer);
        }
    }
    let answered = answers.into_iter();
    answered
        .map(|answer| answer.expect("every request is answered"))
        .collect()
}

/// Entries of the log that are committed already, because their objects outlived the commit.
struct AnsweredEntries {
    by: HashMap<String, SnapshotNumber>,
    until: SnapshotNumber,
}

async fn answered_entries(
    workspace: &Workspace,
    posts: &[(usize, Post)],
) -> Result<AnsweredEntries, AppError> {
    let mut afters = posts.iter().filter_map(|(_, post)| match post.known_by {
        KnownBy::Entry { after, .. } => Some(after),
        KnownBy::Nothing | KnownBy::Key(_) => None,
    });
    let mut answered = AnsweredEntries {
        by: HashMap::new(),
        until: SnapshotNumber::default(),
    };
    if let Some(first) = afters.next() {
        let after = afters.fold(first, std::cmp::min);
        let lake = workspace.lake_or_new().await?;
        answered.until = lake.head().await?.number;
        answered.by = lake.answered_since(after).await?;
    }
    Ok(answered)
}

impl AnsweredEntries {
    fn look_up(&self, post: &Post, id: &str) -> Lookup {
        match self.by.get(id) {
            Some(snapshot) => Lookup::Answered(Posted::committed_before(post, *snapshot)),
            None => Lookup::New(Some(RequestId {
                id: id.to_owned(),
                unanswered: self.until,
                key: None,
            })),
        }
    }
}

impl Posted {
    /// The result of an entry that was committed before, whose counts are unknown.
    fn committed_before(post: &Post, snapshot: SnapshotNumber) -> Self {
        let ingested = Ingested {
            records: LinkCounts::default(),
            unknown_statuses: Vec::new(),
            snapshot,
            batch: post.batch.clone(),
            tables: Vec::new(),
            unclaimed: Vec::new(),
            currency: None,
            unfound: Vec::new(),
        };
        let repeated = true;
        Self { ingested, repeated }
    }
}

/// Registers a request with an idempotency key; its answer, if it is a repetition.
///
/// # Errors
/// [`AppError::KeyReused`]; the body or the lake cannot be read; the lake cannot be written.
pub async fn answered(workspace: &Workspace, post: &Post) -> Result<Option<Posted>, AppError> {
    workspace.require("ingest::idempotency::answered")?;
    let KnownBy::Key(key) = &post.known_by else {
        return Ok(None);
    };
    match look_up(workspace, post, key).await? {
        Lookup::Answered(posted) => Ok(Some(posted)),
        Lookup::New(_) => Ok(None),
    }
}

/// Frees the key of a rejected request, so that a corrected body can be sent under it. Keys of committed
/// requests are not freed.
///
/// # Errors
/// The body or the lake cannot be read; the lake cannot be written.
pub async fn release(workspace: &Workspace, post: &Post) -> Result<(), AppError> {
    workspace.require("ingest::idempotency::release")?;
    let KnownBy::Key(key) = &post.known_by else {
        return Ok(());
    };
    let lake = workspace.lake_or_new().await?;
    let (id, path) = key_location(key);
    let Some(stored) = lake.find_document::<KeyDocument>(&path).await? else {
        return Ok(());
    };
    let is_pending = stored.answer.is_none() && stored.digest == digest_of(post)?;
    if is_pending && committed(&lake, &id, stored.after).await?.is_none() {
        lake.remove_document(&path).await?;
    }
    Ok(())
}

/// Looks a request with a key up, and registers it if it is new. The commit itself holds the key: if the
/// process dies between the commit and saving the answer, a repetition finds the key in the snapshots.
async fn look_up(workspace: &Workspace, post: &Post, key: &str) -> Result<Lookup, AppError> {
    let lake = workspace.lake_or_new().await?;
    let digest = digest_of(post)?;
    let (id, path) = key_location(key);
    let newest = lake.head().await?.number;
    let after = match lake.find_document::<KeyDocument>(&path).await? {
        Some(stored) if stored.digest != digest => return Err(AppError::KeyReused),
        Some(KeyDocument {
            answer: Some(ingested),
            ..
        }) => {
            let repeated = true;
            return Ok(Lookup::Answered(Posted { ingested, repeated }));
        }
        Some(stored) => {
            if let Some(ingested) = committed(&lake, &id, stored.after).await? {
                save_key(&lake, &path, &digest, stored.after, Some(&ingested)).await?;
                let repeated = true;
                return Ok(Lookup::Answered(Posted { ingested, repeated }));
            }
            stored.after
        }
        None => {
            // A new lake is created by the commit, not by the key document.
            if newest.0 > 0 {
                save_key(&lake, &path, &digest, newest, None).await?;
            }
            newest
        }
    };
    Ok(Lookup::New(Some(RequestId {
        id,
        unanswered: newest,
        key: Some(KeyLocation {
            path,
            digest,
            after,
        }),
    })))
}

/// Ingests requests of one source together, and one by one if that fails.
async fn ingest_all(
    workspace: &Workspace,
    fresh: Vec<NewRequest>,
) -> Vec<(usize, Result<Posted, AppError>)> {
    let mut groups: BTreeMap<_, Vec<NewRequest>> = BTreeMap::new();
    for one in fresh {
        let name = one.post.body.file_name().map(OsStr::to_owned);
        let source = (one.post.provider.clone(), one.post.mappings.clone(), name);
        groups.entry(source).or_default().push(one);
    }
    let mut answers = Vec::new();
    for group in groups.into_values() {
        match ingest_group(workspace, &group).await {
            Ok(ingested) => {
                for (one, ingested) in group.iter().zip(ingested) {
                    answers.push((one.at, finish(workspace, one, ingested).await));
                }
            }
            Err(error) if error.is_fault_of_request() => {
                for one in &group {
                    answers.push((one.at, ingest_one(workspace, one).await));
                }
            }
            Err(error) => {
                if is_rejection(&error) {
                    release_all(workspace, &group).await;
                }
                let error = Arc::new(error);
                let failed = |one: &NewRequest| (one.at, Err(AppError::Shared(Arc::clone(&error))));
                answers.extend(group.iter().map(failed));
            }
        }
    }
    answers
}

/// Whether the request was rejected, so that its key is freed.
fn is_rejection(error: &AppError) -> bool {
    let (_, class) = error.code();
    !matches!(
        class,
        ErrorClass::Busy | ErrorClass::Storage | ErrorClass::Internal
    )
}

async fn release_all(workspace: &Workspace, group: &[NewRequest]) {
    for one in group {
        // A key that cannot be freed stays bound to its body.
        let _ = release(workspace, &one.post).await;
    }
}

async fn ingest_one(workspace: &Workspace, one: &NewRequest) -> Result<Posted, AppError> {
    match ingest_group(workspace, std::slice::from_ref(one)).await {
        Ok(ingested) => {
            let ingested = ingested.into_iter().next();
            finish(
                workspace,
                one,
                ingested.expect("one request has one answer"),
            )
            .await
        }
        // Another process committed the same request first.
        Err(AppError::Ingest(IngestError::Answered)) => match &one.post.known_by {
            KnownBy::Key(key) => match look_up(workspace, &one.post, key).await? {
                Lookup::Answered(posted) => Ok(posted),
                Lookup::New(_) => Err(AppError::Ingest(IngestError::Answered)),
            },
            _ => Ok(Posted::committed_before(
                &one.post,
                SnapshotNumber::default(),
            )),
        },
        Err(error) => {
            if is_rejection(&error) {
                release_all(workspace, std::slice::from_ref(one)).await;
            }
            Err(error)
        }
    }
}

/// Ingests the bodies of a group in one commit; the result of each.
async fn ingest_group(
    workspace: &Workspace,
    group: &[NewRequest],
) -> Result<Vec<Ingested>, AppError> {
    let first = &group.first().expect("a group has a request").post;
    let mut bodies = Vec::new();
    for one in group {
        // Each request is a source of its own, so it does not replace rows that an earlier one quarantined.
        let name = one.post.body.file_name().unwrap_or_default();
        let label = format!("http/{}/{}", one.post.batch, name.to_string_lossy());
        let known = one.known.as_ref();
        let request = PostedRequest {
            label,
            key: known.map(|known| known.id.clone()),
            is_told: known.is_some_and(|known| known.key.is_some()),
        };
        bodies.push((one.post.body.clone(), one.post.charset, request));
    }
    let known = group.iter().filter_map(|one| one.known.as_ref());
    let unanswered = known.map(|known| known.unanswered).min();
    let run = Ingest {
        provider: first.provider.clone(),
        paths: Vec::new(),
        standard_input: None,
        mappings: first.mappings.clone(),
        dry_run: false,
        batch: first.batch.clone(),
        at: first.at,
    };
    ingest_bodies(workspace, run, bodies, unanswered.unwrap_or_default()).await
}

/// Saves the answer to a request with a key.
async fn finish(
    workspace: &Workspace,
    one: &NewRequest,
    ingested: Ingested,
) -> Result<Posted, AppError> {
    let known = one.known.as_ref();
    if let Some(key) = known.and_then(|known| known.key.as_ref()) {
        let lake = workspace.lake_or_new().await?;
        let KeyLocation {
            path,
            digest,
            after,
        } = key;
        save_key(&lake, path, digest, *after, Some(&ingested)).await?;
    }
    let repeated = false;
    Ok(Posted { ingested, repeated })
}

/// The answer from the commit of an earlier attempt, if there is one.
async fn committed(
    lake: &Lake,
    id: &str,
    after: SnapshotNumber,
) -> Result<Option<Ingested>, AppError> {
    let Some(record) = lake.answering(id, after).await? else {
        return Ok(None);
    };
    Ok(match record.cause {
        Cause::Ingest {
            batch, mut answers, ..
        } => Some(Ingested {
            records: LinkCounts::default(),
            unknown_statuses: Vec::new(),
            snapshot: record.number,
            batch,
            tables: answers.remove(id).unwrap_or_default(),
            unclaimed: Vec::new(),
            currency: None,
            unfound: Vec::new(),
        }),
        _ => None,
    })
}

async fn save_key(
    lake: &Lake,
    path: &str,
    digest: &str,
    after: SnapshotNumber,
    answer: Option<&Ingested>,
) -> Result<(), AppError> {
    let (digest, answer) = (digest.to_owned(), answer.cloned());
    let stored = KeyDocument {
        digest,
        after,
        answer,
    };
    Ok(lake.replace_document(path, &stored).await?)
}

/// The id of a key in commits, and the path of its document.
fn key_location(key: &str) -> (String, String) {
    let id = hex::encode(Sha256::digest(key.as_bytes()));
    let path = format!("_answers/{id}.json");
    (id, path)
}

/// Digest of provider, file name, declared encoding and content.
fn digest_of(post: &Post) -> Result<String, AppError> {
    let failed = |source| AppError::TemporaryFolder { source };
    let mut digest = Sha256::new();
    let name = post.body.file_name().unwrap_or_default().to_string_lossy();
    digest.update(format!("{}\0{name}\0", post.provider));
    // UTF-8 is the default, so declaring it makes no difference.
    if let Some(charset) = post.charset.filter(|charset| charset.name() != "UTF-8") {
        digest.update(format!("{}\0", charset.name()));
    }
    let mut file = std::fs::File::open(&post.body).map_err(failed)?;
    std::io::copy(&mut file, &mut digest).map_err(failed)?;
    Ok(hex::encode(digest.finalize()))
}
