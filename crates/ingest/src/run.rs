//! One run of ingest, from files to a committed snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringTreemap;
use rollbook_identity::token::Tokens;
use rollbook_lake::vault::{Vault, fresh_token_key};
use rollbook_lake::{
    Cause, Commit, Committed, Lake, LakeError, ORDERS_COMPLETE, State, WriterLease,
};
use rollbook_model::config::{Limits, POST_QUARANTINE_ROWS};
use rollbook_model::{
    BatchId, ProviderName, Shape, SnapshotNumber, TableCounts, Timestamp, tables,
};
use serde_json::json;

use crate::IngestError;
use crate::claim::{Claim, claim};
use crate::error::staging;
use crate::execute::{Driving, Execution};
use crate::identify::ContactIds;
use crate::linking::{self, Decisions, Erased};
use crate::mapping::mappings;
use crate::odd::Odd;
use crate::orders::{ORDERS, Orders};
use crate::people::People;
use crate::progress::{Event, Progress};
use crate::quarantine::Quarantine;
use crate::report::Report;
use crate::settle;
use crate::source::Files;
use crate::stage::Stage;
use crate::unknown::{self, UnknownStatus};
use crate::upsert::{Outcome, Upsert};
use crate::{columns, fill, identities, kept};
use rollbook_read::SourceFile;

/// Attempts to commit until a run gives way to faster writers.
const ATTEMPTS: u32 = 10;

/// What to take in, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose mappings to use.
    pub provider: ProviderName,
    /// The user's own folder of mappings.
    pub mappings: Option<PathBuf>,
    /// The files.
    pub files: Vec<SourceFile>,
    /// The name of the run.
    pub batch: BatchId,
    /// When it runs.
    pub at: Timestamp,
    /// What sorting may use.
    pub limits: Limits,
    /// Count only, and change nothing.
    pub dry_run: bool,
    /// The requests that this run answers, each by one of the files; none for a run of files.
    pub requests: Vec<Asked>,
    /// The newest snapshot that is known to answer none of them.
    pub unanswered: SnapshotNumber,
}

/// One of several requests that are answered by one run.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The label of its file.
    pub label: String,
    /// What it is known by, so that it is done once.
    pub key: Option<String>,
    /// Whether the commit tells what its rows came to.
    pub is_told: bool,
}

/// Takes files in. Either all of the run is committed, as one snapshot, or nothing.
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
            .map(|claim| (claim, Driving::Files))
            .collect();
        let files = request.files.iter().map(|file| file.label.clone());
        let settled_by = settle::Rule::FilesRead(files.collect());
        let mut report = run(lake, &request, work, &places, settled_by, progress).await?;
        report.unclaimed = unclaimed;
        Ok(report)
    };
    again(once).await
}

/// Does a run, and again where what it rests on is no longer so: its ids were made with a key that is
/// not the tenant's, or somebody was erased whose rows it has.
async fn again<F>(run: impl Fn() -> F) -> Result<Report, IngestError>
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

/// Runs the rows in quarantine through the mappings again; those that pass leave it.
///
/// `request.files` are the sources that mappings join; the driving rows come from quarantine.
pub async fn retry(
    lake: &Lake,
    request: Request,
    progress: &Progress,
) -> Result<Report, IngestError> {
    again(|| tried_again(lake, &request, progress)).await
}

async fn tried_again(
    lake: &Lake,
    request: &Request,
    progress: &Progress,
) -> Result<Report, IngestError> {
    let state = lake.head().await?;
    let known = mappings(&request.provider, request.mappings.as_deref())?;
    let kept = kept::load(lake, &state, &request.provider).await?;
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
        work.push((Claim { mapping, files }, Driving::Records(records)));
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
        settle::Rule::Tried(ids),
        progress,
    )
    .await
}

