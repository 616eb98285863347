//! Committing a run: its staged rows are compared with the newest snapshot and written as the next one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringTreemap;
use rollbook_identity::token::Tokens;
use rollbook_lake::vault::Vault;
use rollbook_lake::{
    Cause, Commit, Committed, Lake, LakeError, ORDERS_COMPLETE, State, ValueName, WriterLease,
};
use rollbook_model::{Shape, TableCounts, tables};
use serde_json::json;

use crate::IngestError;
use crate::persons::decisions::Decisions;
use crate::persons::{erasure, erasure_list, identities, link, log, match_keys};
use crate::quarantine::settled;
use crate::rows::fill;
use crate::rows::identities::Identities;
use crate::rows::order_references::{ORDERS, OrderKeys};
use crate::rows::stage::Stage;
use crate::rows::unknown_statuses::{self, UnknownStatus};
use crate::rows::upsert::{Upsert, UpsertOutcome};
use crate::rows::value_warnings::ValueWarning;
use crate::run::progress::{Event, Progress};
use crate::run::report::Report;
use crate::run::{ATTEMPTS, PostedRequest, Request, last_columns};

/// The staged rows of a run, to be compared with the newest snapshot and committed after it.
pub(super) struct Attempt<'a> {
    pub(super) lake: &'a Lake,
    /// The key that the run derived contact ids with.
    pub(super) key: Arc<[u8]>,
    /// The path of the list of erased persons when rows were staged.
    pub(super) erased: Option<String>,
    pub(super) request: &'a Request,
    pub(super) staged: Vec<Stage>,
    pub(super) unknown_statuses: Vec<UnknownStatus>,
    pub(super) odd: Vec<ValueWarning>,
    pub(super) mappings_run: Vec<String>,
    /// The columns of the files, stored for the next run of the provider.
    pub(super) columns: Option<serde_json::Value>,
    pub(super) settled_by: settled::Rule,
    pub(super) places: &'a HashMap<String, u64>,
    pub(super) progress: &'a Progress,
    /// For temporary files.
    pub(super) folder: &'a Path,
    /// Records whose tokens an overtaken attempt wrote to the vault: the next attempt resolves them again.
    pub(super) to_resolve: Mutex<HashSet<i64>>,
}

