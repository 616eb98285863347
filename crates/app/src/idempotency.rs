//! Rows that a request brings: taken in once, whatever happens to the answer on its way back.

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
use crate::{AppError, Kind, Workspace};

/// Rows of one request.
#[derive(Debug, Clone)]
pub struct Post {
    /// Whose mappings to use.
    pub provider: ProviderName,
    /// The user's own mappings of that provider.
    pub mappings: Option<PathBuf>,
    /// The body as a file, named as the mappings' patterns want it.
    pub body: PathBuf,
    /// The encoding of its text, where the caller declares it.
    pub charset: Option<DeclaredCharset>,
    /// What it is known by when it comes again.
    pub known_by: KnownBy,
    /// The name of the run.
    pub batch: BatchId,
    /// When it runs.
    pub at: Timestamp,
}

/// What a request is known by when it comes again, so that it is done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownBy {
    /// Nothing: it is a new one each time.
    Nothing,
    /// What the caller named it, who then gets the first answer again.
    Key(String),
    /// Its entry in the journal.
    Entry {
        /// The id.
        id: String,
        /// A snapshot that was there before.
        after: SnapshotNumber,
    },
}

/// What became of a request, and whether that was found out before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The counts, as of the first time.
    pub ingested: Ingested,
    /// Whether the request had been answered before.
    pub repeated: bool,
}

/// What is kept of a request under its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    /// What was sent, so that the key cannot stand for something else.
    digest: String,
    /// The newest snapshot before the first attempt.
    after: SnapshotNumber,
    /// The answer, once there is one.
    answer: Option<Ingested>,
}

/// A request whose rows are to be taken in.
struct Fresh {
    /// Its place among the requests.
    at: usize,
    post: Post,
    known: Option<Known>,
}

/// What is known of a request that may come again.
struct Known {
    /// By what commits tell that they answer it.
    id: String,
    /// The newest snapshot that is known not to.
    unanswered: SnapshotNumber,
    /// What is kept under the caller's key until it is answered.
    kept: Option<Keeping>,
}

/// Where the answer to a request with a key is kept, and beside what.
struct Keeping {
    path: String,
    digest: String,
    after: SnapshotNumber,
}

/// What a request comes to before its rows are looked at.
enum Prepared {
    Answered(Posted),
    Fresh(Option<Known>),
}

/// Takes the rows of one request in; when this returns they are committed.
pub async fn post(workspace: &Workspace, post: Post) -> Result<Posted, AppError> {
    let mut answers = post_all(workspace, vec![post]).await;
    answers.pop().expect("as many answers as requests")
}