async fn run(
    lake: &Lake,
    request: &Request,
    work: Vec<(Claim, Driving)>,
    places: &HashMap<String, u64>,
    settled_by: settle::Rule,
    progress: &Progress,
) -> Result<Report, IngestError> {
    let folder = tempfile::tempdir().map_err(staging)?;
    // A new key is kept when the run commits: one that is refused leaves no trace.
    let key = lake.token_key().await?.unwrap_or_else(fresh_token_key);
    let state = lake.head().await?;
    let execution = Execution {
        lake,
        state: &state,
        limits: request.limits,
        contact_ids: ContactIds::new(Arc::clone(&key), state.settings()?.default_region),
        erased: Erased::at(lake, &state, Tokens::new(&key)).await?,
        places,
        files: Files::new(progress.clone()),
        progress: progress.clone(),
        together: request.requests.len() > 1,
    };
    // What is wrong with a mapping is told before minutes of reading.
    let mut planned = Vec::new();
    for (ordinal, (claim, driving)) in (0..).zip(work) {
        planned.push(execution.plan(claim, ordinal, driving).await?);
    }
    let is_of_files =
        request.requests.is_empty() && matches!(settled_by, settle::Rule::FilesRead(_));
    let columns = match is_of_files {
        true => columns::since_last(&state, &request.provider, &planned, progress)?,
        false => None,
    };
    let (batch, provider) = (request.batch.clone(), request.provider.clone());
    // Files are somebody's own; a request may be a stranger's.
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
        execution.run(planned, stage, &mut quarantine).await?;
        mappings_run.push(name);
    }
    let mut staged: Vec<Stage> = stages.into_values().collect();
    for stage in &mut staged {
        stage.finish()?;
    }
    let unknown_statuses = unknown::of_run(&staged);
    for unknown in unknown_statuses.iter().cloned() {
        progress.tell(Event::UnknownStatus(unknown));
    }
    let odd: Vec<Odd> = staged
        .iter()
        .flat_map(|stage| stage.odd.of_table(stage.def.name))
        .collect();
    for odd in odd.iter().cloned() {
        progress.tell(Event::Odd(odd));
    }
    staged.push(quarantine.into_stage()?);
    let attempt = Attempt {
        lake,
        key,
        erased: linking::erased::place_of_list(&state)?,
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
        marked: Mutex::new(HashSet::new()),
    };
    let mut turn = None;
    let ended = attempt.commit_at_last(&mut turn).await;
    if let Some(turn) = turn {
        turn.release().await?;
    }
    ended
}

/// The staged rows of a run, to be compared with the newest snapshot and committed after it.
struct Attempt<'a> {
    lake: &'a Lake,
    /// What the run made tokens of e-mail addresses with.
    key: Arc<[u8]>,
    /// Where the list of those who were erased lay when rows were staged.
    erased: Option<String>,
    request: &'a Request,
    staged: Vec<Stage>,
    unknown_statuses: Vec<UnknownStatus>,
    odd: Vec<Odd>,
    mappings_run: Vec<String>,
    /// The columns that files had, to be kept until the next run of the provider.
    columns: Option<serde_json::Value>,
    settled_by: settle::Rule,
    places: &'a HashMap<String, u64>,
    progress: &'a Progress,
    /// For temporary files.
    folder: &'a Path,
    /// Records whose tokens an attempt put into the vault that was overtaken: what they are
    /// connected with was not resolved for all that.
    marked: Mutex<HashSet<i64>>,
}

