//! Ingest of files, standard input and request bodies; undo; quarantine; profiles of files.

pub mod idempotency;
pub mod sync;
pub mod wal;

use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use rollbook_engine::{Answer, Parameter};
use rollbook_ingest::inspect::{self, Profile};
use rollbook_ingest::persons::LinkCounts;
use rollbook_ingest::{PostedRequest, Progress, Report, Request, Unfound, UnknownStatus};
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, TableCounts, Timestamp};
use rollbook_queries::questions;
use rollbook_read::{DeclaredCharset, Reader, SourceFile};
use serde::{Deserialize, Serialize};

use crate::{AppError, Workspace, data};

/// Rows of a file that a profile reads at most.
const PROFILED_ROWS: usize = 100_000;

/// The rows of a body, counted until there are more than `enough`. Records that cannot be read count, too; a body that
/// is no file of rows has none.
pub fn count_rows(body: &Path, charset: Option<DeclaredCharset>, enough: u64) -> u64 {
    let Ok(mut file) = SourceFile::labelled(body, String::new()) else {
        return 0;
    };
    file.charset = charset;
    let Ok(mut rows) = Reader::open(&file, BATCH_ROWS) else {
        return 0;
    };
    let (mut count, mut refused) = (0, Vec::new());
    while count <= enough
        && let Ok(Some(batch)) = rows.next_batch(&mut refused)
    {
        count += (batch.num_rows() + refused.len()) as u64;
        refused.clear();
    }
    count
}

/// A run of ingest.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The provider, whose mappings are used.
    pub provider: ProviderName,
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The file name of standard input, if it is to be read.
    pub standard_input: Option<String>,
    /// A folder of custom mappings.
    pub mappings: Option<PathBuf>,
    /// Count and commit nothing.
    pub dry_run: bool,
    /// The id of the run.
    pub batch: BatchId,
    /// The time of the run.
    pub at: Timestamp,
}

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// The snapshot that holds the rows.
    pub snapshot: SnapshotNumber,
    /// The id of the run, by which it can be undone.
    pub batch: BatchId,
    /// Counts by table.
    pub tables: Vec<TableCounts>,
    /// Counts of records linked to persons.
    #[serde(default, skip_serializing_if = "LinkCounts::is_nothing")]
    pub records: LinkCounts,
    /// Statuses that no built-in query knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_statuses: Vec<UnknownStatus>,
    /// Files that match no mapping.
    #[serde(skip)]
    pub unclaimed: Vec<String>,
    /// The currency that this run set for the tenant.
    #[serde(skip)]
    pub currency: Option<String>,
    /// References to rows that do not exist.
    #[serde(skip)]
    pub unfound: Vec<Unfound>,
}

impl From<Report> for Ingested {
    fn from(report: Report) -> Self {
        let Report {
            snapshot,
            batch,
            tables,
            unclaimed,
            currency,
            records,
            unknown_statuses,
            unfound,
            ..
        } = report;
        Self {
            snapshot,
            batch,
            tables,
            records,
            unknown_statuses,
            unclaimed,
            currency,
            unfound,
        }
    }
}

/// Ingests files; committed when this returns.
///
/// # Errors
/// A file cannot be read, or temporary files cannot be written; a mapping is missing or invalid; too many rows
/// are rejected; the lake cannot be written.
pub async fn ingest(
    workspace: &Workspace,
    run: Ingest,
    progress: &Progress,
) -> Result<Ingested, AppError> {
    workspace.require("ingest::ingest")?;
    let lake = workspace.lake_or_new().await?;
    let folder = tempfile::tempdir().map_err(|source| AppError::TemporaryFolder { source })?;
    let mut files = rollbook_read::discover(&run.paths)?;
    if let Some(name) = &run.standard_input {
        files.push(spooled(std::io::stdin().lock(), name, folder.path())?);
    }
    let request = request(workspace, &run, files);
    Ok(rollbook_ingest::ingest(&lake, request, progress)
        .await?
        .into())
}

