//! Ingest as a user asks for it: paths and standard input, undo, quarantine.

use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use rollbook_engine::{Answer, Parameter};
use rollbook_ingest::inspect::{self, Profile};
use rollbook_ingest::persons::LinkCounts;
use rollbook_ingest::{PostedRequest, Progress, Report, Request, Unfound, UnknownStatus};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, TableCounts, Timestamp};
use rollbook_queries::questions;
use rollbook_read::{DeclaredCharset, SourceFile};
use serde::{Deserialize, Serialize};

use crate::{AppError, Workspace, data};

/// Rows of a file that a profile looks at.
const PROFILED_ROWS: usize = 100_000;

/// What to take in.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Whose mappings to use.
    pub provider: ProviderName,
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The name that standard input goes by, where it is to be read.
    pub standard_input: Option<String>,
    /// The user's own folder of mappings.
    pub mappings: Option<PathBuf>,
    /// Count only.
    pub dry_run: bool,
    /// The name of the run.
    pub batch: BatchId,
    /// When it runs.
    pub at: Timestamp,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// The snapshot that holds the rows.
    pub snapshot: SnapshotNumber,
    /// The run; it can be taken back by this name.
    pub batch: BatchId,
    /// Counts by table.
    pub tables: Vec<TableCounts>,
    /// How records of persons came to persons.
    #[serde(default, skip_serializing_if = "LinkCounts::is_nothing")]
    pub records: LinkCounts,
    /// Statuses that no query of ours knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_statuses: Vec<UnknownStatus>,
    /// Files that no mapping reads.
    #[serde(skip)]
    pub unclaimed: Vec<String>,
    /// The currency that the run set as the tenant's.
    #[serde(skip)]
    pub currency: Option<String>,
    /// Rows that name something that is not there.
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

/// Takes files in.
pub async fn ingest(
    workspace: &Workspace,
    what: Ingest,
    progress: &Progress,
) -> Result<Ingested, AppError> {
    let lake = workspace.lake_or_new().await?;
    let folder = tempfile::tempdir().map_err(|source| AppError::TemporaryFolder { source })?;
    let mut files = rollbook_read::discover(&what.paths)?;
    if let Some(name) = &what.standard_input {
        files.push(spooled(std::io::stdin().lock(), name, folder.path())?);
    }
    let request = request(workspace, &what, files);
    Ok(rollbook_ingest::ingest(&lake, request, progress)
        .await?
        .into())
}

/// Takes the bodies of requests in, each a file that goes by a label, with the encoding that is
/// declared for it, and says what each came to.
/// No snapshot up to `unanswered` answers one of them.
pub(crate) async fn ingest_bodies(
    workspace: &Workspace,
    what: Ingest,
    bodies: Vec<(PathBuf, Option<DeclaredCharset>, PostedRequest)>,
    unanswered: SnapshotNumber,
) -> Result<Vec<Ingested>, AppError> {
    let lake = workspace.lake_or_new().await?;
    let (mut files, mut requests) = (Vec::new(), Vec::new());
    for (body, charset, asked) in bodies {
        let file = SourceFile::labelled(&body, asked.label.clone())?;
        files.push(SourceFile { charset, ..file });
        requests.push(asked);
    }
    let mut request = request(workspace, &what, files);
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

/// Runs the rows in quarantine again.
pub async fn retry(
    workspace: &Workspace,
    what: Ingest,
    progress: &Progress,
) -> Result<Ingested, AppError> {
    let lake = workspace.lake().await?;
    let request = request(workspace, &what, rollbook_read::discover(&what.paths)?);
    Ok(rollbook_ingest::retry(&lake, request, progress)
        .await?
        .into())
}

fn request(workspace: &Workspace, what: &Ingest, files: Vec<SourceFile>) -> Request {
    Request {
        provider: what.provider.clone(),
        mappings: what.mappings.clone(),
        files,
        batch: what.batch.clone(),
        at: what.at,
        limits: workspace.limits,
        dry_run: what.dry_run,
        requests: Vec::new(),
        unanswered: SnapshotNumber::default(),
    }
}

fn spooled(input: impl Read, name: &str, folder: &Path) -> Result<SourceFile, AppError> {
    Ok(rollbook_read::spool(input, name, folder)?)
}

/// Takes a run back; the snapshot that did it.
pub async fn undo(
    workspace: &Workspace,
    batch: &BatchId,
    at: Timestamp,
) -> Result<SnapshotNumber, AppError> {
    let lake = workspace.lake().await?;
    Ok(rollbook_ingest::undo(&lake, batch, workspace.limits, at).await?)
}

/// The rows in quarantine, of one table or of all, in order of their places.
pub async fn quarantine(
    workspace: &Workspace,
    table: Option<&str>,
    at: Timestamp,
) -> Result<Answer, AppError> {
    let table = table.map(data::table).transpose()?;
    let chosen = Parameter::Text(table.map(|def| def.name.to_owned()));
    data::own_query(workspace, questions::QUARANTINE, &[("table", chosen)], at).await
}

/// What a file holds, and a draft of a mapping for it.
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

/// The providers that have rows in quarantine.
pub async fn quarantined_providers(
    workspace: &Workspace,
    at: Timestamp,
) -> Result<Vec<ProviderName>, AppError> {
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

/// The keys of a column's profile that people see.
pub const PROFILE_COLUMNS: [&str; 7] = [
    "column", "kind", "blank", "distinct", "examples", "formats", "note",
];
