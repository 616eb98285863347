//! Running retention: one commit without what is too old, then the end of all older snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_ingest::persons::decide::Decider;
use rollbook_ingest::retention::{PendingKeys, Plan, finish_interrupted};
use rollbook_lake::{Cause, Commit, Lake, OlderSnapshots, Removals, State, Update, ValueName};
use rollbook_model::{SnapshotNumber, Timestamp};
use rollbook_segments::ledger::{PrunedLedger, prune};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rules::{AppliedRules, RetentionRule, applied};
use crate::{AppError, Workspace};

/// What legal holds keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// Persons.
    pub persons: u64,
    /// Entries into segments and exits from them.
    pub segment_changes: u64,
}

/// What a run removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionReport {
    /// The time of the run.
    pub at: Timestamp,
    /// Who started it.
    pub by: String,
    /// The snapshot without what was removed; `None` of a dry run, and if nothing was removed.
    pub snapshot: Option<SnapshotNumber>,
    /// Whether the run has ended. One that was interrupted is ended by the next one.
    pub finished: bool,
    /// The document with the values that are still to be deleted, until the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    /// The rules.
    pub rules: Vec<RetentionRule>,
    /// Removed rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// Removed rows with personal values, by table.
    pub values: BTreeMap<String, u64>,
    /// Persons whose personal values were removed because they were not seen for long.
    pub persons_unseen: u64,
    /// Persons whose personal values were removed because of their `data_retention_date`.
    pub persons_past_date: u64,
    /// Records of these persons.
    pub records: u64,
    /// Removed requests that had been rejected.
    pub rejected_requests: u64,
    /// Removed entries into segments and exits from them.
    pub segment_changes: u64,
    /// What was not removed because of legal holds.
    pub held: HeldBack,
    /// The snapshots that expired with the run.
    pub snapshots: OlderSnapshots,
}

/// Removes what is too old by the rules; a dry run only counts.
///
/// # Errors
/// There is no lake; the lake or its vault cannot be read or written; other writers win every attempt to
/// commit.
pub async fn run(workspace: &Workspace, decider: &Decider) -> Result<RetentionReport, AppError> {
    workspace.require("retention::run::run")?;
    let lake = workspace.lake().await?;
    if !decider.dry_run {
        end_interrupted(&lake).await?;
    }
    let update = |base: Arc<State>| {
        let lake = &lake;
        async move {
            let rules = applied(&base, decider.at)?;
            let plan = Plan::at(lake, &base, &rules.lines).await?;
            let ledger = match rules.changes {
                Some(line) => prune(lake, &base, line, &plan.held).await?,
                None => PrunedLedger::default(),
            };
            let mut report = report_of(&rules, &plan, &ledger, decider);
            if plan.is_empty() && ledger.removed == 0 {
                report.finished = !decider.dry_run;
                return Ok(Update::Keep((report, None)));
            }
            report.snapshots = lake.snapshots_before(base.number.next()).await?;
            if decider.dry_run {
                return Ok(Update::Keep((report, None)));
            }
            report.snapshot = Some(base.number.next());
            let pending = plan.pending(lake, &base).await?;
            let pending = lake.put_content("_retention/pending", &pending).await?;
            report.pending = Some(pending);
            let (commit, path) =
                commit_of(lake, &base, &rules, &plan, &ledger, &report, decider).await?;
            Ok::<_, AppError>(Update::commit(commit, (report, Some((base, plan, path)))))
        }
    };
    let (mut report, rest) = lake.update(update).await?;
    if let Some((base, plan, path)) = rest {
        plan.finish(&lake, &base).await?;
        lake.retire_before(base.number.next()).await?;
        end(&lake, &path, &mut report).await?;
    }
    Ok(report)
}

