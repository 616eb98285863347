//! One run of ingest, from files to a committed snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rollbook_identity::token::Tokens;
use rollbook_lake::Lake;
use rollbook_lake::vault::fresh_token_key;
use rollbook_model::config::{Limits, POST_QUARANTINE_ROWS};
use rollbook_model::{BatchId, ProviderName, SnapshotNumber, Timestamp};
use rollbook_read::SourceFile;

use crate::IngestError;
use crate::error::staging;
use crate::mapping::mappings;
use crate::persons::erasure_list::{self, ErasureFilter};
use crate::quarantine::{Quarantine, retry, settled};
use crate::rows::contact_ids::ContactIds;
use crate::rows::stage::Stage;
use crate::rows::unknown_statuses::{self};
use crate::rows::value_warnings::ValueWarning;

pub(crate) mod claim;
mod commit;
pub(crate) mod execute;
mod last_columns;
pub(crate) mod progress;
pub(crate) mod report;
mod source_table;
pub(crate) mod undo;
mod unreadable_lines;

use claim::{Claim, claim};
use commit::Attempt;
use execute::{DrivingRows, MappingRuns};
use progress::{Event, Progress};
use report::Report;
use source_table::SourceFiles;

/// Attempts to commit before a run fails because other writers were faster.
pub(crate) const ATTEMPTS: u32 = 10;

/// The input of an ingest run.
#[derive(Debug, Clone)]
pub struct Request {
    /// The provider of the files.
    pub provider: ProviderName,
    /// A folder of custom mappings.
    pub mappings: Option<PathBuf>,
    /// The files.
    pub files: Vec<SourceFile>,
    /// The name of the run.
    pub batch: BatchId,
    /// When it runs.
    pub at: Timestamp,
    /// Memory and threads for sorting.
    pub limits: Limits,
    /// Only count, and write nothing.
    pub dry_run: bool,
    /// The posted requests that this run answers, each with one of the files; empty for files given by a
    /// user.
    pub requests: Vec<PostedRequest>,
    /// The newest snapshot that is known to contain none of these requests.
    pub unanswered: SnapshotNumber,
}

/// One of several posted requests that one run ingests.
#[derive(Debug, Clone)]
pub struct PostedRequest {
    /// The label of its file.
    pub label: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Whether the commit records the counts of its rows.
    pub is_told: bool,
}

/// Ingests files. Either the whole run is committed as one snapshot, or nothing is.
///
/// # Errors
/// [`IngestError::UnknownProvider`], [`IngestError::MappingFolder`] and [`IngestError::MappingHeader`]
/// where the mappings cannot be loaded; [`IngestError::NothingClaimed`] and
/// [`IngestError::MissingSource`] where the files are not those that the mappings read;
/// [`IngestError::Read`] where a file cannot be opened or read; [`IngestError::MappingSql`],
/// [`IngestError::UnknownOutput`] and [`IngestError::MissingOutput`] where a mapping cannot be planned
/// over its sources; [`IngestError::MappingRun`] where it fails while it runs;
/// [`IngestError::TooManyRows`] above 2^32 rows of one table; [`IngestError::TooManyRefused`],
/// [`IngestError::NotTogether`] and [`IngestError::Answered`] for posted requests;
/// [`IngestError::Staging`] where the temporary files cannot be written; [`IngestError::Lake`] where the
/// lake cannot be read or written, or other writers were faster 10 times;
/// [`IngestError::ErasedMeanwhile`] and [`IngestError::FirstRunOvertaken`] where a new attempt met the
/// same conflict each time.
pub async fn ingest(
    lake: &Lake,
    request: Request,
    progress: &Progress,
) -> Result<Report, IngestError> {
    let known = mappings(&request.provider, request.mappings.as_deref())?;
    let places = places(&request.files);
    let once = async || {
        let (claims, unclaimed) = claim(&request.provider, &known, &request.files)?;
        let work = claims
            .into_iter()
            .map(|claim| (claim, DrivingRows::Files))
            .collect();
        let files = request.files.iter().map(|file| file.label.clone());
        let settled_by = settled::Rule::FilesRead(files.collect());
        let mut report = run(lake, &request, work, &places, settled_by, progress).await?;
        report.unclaimed = unclaimed;
        Ok(report)
    };
    repeat_if_stale(once).await
}

/// Repeats a run whose base has changed: its ids were derived with a key that is not the tenant's, or a
/// person in its rows was erased.
async fn repeat_if_stale<F>(run: impl Fn() -> F) -> Result<Report, IngestError>
where
    F: Future<Output = Result<Report, IngestError>>,
{
    for _ in 1..ATTEMPTS {
        match run().await {
            Err(IngestError::FirstRunOvertaken | IngestError::ErasedMeanwhile) => {}
            done => return done,
        }
    }
    run().await
}

/// Runs the quarantined rows through the mappings again; rows that pass leave the quarantine.
///
/// `request.files` are the other sources that mappings join; the driving rows come from the quarantine.
///
/// # Errors
/// [`IngestError::NothingQuarantined`] where no row of the provider can be tried again; else those of
/// [`ingest`].
pub async fn retry(
    lake: &Lake,
    request: Request,
    progress: &Progress,
) -> Result<Report, IngestError> {
    repeat_if_stale(|| retry_once(lake, &request, progress)).await
}