impl Attempt<'_> {
    /// Who was overtaken once has the turn from then on.
    async fn commit_at_last(&self, turn: &mut Option<WriterLease>) -> Result<Report, IngestError> {
        for _ in 0..ATTEMPTS {
            if let Some(report) = self.commit(turn.as_ref()).await? {
                return Ok(report);
            }
            self.progress.tell(Event::Overtaken);
            if turn.is_none() {
                *turn = Some(self.lake.ask_turn().await?);
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS }.into())
    }

    /// One attempt; `None` if another writer was faster.
    async fn commit(&self, turn: Option<&WriterLease>) -> Result<Option<Report>, IngestError> {
        let (lake, request) = (self.lake, self.request);
        if !request.dry_run && !lake.keep_token_key(&self.key).await? {
            return Err(IngestError::FirstRunOvertaken);
        }
        let base = lake.head().await?;
        if linking::erased::place_of_list(&base)? != self.erased {
            // What an attempt that was overtaken has put; the first one has put nothing.
            if turn.is_some() {
                linking::erase::forget_again(lake, &base).await?;
            }
            return Err(IngestError::ErasedMeanwhile);
        }
        self.must_be_unanswered(&base).await?;
        let mut whole = Vec::with_capacity(self.staged.len());
        for stage in &self.staged {
            whole.push(fill::filled(lake, &base, stage, self.folder).await?);
        }
        let staged: Vec<&Stage> = self
            .staged
            .iter()
            .zip(&whole)
            .map(|(stage, whole)| whole.as_ref().unwrap_or(stage))
            .collect();
        let mut people = People::resolve(lake, &base, &staged, request.at, request.dry_run).await?;
        let decisions = Decisions::at(lake, &base).await?;
        let asked = linking::Asked {
            lake,
            base: &base,
            at: request.at,
            dry_run: request.dry_run,
            decisions: &decisions,
            cause: None,
        };
        let tokens = Tokens::new(&self.key);
        let marked = self.marked().clone();
        let linked = linking::link(&asked, &mut people, &staged, &tokens, &marked).await?;
        let quarantined = self.staged.last().expect("the quarantine is always staged");
        let scope = settle::Scope {
            provider: &request.provider,
            mappings: &self.mappings_run,
            rule: &self.settled_by,
        };
        let settled = settle::settled(lake, &base, &scope, quarantined).await?;
        let mut counts = Vec::new();
        let mut by_request = vec![Vec::new(); request.requests.len()];
        let (mut changes, mut touched) = (BTreeMap::new(), RoaringTreemap::new());
        let (mut seen, mut forgotten) = (HashMap::new(), Vec::new());
        let mut orders = Orders::of(base.table(ORDERS).files);
        let mut unfound = Vec::new();
        for def in tables::TABLES
            .iter()
            .filter(|def| def.name != tables::IDENTITIES.name)
        {
            let stage = staged.iter().copied();
            let stage = stage.into_iter().find(|stage| stage.def.name == def.name);
            let is_quarantine = def.name == tables::QUARANTINE.name;
            let relinks = !people.linked.is_empty() && def.shape == Shape::Fact;
            if stage.is_none() && !relinks {
                continue;
            }
            self.progress.tell(Event::Writing { table: def.name });
            let upsert = Upsert {
                lake,
                def,
                table: base.table(def.name),
                stage,
                people: &people,
                orders: &orders,
                settled: match is_quarantine {
                    true => &settled.rows,
                    false => &[],
                },
                limits: request.limits,
                folder: self.folder,
                dry_run: request.dry_run,
            };
            let outcome: Outcome = upsert.run().await?;
            if stage.is_some() && !is_quarantine {
                counts.push(outcome.tally.total(def.name));
                for (asked, tables) in request.requests.iter().zip(&mut by_request) {
                    let place = self.places.get(&asked.label).copied().unwrap_or(0);
                    tables.push(outcome.tally.of_file(def.name, place));
                }
            }
            unfound.extend(outcome.unfound(def));
            forgotten.push((def, outcome.forgotten));
            touched |= outcome.touched;
            if def.name == ORDERS {
                orders.take(outcome.orders);
            }
            seen.extend(outcome.seen);
            changes.insert(def.name, outcome.change);
        }
        forgotten.push((tables::QUARANTINE, settled.vault_keys()?));
        let report = |snapshot, currency| {
            let (batch, tables) = (request.batch.clone(), counts.clone());
            Some(Report {
                snapshot,
                batch,
                tables,
                by_request: by_request.clone(),
                unclaimed: Vec::new(),
                currency,
                records: linked.counts,
                unknown_statuses: self.unknown_statuses.clone(),
                unknown_by_request: self.unknown_by_request(),
                unfound: unfound.clone(),
                odd: self.odd.clone(),
            })
        };
        if request.dry_run {
            return Ok(report(base.data, None));
        }
        changes.insert(
            tables::IDENTITIES.name,
            identities::change(lake, &base, &people, &seen).await?,
        );
        let log = linking::write_log(lake, &linked.log, request.at).await?;
        changes.insert(tables::IDENTITY_LOG.name, log);
        changes.retain(|_, change| !change.is_empty());
        if changes.is_empty() {
            return Ok(report(base.data, None));
        }
        self.marked().extend(linked.marks.keys());
        linking::keep_marks(lake, &linked.marks).await?;
        let persons = linked.before.iter();
        touched.extend(persons.flat_map(|(identity, before)| {
            let persons = [*before, linked.moved[identity]].into_iter();
            persons.filter(|person| *person > 0).map(i64::unsigned_abs)
        }));
        let mut named = linking::named(lake, &base, &linked).await?;
        let currency = self.first_currency(&base)?;
        named.extend(self.named(&base, currency.as_deref())?);
        let are_complete = orders.are_complete(&base, &counts);
        if are_complete != base.named.contains_key(ORDERS_COMPLETE) {
            let value = are_complete.then_some(json!(true));
            named.insert(ORDERS_COMPLETE.to_owned(), value);
        }
        let commit = Commit {
            cause: Cause::Ingest {
                batch: request.batch.clone(),
                provider: request.provider.clone(),
                tables: counts.clone(),
                answers: answers(&request.requests, &by_request),
            },
            at: request.at,
            tables: changes,
            touched,
            named,
            idempotency_keys: request.keys().cloned().collect(),
        };
        match lake.commit_in_turn(&base, commit, turn).await? {
            Committed::Overtaken => {
                self.forget_new(&people).await?;
                Ok(None)
            }
            Committed::Done(state) => {
                for (def, keys) in forgotten.iter().filter(|(def, _)| def.has_personal()) {
                    // Rows of quarantine are of nobody whose key could be forgotten.
                    Vault::new(lake, def).erase(keys).await?;
                }
                Ok(report(state.number, currency))
            }
        }
    }

    fn unknown_by_request(&self) -> Vec<Vec<UnknownStatus>> {
        let place = |asked: &Asked| self.places.get(&asked.label).copied().unwrap_or(0);
        let each = self.request.requests.iter();
        each.map(|asked| unknown::of_file(&self.staged, place(asked)))
            .collect()
    }

    fn marked(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process may have been sent the same request, and be faster. If it commits after
    /// `base`, this attempt is overtaken.
    async fn must_be_unanswered(&self, base: &State) -> Result<(), IngestError> {
        let (request, known) = (self.request, self.request.unanswered);
        if base.number <= known || request.keys().next().is_none() {
            return Ok(());
        }
        let answered = self.lake.answered_since(known).await?;
        match request.keys().any(|key| answered.contains_key(key)) {
            true => Err(IngestError::Answered),
            false => Ok(()),
        }
    }

    /// The most common currency of the run, for a tenant that has none yet.
    fn first_currency(&self, base: &State) -> Result<Option<String>, IngestError> {
        if base.settings()?.currency.is_some() {
            return Ok(None);
        }
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for (currency, count) in self.staged.iter().flat_map(|stage| &stage.currencies) {
            *seen.entry(currency).or_default() += count;
        }
        // Of equally common ones the first by name, so that the outcome does not depend on order.
        let most = seen.iter().max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)));
        Ok(most
            .map(|(currency, _)| (*currency).to_owned())
            .filter(|code| code.len() == 3))
    }

    /// The tenant's currency, where this run is the first to name one, and when rows of the
    /// provider last came.
    fn named(
        &self,
        base: &State,
        currency: Option<&str>,
    ) -> Result<BTreeMap<String, Option<serde_json::Value>>, IngestError> {
        let mut named = BTreeMap::new();
        if let Some(currency) = currency {
            let mut settings = base.settings()?;
            settings.currency = Some(currency.to_owned());
            named.insert("settings".to_owned(), Some(json!(settings)));
        }
        if let Some(columns) = &self.columns {
            let name = columns::name(&self.request.provider);
            named.insert(name, Some(columns.clone()));
        }
        let watermark = format!("watermark/{}", self.request.provider);
        named.insert(watermark, Some(json!(self.request.at)));
        Ok(named)
    }

    /// Takes the personal values of persons back whose ids nobody will ever see.
    async fn forget_new(&self, people: &People) -> Result<(), IngestError> {
        let keys = settle::identity_keys(people.new.iter().map(|new| new.ids.identity))?;
        for def in [tables::PERSONS, tables::IDENTITIES] {
            Vault::new(self.lake, def)
                .remove(std::slice::from_ref(&keys))
                .await?;
        }
        Ok(())
    }
}

impl Request {
    fn keys(&self) -> impl Iterator<Item = &String> {
        self.requests.iter().filter_map(|asked| asked.key.as_ref())
    }
}

/// What is counted for each request that has a key.
fn answers(
    requests: &[Asked],
    by_request: &[Vec<TableCounts>],
) -> BTreeMap<String, Vec<TableCounts>> {
    let counted = requests.iter().zip(by_request);
    let counted = counted.filter(|(asked, _)| asked.is_told);
    let keyed = counted.filter_map(|(asked, tables)| Some((asked.key.clone()?, tables.clone())));
    keyed.collect()
}

fn places(files: &[SourceFile]) -> HashMap<String, u64> {
    files
        .iter()
        .zip(0..)
        .map(|(file, place)| (file.label.clone(), place))
        .collect()
}