/// Takes the rows of several requests in, with as few commits as give each the answer that it
/// would have got alone: requests of one source share one. The answers are in their order.
pub async fn post_all(workspace: &Workspace, posts: Vec<Post>) -> Vec<Result<Posted, AppError>> {
    let mut answers: Vec<Option<_>> = posts.iter().map(|_| None).collect();
    let mut waiting: Vec<(usize, Post)> = posts.into_iter().enumerate().collect();
    while !waiting.is_empty() {
        // Of requests with one key the first is answered before the next is looked at.
        let mut keys = HashSet::new();
        let is_first = |(_, post): &(usize, Post)| match &post.known_by {
            KnownBy::Key(key) => keys.insert(key.clone()),
            KnownBy::Nothing | KnownBy::Entry { .. } => true,
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_first);
        waiting = later;
        let mut fresh = Vec::new();
        let journaled = answered_entries(workspace, &now).await.map_err(Arc::new);
        for (at, post) in now {
            let prepared = match (&post.known_by, &journaled) {
                (KnownBy::Nothing, _) => Ok(Prepared::Fresh(None)),
                (KnownBy::Key(key), _) => prepare(workspace, &post, key).await,
                (KnownBy::Entry { .. }, Err(error)) => Err(AppError::Shared(Arc::clone(error))),
                (KnownBy::Entry { id, .. }, Ok(answered)) => Ok(answered.prepare(&post, id)),
            };
            match prepared {
                Ok(Prepared::Answered(posted)) => answers[at] = Some(Ok(posted)),
                Ok(Prepared::Fresh(known)) => fresh.push(Fresh { at, post, known }),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        for (at, answer) in take_all_in(workspace, fresh).await {
            answers[at] = Some(answer);
        }
    }
    let answered = answers.into_iter();
    answered
        .map(|answer| answer.expect("every request is answered"))
        .collect()
}

/// Entries of the journal that have been taken in before: their objects outlived the commit.
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
    fn prepare(&self, post: &Post, id: &str) -> Prepared {
        match self.by.get(id) {
            Some(snapshot) => Prepared::Answered(Posted::before(post, *snapshot)),
            None => Prepared::Fresh(Some(Known {
                id: id.to_owned(),
                unanswered: self.until,
                kept: None,
            })),
        }
    }
}

impl Posted {
    /// What is left to say of an entry that was taken in before.
    fn before(post: &Post, snapshot: SnapshotNumber) -> Self {
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

/// Notes a request with a key before its rows are looked at: its answer, where there is one.
///
/// # Errors
/// [`AppError::KeyReused`]; the lake.
pub async fn answered(workspace: &Workspace, post: &Post) -> Result<Option<Posted>, AppError> {
    let KnownBy::Key(key) = &post.known_by else {
        return Ok(None);
    };
    match prepare(workspace, post, key).await? {
        Prepared::Answered(posted) => Ok(Some(posted)),
        Prepared::Fresh(_) => Ok(None),
    }
}

/// Gives a key back that stood for a request which was refused: a mended body may come under it.
/// What was committed under a key stays.
///
/// # Errors
/// The lake.
pub async fn release(workspace: &Workspace, post: &Post) -> Result<(), AppError> {
    let KnownBy::Key(key) = &post.known_by else {
        return Ok(());
    };
    let lake = workspace.lake_or_new().await?;
    let (id, path) = kept_at(key);
    let Some(kept) = lake.find_document::<Kept>(&path).await? else {
        return Ok(());
    };
    let is_its = kept.answer.is_none() && kept.digest == digest_of(post)?;
    if is_its && committed(&lake, &id, kept.after).await?.is_none() {
        lake.remove_document(&path).await?;
    }
    Ok(())
}

/// The key goes into the commit itself. A process that dies between the commit and keeping the
/// answer has still answered: the next attempt finds the key in the snapshots since.
async fn prepare(workspace: &Workspace, post: &Post, key: &str) -> Result<Prepared, AppError> {
    let lake = workspace.lake_or_new().await?;
    let digest = digest_of(post)?;
    let (id, path) = kept_at(key);
    let newest = lake.head().await?.number;
    let after = match lake.find_document::<Kept>(&path).await? {
        Some(kept) if kept.digest != digest => return Err(AppError::KeyReused),
        Some(Kept {
            answer: Some(ingested),
            ..
        }) => {
            let repeated = true;
            return Ok(Prepared::Answered(Posted { ingested, repeated }));
        }
        Some(kept) => {
            if let Some(ingested) = committed(&lake, &id, kept.after).await? {
                keep(&lake, &path, &digest, kept.after, Some(&ingested)).await?;
                let repeated = true;
                return Ok(Prepared::Answered(Posted { ingested, repeated }));
            }
            kept.after
        }
        None => {
            // A lake that does not exist yet is made by the commit and nothing before it.
            if newest.0 > 0 {
                keep(&lake, &path, &digest, newest, None).await?;
            }
            newest
        }
    };
    Ok(Prepared::Fresh(Some(Known {
        id,
        unanswered: newest,
        kept: Some(Keeping {
            path,
            digest,
            after,
        }),
    })))
}

/// Requests of one source together; one by one where that does not do.
async fn take_all_in(
    workspace: &Workspace,
    fresh: Vec<Fresh>,
) -> Vec<(usize, Result<Posted, AppError>)> {
    let mut groups: BTreeMap<_, Vec<Fresh>> = BTreeMap::new();
    for one in fresh {
        let name = one.post.body.file_name().map(OsStr::to_owned);
        let source = (one.post.provider.clone(), one.post.mappings.clone(), name);
        groups.entry(source).or_default().push(one);
    }
    let mut answers = Vec::new();
    for group in groups.into_values() {
        match take_in(workspace, &group).await {
            Ok(ingested) => {
                for (one, ingested) in group.iter().zip(ingested) {
                    answers.push((one.at, settle(workspace, one, ingested).await));
                }
            }
            Err(error) if error.is_about_the_request() => {
                for one in &group {
                    answers.push((one.at, take_one_in(workspace, one).await));
                }
            }
            Err(error) => {
                if is_refused(&error) {
                    release_all(workspace, &group).await;
                }
                let error = Arc::new(error);
                let failed = |one: &Fresh| (one.at, Err(AppError::Shared(Arc::clone(&error))));
                answers.extend(group.iter().map(failed));
            }
        }
    }
    answers
}

/// Whether the request was refused: sent again as it is, it may be refused again.
fn is_refused(error: &AppError) -> bool {
    let (_, kind) = error.code();
    !matches!(kind, Kind::Busy | Kind::Storage | Kind::Internal)
}

async fn release_all(workspace: &Workspace, group: &[Fresh]) {
    for one in group {
        // A key that could not be given back stands for its body as before.
        let _ = release(workspace, &one.post).await;
    }
}

async fn take_one_in(workspace: &Workspace, one: &Fresh) -> Result<Posted, AppError> {
    match take_in(workspace, std::slice::from_ref(one)).await {
        Ok(ingested) => {
            let ingested = ingested.into_iter().next();
            settle(
                workspace,
                one,
                ingested.expect("one request has one answer"),
            )
            .await
        }
        // Another process was sent the same, and was faster.
        Err(AppError::Ingest(IngestError::Answered)) => match &one.post.known_by {
            KnownBy::Key(key) => match prepare(workspace, &one.post, key).await? {
                Prepared::Answered(posted) => Ok(posted),
                Prepared::Fresh(_) => Err(AppError::Ingest(IngestError::Answered)),
            },
            _ => Ok(Posted::before(&one.post, SnapshotNumber::default())),
        },
        Err(error) => {
            if is_refused(&error) {
                release_all(workspace, std::slice::from_ref(one)).await;
            }
            Err(error)
        }
    }
}

/// One run over the bodies of all of them; what each comes to.
async fn take_in(workspace: &Workspace, group: &[Fresh]) -> Result<Vec<Ingested>, AppError> {
    let first = &group.first().expect("a group has a request").post;
    let mut asked = Vec::new();
    for one in group {
        // Each request is a source of its own: what an earlier one left in quarantine stays there.
        let name = one.post.body.file_name().unwrap_or_default();
        let label = format!("http/{}/{}", one.post.batch, name.to_string_lossy());
        let known = one.known.as_ref();
        let described = PostedRequest {
            label,
            key: known.map(|known| known.id.clone()),
            is_told: known.is_some_and(|known| known.kept.is_some()),
        };
        asked.push((one.post.body.clone(), one.post.charset, described));
    }
    let known = group.iter().filter_map(|one| one.known.as_ref());
    let unanswered = known.map(|known| known.unanswered).min();
    let what = Ingest {
        provider: first.provider.clone(),
        paths: Vec::new(),
        standard_input: None,
        mappings: first.mappings.clone(),
        dry_run: false,
        batch: first.batch.clone(),
        at: first.at,
    };
    ingest_bodies(workspace, what, asked, unanswered.unwrap_or_default()).await
}

/// Keeps the answer to a request that has a key.
async fn settle(
    workspace: &Workspace,
    one: &Fresh,
    ingested: Ingested,
) -> Result<Posted, AppError> {
    let known = one.known.as_ref();
    if let Some(kept) = known.and_then(|known| known.kept.as_ref()) {
        let lake = workspace.lake_or_new().await?;
        let Keeping {
            path,
            digest,
            after,
        } = kept;
        keep(&lake, path, digest, *after, Some(&ingested)).await?;
    }
    let repeated = false;
    Ok(Posted { ingested, repeated })
}

/// The answer that a commit of an earlier attempt holds.
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

async fn keep(
    lake: &Lake,
    path: &str,
    digest: &str,
    after: SnapshotNumber,
    answer: Option<&Ingested>,
) -> Result<(), AppError> {
    let (digest, answer) = (digest.to_owned(), answer.cloned());
    let kept = Kept {
        digest,
        after,
        answer,
    };
    Ok(lake.replace_document(path, &kept).await?)
}

/// By what commits know a key, and where its answer is kept.
fn kept_at(key: &str) -> (String, String) {
    let id = hex::encode(Sha256::digest(key.as_bytes()));
    let path = format!("_answers/{id}.json");
    (id, path)
}

/// Provider, the name that the mappings go by, the encoding that is declared, and the content.
fn digest_of(post: &Post) -> Result<String, AppError> {
    let failed = |source| AppError::TemporaryFolder { source };
    let mut digest = Sha256::new();
    let name = post.body.file_name().unwrap_or_default().to_string_lossy();
    digest.update(format!("{}\0{name}\0", post.provider));
    // UTF-8 is what most bodies are found out to be where nothing is declared.
    if let Some(charset) = post.charset.filter(|charset| charset.name() != "UTF-8") {
        digest.update(format!("{}\0", charset.name()));
    }
    let mut file = std::fs::File::open(&post.body).map_err(failed)?;
    std::io::copy(&mut file, &mut digest).map_err(failed)?;
    Ok(hex::encode(digest.finalize()))
}
