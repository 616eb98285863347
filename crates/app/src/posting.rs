//! Rows that a request brings: taken in once, whatever happens to the answer on its way back.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rollbook_ingest::Asked;
use rollbook_lake::{Cause, Lake};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::taking_in::{Ingest, Ingested, ingest_bodies};
use crate::{AppError, Place};

/// Rows of one request.
#[derive(Debug, Clone)]
pub struct Post {
    /// Whose mappings to use.
    pub provider: ProviderName,
    /// The user's own mappings of that provider.
    pub mappings: Option<PathBuf>,
    /// The body as a file, named as the mappings' patterns want it.
    pub body: PathBuf,
    /// What the caller named the request, so that sending it again does it once.
    pub idempotency_key: Option<String>,
    /// The name of the run.
    pub batch: BatchId,
    /// When it runs.
    pub at: Timestamp,
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
    keyed: Option<Keyed>,
}

/// What is kept of a request with a key until it is answered.
struct Keyed {
    id: String,
    path: String,
    digest: String,
    after: SnapshotNumber,
}

/// What a request comes to before its rows are looked at.
enum Prepared {
    Answered(Posted),
    Fresh(Option<Keyed>),
}

/// Takes the rows of one request in; when this returns they are committed.
pub async fn post(place: &Place, post: Post) -> Result<Posted, AppError> {
    let mut answers = post_all(place, vec![post]).await;
    answers.pop().expect("as many answers as requests")
}

/// Takes the rows of several requests in, with as few commits as give each the answer that it
/// would have got alone: requests of one source share one. The answers are in their order.
pub async fn post_all(place: &Place, posts: Vec<Post>) -> Vec<Result<Posted, AppError>> {
    let mut answers: Vec<Option<_>> = posts.iter().map(|_| None).collect();
    let mut waiting: Vec<(usize, Post)> = posts.into_iter().enumerate().collect();
    while !waiting.is_empty() {
        // Of requests with one key the first is answered before the next is looked at.
        let mut keys = HashSet::new();
        let is_first = |(_, post): &(usize, Post)| match &post.idempotency_key {
            Some(key) => keys.insert(key.clone()),
            None => true,
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_first);
        waiting = later;
        let mut fresh = Vec::new();
        for (at, post) in now {
            match prepare(place, &post).await {
                Ok(Prepared::Answered(posted)) => answers[at] = Some(Ok(posted)),
                Ok(Prepared::Fresh(keyed)) => fresh.push(Fresh { at, post, keyed }),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        for (at, answer) in take_all_in(place, fresh).await {
            answers[at] = Some(answer);
        }
    }
    let answered = answers.into_iter();
    answered
        .map(|answer| answer.expect("every request is answered"))
        .collect()
}

/// The key goes into the commit itself. A process that dies between the commit and keeping the
/// answer has still answered: the next attempt finds the key in the snapshots since.
async fn prepare(place: &Place, post: &Post) -> Result<Prepared, AppError> {
    let Some(key) = &post.idempotency_key else {
        return Ok(Prepared::Fresh(None));
    };
    let lake = place.lake_or_new().await?;
    let digest = digest_of(&post.provider, &post.body)?;
    let id = hex(&Sha256::digest(key.as_bytes()));
    let path = format!("_answers/{id}.json");
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
            let newest = lake.head().await?.number;
            // A lake that does not exist yet is made by the commit and nothing before it.
            if newest.0 > 0 {
                keep(&lake, &path, &digest, newest, None).await?;
            }
            newest
        }
    };
    Ok(Prepared::Fresh(Some(Keyed {
        id,
        path,
        digest,
        after,
    })))
}

/// Requests of one source together; one by one where that does not do.
async fn take_all_in(place: &Place, fresh: Vec<Fresh>) -> Vec<(usize, Result<Posted, AppError>)> {
    let mut groups: BTreeMap<_, Vec<Fresh>> = BTreeMap::new();
    for one in fresh {
        let name = one.post.body.file_name().map(OsStr::to_owned);
        let source = (one.post.provider.clone(), one.post.mappings.clone(), name);
        groups.entry(source).or_default().push(one);
    }
    let mut answers = Vec::new();
    for group in groups.into_values() {
        let shared = match group.len() {
            1 => None,
            _ => take_in(place, &group).await.ok(),
        };
        match shared {
            Some(ingested) => {
                for (one, ingested) in group.iter().zip(ingested) {
                    answers.push((one.at, settle(place, one, ingested).await));
                }
            }
            None => {
                for one in &group {
                    let taken = take_in(place, std::slice::from_ref(one)).await;
                    let answer = match taken.map(|mut ingested| ingested.pop()) {
                        Ok(Some(ingested)) => settle(place, one, ingested).await,
                        Ok(None) => unreachable!("as many answers as requests"),
                        Err(error) => Err(error),
                    };
                    answers.push((one.at, answer));
                }
            }
        }
    }
    answers
}

/// One run over the bodies of all of them; what each comes to.
async fn take_in(place: &Place, group: &[Fresh]) -> Result<Vec<Ingested>, AppError> {
    let first = &group.first().expect("a group has a request").post;
    let mut asked = Vec::new();
    for one in group {
        // Each request is a source of its own: what an earlier one left in quarantine stays there.
        let name = one.post.body.file_name().unwrap_or_default();
        let label = format!("http/{}/{}", one.post.batch, name.to_string_lossy());
        let key = one.keyed.as_ref().map(|keyed| keyed.id.clone());
        asked.push((one.post.body.clone(), Asked { label, key }));
    }
    let what = Ingest {
        provider: first.provider.clone(),
        paths: Vec::new(),
        standard_input: None,
        mappings: first.mappings.clone(),
        dry_run: false,
        batch: first.batch.clone(),
        at: first.at,
    };
    ingest_bodies(place, what, asked).await
}

/// Keeps the answer to a request that has a key.
async fn settle(place: &Place, one: &Fresh, ingested: Ingested) -> Result<Posted, AppError> {
    if let Some(keyed) = &one.keyed {
        let lake = place.lake_or_new().await?;
        let Keyed {
            path,
            digest,
            after,
            ..
        } = keyed;
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
            snapshot: record.number,
            batch,
            tables: answers.remove(id).unwrap_or_default(),
            unclaimed: Vec::new(),
            currency: None,
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

/// Provider, the name that the mappings go by, and the content.
fn digest_of(provider: &ProviderName, body: &Path) -> Result<String, AppError> {
    let failed = |source| AppError::TemporaryFolder { source };
    let mut digest = Sha256::new();
    let name = body.file_name().unwrap_or_default().to_string_lossy();
    digest.update(format!("{provider}\0{name}\0"));
    let mut file = std::fs::File::open(body).map_err(failed)?;
    std::io::copy(&mut file, &mut digest).map_err(failed)?;
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
