//! The rules of retention of a tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollbook_ingest::retention::{Lines, time_column};
use rollbook_lake::{Cause, Commit, State, Update, ValueName};
use rollbook_model::{Timestamp, nearest, tables};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{AppError, Workspace};

/// The rule for personal values of persons who were not seen for long.
const PERSONAL: &str = "personal";
/// The rule for persons whose `data_retention_date` has passed.
const RETENTION_DATE: &str = "data_retention_date";
/// The rule for entries into segments and exits from them.
const CHANGES: &str = "segment_changes";
/// The greatest number of days of a rule.
const MOST_DAYS: u32 = 36_500;

/// The days of each rule.
pub(super) type Rules = BTreeMap<String, u32>;

/// A rule, as it applies to a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule {
    /// A table, `segment_changes`, `personal` or `data_retention_date`.
    pub rule: String,
    /// The number of days.
    pub days: u32,
    /// What is before this moment goes.
    pub before: Timestamp,
}

/// The lines of all rules at a moment.
pub(super) struct AppliedRules {
    pub(super) rules: Vec<RetentionRule>,
    pub(super) lines: Lines,
    pub(super) changes: Option<Timestamp>,
}

/// The names of all rules.
fn names() -> Vec<&'static str> {
    let of_tables = tables::TABLES
        .iter()
        .filter(|def| time_column(def).is_some());
    let names = of_tables.map(|def| def.name);
    names.chain([CHANGES, PERSONAL, RETENTION_DATE]).collect()
}

pub(super) fn rules_of(state: &State) -> Result<Rules, AppError> {
    let rules = state.value(&ValueName::RetentionRules.to_string())?;
    Ok(rules.unwrap_or_default())
}

/// The rules of a snapshot, applied to a moment.
pub(super) fn applied(state: &State, at: Timestamp) -> Result<AppliedRules, AppError> {
    let zone = state.settings()?.zone();
    let (mut rules, mut lines, mut changes) = (Vec::new(), Lines::default(), None);
    for (rule, days) in rules_of(state)? {
        let Some((before, day)) = at.day_before(days, zone) else {
            continue;
        };
        match rule.as_str() {
            PERSONAL => lines.unseen = Some(before),
            RETENTION_DATE => lines.past = Some(day),
            CHANGES => changes = Some(before),
            table => match tables::table(table) {
                Some(def) => drop(lines.tables.insert(def.name, before)),
                // A newer program has rules that this one does not know.
                None => continue,
            },
        }
        rules.push(RetentionRule { rule, days, before });
    }
    Ok(AppliedRules {
        rules,
        lines,
        changes,
    })
}

/// The rules, applied to a moment.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn rules(workspace: &Workspace, at: Timestamp) -> Result<Vec<RetentionRule>, AppError> {
    workspace.require("retention::rules::rules")?;
    let state = workspace.lake().await?.head().await?;
    Ok(applied(&state, at)?.rules)
}

/// Sets the days of a rule, or removes it with `None`; returns all rules.
///
/// # Errors
/// [`AppError::UnknownRetentionRule`]; [`AppError::RetentionDays`]; there is no lake, or it cannot be written.
pub async fn set(
    workspace: &Workspace,
    rule: &str,
    days: Option<u32>,
    at: Timestamp,
) -> Result<Vec<RetentionRule>, AppError> {
    workspace.require("retention::rules::set")?;
    let names = names();
    let Some(name) = names.iter().find(|name| **name == rule) else {
        return Err(AppError::UnknownRetentionRule {
            rule: rule.to_owned(),
            nearest: nearest(rule, names.iter().copied()),
            known: names.join(", "),
        });
    };
    // A date says itself how long.
    let bounds = u32::from(*name != RETENTION_DATE)..=MOST_DAYS;
    if days.is_some_and(|days| !bounds.contains(&days)) {
        return Err(AppError::RetentionDays { bounds });
    }
    let lake = workspace.lake().await?;
    let update = |state: Arc<State>| async move {
        let before = rules_of(&state)?;
        let mut after = before.clone();
        match days {
            Some(days) => drop(after.insert(rule.to_owned(), days)),
            None => drop(after.remove(rule)),
        }
        if after == before {
            return Ok(Update::Keep(()));
        }
        let cause = Cause::Define {
            name: format!("retention/{rule}"),
        };
        let named = BTreeMap::from([(
            ValueName::RetentionRules.to_string(),
            (!after.is_empty()).then(|| json!(after)),
        )]);
        Ok::<_, AppError>(Update::commit(Commit::of_names(cause, at, named), ()))
    };
    lake.update(update).await?;
    rules(workspace, at).await
}