/// Ingests the bodies of several requests in one commit. Each is a file with its declared encoding and a
/// label; the results are in the order of the bodies. None of the requests was committed in a snapshot up
/// to `unanswered`.
///
/// # Errors
/// Those of [`ingest`], for all requests together.
pub(crate) async fn ingest_bodies(
    workspace: &Workspace,
    run: Ingest,
    bodies: Vec<(PathBuf, Option<DeclaredCharset>, PostedRequest)>,
    unanswered: SnapshotNumber,
) -> Result<Vec<Ingested>, AppError> {
    let lake = workspace.lake_or_new().await?;
    let (mut files, mut requests) = (Vec::new(), Vec::new());
    for (body, charset, request_of_body) in bodies {
        let file = SourceFile::labelled(&body, request_of_body.label.clone())?;
        files.push(SourceFile { charset, ..file });
        requests.push(request_of_body);
    }
    let mut request = request(workspace, &run, files);
    request.requests = requests;
    request.unanswered = unanswered;
    let report = rollbook_ingest::ingest(&lake, request, &Progress::silent()).await?;
    let (snapshot, batch) = (report.snapshot, report.batch);
    let each = report.by_request.into_iter().zip(report.unknown_by_request);
    let each = each.map(|(tables, unknown_statuses)| Ingested {
        snapshot,
        batch: batch.clone(),
        tables,
        records: LinkCounts::default(),
        unknown_statuses,
        unclaimed: Vec::new(),
        currency: None,
        unfound: Vec::new(),
    });
    Ok(each.collect())
}

/// Ingests the rows in quarantine again.
///
/// # Errors
/// There is no lake; else those of [`ingest`].
pub async fn retry(
    workspace: &Workspace,
    run: Ingest,
    progress: &Progress,
) -> Result<Ingested, AppError> {
    workspace.require("ingest::retry")?;
    let lake = workspace.lake().await?;
    let request = request(workspace, &run, rollbook_read::discover(&run.paths)?);
    Ok(rollbook_ingest::retry(&lake, request, progress)
        .await?
        .into())
}

fn request(workspace: &Workspace, run: &Ingest, files: Vec<SourceFile>) -> Request {
    Request {
        provider: run.provider.clone(),
        mappings: run.mappings.clone(),
        files,
        batch: run.batch.clone(),
        at: run.at,
        limits: workspace.limits,
        dry_run: run.dry_run,
        requests: Vec::new(),
        unanswered: SnapshotNumber::default(),
    }
}

fn spooled(input: impl Read, name: &str, folder: &Path) -> Result<SourceFile, AppError> {
    Ok(rollbook_read::spool(input, name, folder)?)
}

/// Undoes a run; returns the snapshot of the undo.
///
/// # Errors
/// There is no lake or no such run; the run was undone already; later runs replaced its rows; the lake
/// cannot be written.
pub async fn undo(
    workspace: &Workspace,
    batch: &BatchId,
    at: Timestamp,
) -> Result<SnapshotNumber, AppError> {
    workspace.require("ingest::undo")?;
    let lake = workspace.lake().await?;
    Ok(rollbook_ingest::undo(&lake, batch, workspace.limits, at).await?)
}

/// The rows in quarantine, of one table or of all, in order of file and line.
///
/// # Errors
/// There is no lake; [`AppError::UnknownTable`].
pub async fn quarantine(
    workspace: &Workspace,
    table: Option<&str>,
    at: Timestamp,
) -> Result<Answer, AppError> {
    workspace.require("ingest::quarantine")?;
    let table = table.map(data::table).transpose()?;
    let chosen = Parameter::Text(table.map(|def| def.name.to_owned()));
    data::own_query(workspace, questions::QUARANTINE, &[("table", chosen)], at).await
}

/// The profile of a file, and a draft of a mapping for it.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn profile(path: &Path) -> Result<(Profile, String), AppError> {
    let files = rollbook_read::discover(&[path.to_owned()])?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = files
        .first()
        .ok_or_else(|| rollbook_read::ReadError::Missing { path: name.clone() })?;
    let profile = inspect::inspect(file, PROFILED_ROWS)?;
    let draft = inspect::draft_mapping(&profile, &file.name());
    Ok((profile, draft))
}

/// The providers with rows in quarantine.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn quarantined_providers(
    workspace: &Workspace,
    at: Timestamp,
) -> Result<Vec<ProviderName>, AppError> {
    workspace.require("ingest::quarantined_providers")?;
    let found = data::own_query(workspace, questions::QUARANTINED_PROVIDERS, &[], at).await?;
    let names = found
        .batches
        .iter()
        .flat_map(|batch| batch.column(0).as_string::<i32>().iter());
    Ok(names
        .flatten()
        .filter_map(|name| name.parse().ok())
        .collect())
}

/// The fields of a column's profile that tables show.
pub const PROFILE_COLUMNS: [&str; 7] = [
    "column", "kind", "blank", "distinct", "examples", "formats", "note",
];