async fn retry_once(
    lake: &Lake,
    request: &Request,
    progress: &Progress,
) -> Result<Report, IngestError> {
    let state = lake.head().await?;
    let known = mappings(&request.provider, request.mappings.as_deref())?;
    let kept = retry::load(lake, &state, &request.provider).await?;
    let mut work = Vec::new();
    let mut ids = Vec::new();
    for mapping in known {
        let Some(records) = kept.of(&mapping.name) else {
            continue;
        };
        ids.extend(records.ids.iter().cloned());
        let matching = |source: &crate::mapping::Source| -> Vec<SourceFile> {
            let files = request
                .files
                .iter()
                .filter(|file| source.pattern.matches(&file.name()));
            files.map(|file| mapping.as_read(file)).collect()
        };
        let mut files: Vec<_> = mapping.sources.iter().map(matching).collect();
        files[0].clear();
        let records = records.table(&mapping.driving().optional)?;
        work.push((Claim { mapping, files }, DrivingRows::Records(records)));
    }
    if work.is_empty() {
        return Err(IngestError::NothingQuarantined);
    }
    let places = kept.places();
    run(
        lake,
        request,
        work,
        &places,
        settled::Rule::Tried(ids),
        progress,
    )
    .await
}

async fn run(
    lake: &Lake,
    request: &Request,
    work: Vec<(Claim, DrivingRows)>,
    places: &HashMap<String, u64>,
    settled_by: settled::Rule,
    progress: &Progress,
) -> Result<Report, IngestError> {
    let folder = tempfile::tempdir().map_err(staging)?;
    // A new key is kept when the run commits: one that is refused leaves no trace.
    let key = lake.token_key().await?.unwrap_or_else(fresh_token_key);
    let state = lake.head().await?;
    let mapping_runs = MappingRuns {
        lake,
        state: &state,
        limits: request.limits,
        contact_ids: ContactIds::new(Arc::clone(&key), state.settings()?.default_region),
        erased: ErasureFilter::at(lake, &state, Tokens::new(&key)).await?,
        places,
        files: SourceFiles::new(progress.clone()),
        progress: progress.clone(),
        together: request.requests.len() > 1,
    };
    // Errors of a mapping are found before minutes of reading.
    let mut planned = Vec::new();
    for (ordinal, (claim, driving)) in (0..).zip(work) {
        planned.push(mapping_runs.plan(claim, ordinal, driving).await?);
    }
    let is_of_files =
        request.requests.is_empty() && matches!(settled_by, settled::Rule::FilesRead(_));
    let columns = match is_of_files {
        true => last_columns::since_last(&state, &request.provider, &planned, progress)?,
        false => None,
    };
    let (batch, provider) = (request.batch.clone(), request.provider.clone());
    // Files are the operator's own; a request may come from a stranger.
    let most = match request.requests.is_empty() {
        true => u64::MAX,
        false => POST_QUARANTINE_ROWS,
    };
    let mut quarantine = Quarantine::new(batch, provider, request.at, folder.path(), most)?;
    let mut stages: BTreeMap<&'static str, Stage> = BTreeMap::new();
    let mut mappings_run = Vec::new();
    for planned in planned {
        let (def, name) = (planned.mapping().table, planned.mapping().name.clone());
        let stage = match stages.entry(def.name) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Stage::new(def, folder.path())?)
            }
        };
        mapping_runs.run(planned, stage, &mut quarantine).await?;
        mappings_run.push(name);
    }
    let mut staged: Vec<Stage> = stages.into_values().collect();
    for stage in &mut staged {
        stage.finish()?;
    }
    let unknown_statuses = unknown_statuses::of_run(&staged);
    for unknown in unknown_statuses.iter().cloned() {
        progress.report(Event::UnknownStatus(unknown));
    }
    let odd: Vec<ValueWarning> = staged
        .iter()
        .flat_map(|stage| stage.odd.of_table(stage.def.name))
        .collect();
    for odd in odd.iter().cloned() {
        progress.report(Event::Odd(odd));
    }
    staged.push(quarantine.into_stage()?);
    let attempt = Attempt {
        lake,
        key,
        erased: erasure_list::list_path(&state)?,
        request,
        staged,
        unknown_statuses,
        odd,
        mappings_run,
        columns,
        settled_by,
        places,
        progress,
        folder: folder.path(),
        to_resolve: Mutex::new(HashSet::new()),
    };
    let mut lease = None;
    let ended = attempt.commit_with_retries(&mut lease).await;
    if let Some(lease) = lease {
        lease.release().await?;
    }
    ended
}

impl Request {
    fn keys(&self) -> impl Iterator<Item = &String> {
        self.requests.iter().filter_map(|asked| asked.key.as_ref())
    }
}

fn places(files: &[SourceFile]) -> HashMap<String, u64> {
    files
        .iter()
        .zip(0..)
        .map(|(file, place)| (file.label.clone(), place))
        .collect()
}