/// The reports of all runs that removed something, oldest first.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn reports(workspace: &Workspace) -> Result<Vec<RetentionReport>, AppError> {
    workspace.require("retention::run::reports")?;
    let lake = workspace.lake().await?;
    match lake.head().await?.removals()? {
        Some(removals) => Ok(lake.documents(&removals.reports).await?),
        None => Ok(Vec::new()),
    }
}

/// Ends the last run if it was interrupted after its commit.
async fn end_interrupted(lake: &Lake) -> Result<(), AppError> {
    let state = lake.head().await?;
    let Some(removals) = state.removals()? else {
        return Ok(());
    };
    if let Some(path) = removals.reports.last() {
        let mut report: RetentionReport = lake.document(path).await?;
        if !report.finished {
            let pending: Option<PendingKeys> = match &report.pending {
                Some(pending) => lake.find_document(pending).await?,
                None => None,
            };
            finish_interrupted(lake, &state, &pending.unwrap_or_default()).await?;
            lake.retire_before(removals.snapshot).await?;
            end(lake, path, &mut report).await?;
        }
    }
    Ok(())
}

/// Notes in the report that the run has ended.
async fn end(lake: &Lake, path: &str, report: &mut RetentionReport) -> Result<(), AppError> {
    let pending = report.pending.take();
    report.finished = true;
    lake.replace_document(path, report).await?;
    if let Some(pending) = pending {
        lake.remove_document(&pending).await?;
    }
    Ok(())
}

fn report_of(
    rules: &AppliedRules,
    plan: &Plan,
    ledger: &PrunedLedger,
    decider: &Decider,
) -> RetentionReport {
    let counts = |counts: &BTreeMap<&'static str, u64>| {
        let counts = counts.iter();
        counts
            .map(|(table, count)| ((*table).to_owned(), *count))
            .collect()
    };
    RetentionReport {
        at: decider.at,
        by: decider.by.clone(),
        snapshot: None,
        finished: false,
        pending: None,
        rules: rules.rules.clone(),
        rows: counts(&plan.removed_rows),
        values: counts(&plan.removed_values),
        persons_unseen: plan.persons_unseen(),
        persons_past_date: plan.persons_past(),
        records: plan.records(),
        rejected_requests: plan.refused(),
        segment_changes: ledger.removed,
        held: HeldBack {
            rows: counts(&plan.held_rows),
            persons: plan.persons_held(),
            segment_changes: ledger.kept,
        },
        snapshots: OlderSnapshots::default(),
    }
}

async fn commit_of(
    lake: &Lake,
    base: &State,
    rules: &AppliedRules,
    plan: &Plan,
    ledger: &PrunedLedger,
    report: &RetentionReport,
    decider: &Decider,
) -> Result<(Commit, String), AppError> {
    let changes = plan.changes(lake, base, decider).await?;
    let mut named = changes.named;
    let number = base.number.next();
    if ledger.removed > 0 {
        let stamp = format!("{}-kept", number.0);
        named.extend([ledger.write(lake, &stamp).await?]);
    }
    let path = lake.put_content("_retention/report", report).await?;
    let before = base.removals()?;
    let mut removals = before.unwrap_or_else(|| Removals {
        snapshot: number,
        changes: SnapshotNumber::default(),
        changes_before: None,
        reports: Vec::new(),
    });
    removals.snapshot = number;
    if ledger.removed > 0 {
        removals.changes = removals.changes.max(ledger.until);
        removals.changes_before = removals.changes_before.max(rules.changes);
    }
    removals.reports.push(path.clone());
    named.insert(ValueName::Removals.to_string(), Some(json!(removals)));
    let mut removed = report.rows.clone();
    if report.segment_changes > 0 {
        removed.insert("segment_changes".to_owned(), report.segment_changes);
    }
    let commit = Commit {
        cause: Cause::Retention { removed },
        at: decider.at,
        tables: changes.tables,
        touched: changes.touched,
        named,
        idempotency_keys: Vec::new(),
    };
    Ok((commit, path))
}