impl Attempt<'_> {
    /// Commits, trying again if another writer was faster. After the first such conflict it holds the writer
    /// lease for all further attempts.
    pub(super) async fn commit_with_retries(
        &self,
        lease: &mut Option<WriterLease>,
    ) -> Result<Report, IngestError> {
        for _ in 0..ATTEMPTS {
            if let Some(report) = self.commit(lease.as_ref()).await? {
                return Ok(report);
            }
            self.progress.report(Event::Overtaken);
            if lease.is_none() {
                *lease = Some(self.lake.take_writer_lease().await?);
            }
        }
        Err(LakeError::Busy { attempts: ATTEMPTS }.into())
    }

    /// One attempt; `None` if another writer was faster.
    async fn commit(&self, lease: Option<&WriterLease>) -> Result<Option<Report>, IngestError> {
        let (lake, request) = (self.lake, self.request);
        if !request.dry_run && !lake.store_token_key(&self.key).await? {
            return Err(IngestError::FirstRunOvertaken);
        }
        let base = lake.head().await?;
        if erasure_list::list_path(&base)? != self.erased {
            // Values that an overtaken attempt wrote; the first attempt has written none.
            if lease.is_some() {
                erasure::forget_again(lake, &base).await?;
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
        let mut identities =
            Identities::resolve(lake, &base, &staged, request.at, request.dry_run).await?;
        let decisions = Decisions::at(lake, &base).await?;
        let asked = link::LinkContext {
            lake,
            base: &base,
            at: request.at,
            dry_run: request.dry_run,
            decisions: &decisions,
            cause: None,
        };
        let tokens = Tokens::new(&self.key);
        let to_resolve = self.to_resolve().clone();
        let linked = link::link(&asked, &mut identities, &staged, &tokens, &to_resolve).await?;
        let quarantined = self.staged.last().expect("the quarantine is always staged");
        let scope = settled::Scope {
            provider: &request.provider,
            mappings: &self.mappings_run,
            rule: &self.settled_by,
        };
        let settled = settled::settled(lake, &base, &scope, quarantined).await?;
        let mut counts = Vec::new();
        let mut by_request = vec![Vec::new(); request.requests.len()];
        let (mut changes, mut touched) = (BTreeMap::new(), RoaringTreemap::new());
        let (mut seen, mut forgotten) = (HashMap::new(), Vec::new());
        let mut orders = OrderKeys::of(base.table(ORDERS).files);
        let mut unfound = Vec::new();
        for def in tables::TABLES
            .iter()
            .filter(|def| def.name != tables::IDENTITIES.name)
        {
            let stage = staged.iter().copied();
            let stage = stage.into_iter().find(|stage| stage.def.name == def.name);
            let is_quarantine = def.name == tables::QUARANTINE.name;
            let relinks = !identities.linked.is_empty() && def.shape == Shape::Fact;
            if stage.is_none() && !relinks {
                continue;
            }
            self.progress.report(Event::Writing { table: def.name });
            let upsert = Upsert {
                lake,
                def,
                table: base.table(def.name),
                stage,
                identities: &identities,
                orders: &orders,
                settled: match is_quarantine {
                    true => &settled.rows,
                    false => &[],
                },
                limits: request.limits,
                folder: self.folder,
                dry_run: request.dry_run,
            };
            let outcome: UpsertOutcome = upsert.run().await?;
            if stage.is_some() && !is_quarantine {
                counts.push(outcome.file_counts.total(def.name));
                for (asked, tables) in request.requests.iter().zip(&mut by_request) {
                    let place = self.places.get(&asked.label).copied().unwrap_or(0);
                    tables.push(outcome.file_counts.of_file(def.name, place));
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
            identities::change(lake, &base, &identities, &seen).await?,
        );
        let log = log::write(lake, &linked.log, request.at).await?;
        changes.insert(tables::IDENTITY_LOG.name, log);
        changes.retain(|_, change| !change.is_empty());
        if changes.is_empty() {
            return Ok(report(base.data, None));
        }
        self.to_resolve().extend(linked.keys.keys());
        match_keys::store(lake, &linked.keys).await?;
        let persons = linked.before.iter();
        touched.extend(persons.flat_map(|(identity, before)| {
            let persons = [*before, linked.moved[identity]].into_iter();
            persons.filter(|person| *person > 0).map(i64::unsigned_abs)
        }));
        let mut named = link::named(lake, &base, &linked).await?;
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
        match lake.commit_with_lease(&base, commit, lease).await? {
            Committed::Overtaken => {
                self.forget_new(&identities).await?;
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
        let place = |asked: &PostedRequest| self.places.get(&asked.label).copied().unwrap_or(0);
        let each = self.request.requests.iter();
        each.map(|asked| unknown_statuses::of_file(&self.staged, place(asked)))
            .collect()
    }

    fn to_resolve(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.to_resolve
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails where another process has answered one of the requests. If it does so after `base`, this attempt
    /// is overtaken.
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

    /// The named values of the commit: the tenant's currency, where this run is the first to have one, the
    /// columns of the files, and the provider's watermark.
    fn named(
        &self,
        base: &State,
        currency: Option<&str>,
    ) -> Result<BTreeMap<String, Option<serde_json::Value>>, IngestError> {
        let mut named = BTreeMap::new();
        if let Some(currency) = currency {
            let mut settings = base.settings()?;
            settings.currency = Some(currency.to_owned());
            named.insert(ValueName::Settings.to_string(), Some(json!(settings)));
        }
        if let Some(columns) = &self.columns {
            let name = last_columns::name(&self.request.provider);
            named.insert(name, Some(columns.clone()));
        }
        let watermark = ValueName::Watermark(self.request.provider.as_str());
        named.insert(watermark.to_string(), Some(json!(self.request.at)));
        Ok(named)
    }

    /// Removes the personal values of new persons whose ids were not committed.
    async fn forget_new(&self, identities: &Identities) -> Result<(), IngestError> {
        let keys = identities::vault_keys(identities.new.iter().map(|new| new.ids.identity))?;
        for def in [tables::PERSONS, tables::IDENTITIES] {
            Vault::new(self.lake, def)
                .remove(std::slice::from_ref(&keys))
                .await?;
        }
        Ok(())
    }
}

/// What is counted for each request that has a key.
fn answers(
    requests: &[PostedRequest],
    by_request: &[Vec<TableCounts>],
) -> BTreeMap<String, Vec<TableCounts>> {
    let counted = requests.iter().zip(by_request);
    let counted = counted.filter(|(asked, _)| asked.is_told);
    let keyed = counted.filter_map(|(asked, tables)| Some((asked.key.clone()?, tables.clone())));
    keyed.collect()
}
