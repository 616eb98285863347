//! Rows that a request brings: taken in once, whatever happens to the answer on its way back.

use std::path::{Path, PathBuf};

use rollbook_lake::{Cause, Lake};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::taking_in::{Ingest, Ingested, ingest_body};
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

/// Takes the rows in; when this returns they are committed.
///
/// The key goes into the commit itself. A process that dies between the commit and keeping the
/// answer has still answered: the next attempt finds the key in the snapshots since.
pub async fn post(place: &Place, post: Post) -> Result<Posted, AppError> {
    let lake = place.lake_or_new().await?;
    let Some(key) = &post.idempotency_key else {
        let ingested = take_in(place, &post, None).await?;
        let repeated = false;
        return Ok(Posted { ingested, repeated });
    };
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
            return Ok(Posted { ingested, repeated });
        }
        Some(kept) => {
            if let Some(ingested) = committed(&lake, &id, kept.after).await? {
                keep(&lake, &path, &digest, kept.after, Some(&ingested)).await?;
                let repeated = true;
                return Ok(Posted { ingested, repeated });
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
    let ingested = take_in(place, &post, Some(id)).await?;
    keep(&lake, &path, &digest, after, Some(&ingested)).await?;
    let repeated = false;
    Ok(Posted { ingested, repeated })
}

async fn take_in(place: &Place, post: &Post, key: Option<String>) -> Result<Ingested, AppError> {
    let what = Ingest {
        provider: post.provider.clone(),
        paths: vec![post.body.clone()],
        standard_input: None,
        mappings: post.mappings.clone(),
        dry_run: false,
        batch: post.batch.clone(),
        at: post.at,
    };
    // Each request is a source of its own: what an earlier one left in quarantine stays there.
    let name = post.body.file_name().unwrap_or_default().to_string_lossy();
    let label = format!("http/{}/{name}", post.batch);
    ingest_body(place, what, label, key).await
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
        Cause::Ingest { batch, tables, .. } => Some(Ingested {
            snapshot: record.number,
            batch,
            tables,
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
