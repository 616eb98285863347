//! Retention: the rows and persons whose time is over at a snapshot, and their removal.
//!
//! A plan is computed for one snapshot, and says how much it will remove. Its changes of tables and named
//! values are one commit; after the commit, [`Plan::finish`] deletes personal values, which no snapshot holds.
//! Nothing of a person under legal hold is part of a plan.

mod due_persons;
mod held_rows;
mod old_rows;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use roaring::RoaringTreemap;
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, ORDERS_COMPLETE, State, TableChange};
use rollbook_model::table::Shape;
use rollbook_model::{TableDef, Timestamp, tables};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::IngestError;
use crate::persons::decisions::Decider;
use crate::persons::erasure::{Erasure, Return};
use crate::persons::holds;
use crate::retention::due_persons::DuePersons;
use crate::retention::held_rows::HeldRows;
use crate::retention::old_rows::{OldRows, old_rows};
use crate::rows::order_references::{COUNTED_WITHOUT, ORDERS};

const DEALS: &str = "deals";
const DEAL_LINES: &str = "deal_lines";

/// The column with the time by which rows of a table grow old; `None` for tables whose rows do not.
pub fn time_column(def: &TableDef) -> Option<&'static str> {
    match def.shape {
        Shape::Fact => def.time,
        _ if def.name == tables::QUARANTINE.name => Some("quarantined_at"),
        Shape::Person | Shape::Reference | Shape::Own => None,
    }
}

/// What is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// Rows before this time go, by table.
    pub tables: BTreeMap<&'static str, Timestamp>,
    /// Persons who were last seen before this time go.
    pub unseen: Option<Timestamp>,
    /// Persons whose `data_retention_date` is before this day, in days since 1970, go.
    pub past: Option<i32>,
}

/// What goes.
pub struct Plan {
    rows: BTreeMap<&'static str, OldRows>,
    persons: DuePersons,
    erasure: Erasure,
    /// Ids of refused requests.
    refused: Vec<String>,
    /// How many rows go, by table.
    pub removed_rows: BTreeMap<&'static str, u64>,
    /// How many rows would go if their persons were not under legal hold, by table.
    pub held_rows: BTreeMap<&'static str, u64>,
    /// How many rows with personal values go, by table.
    pub removed_values: BTreeMap<&'static str, u64>,
    /// The persons who are under legal hold.
    pub held: RoaringTreemap,
}

/// The changes that a plan makes in a commit.
pub struct PlannedChanges {
    /// Changes of tables.
    pub tables: BTreeMap<&'static str, TableChange>,
    /// Changes of named values.
    pub named: BTreeMap<String, Option<Value>>,
    /// The persons whose rows change.
    pub touched: RoaringTreemap,
}

impl Plan {
    /// What goes at a snapshot.
    ///
    /// # Errors
    /// [`IngestError::Lake`], [`IngestError::Rows`] where the lake or its vault cannot be read.
    pub async fn at(lake: &Lake, base: &State, lines: &Lines) -> Result<Self, IngestError> {
        let held = holds::held(lake, base).await?;
        let held_rows = HeldRows::of(lake, base, &held).await?;
        let mut rows = BTreeMap::new();
        for def in tables::TABLES {
            if let Some(old) = rows_of_table(lake, base, def, lines, &held_rows, &rows).await? {
                rows.insert(def.name, old);
            }
        }
        let persons = DuePersons::at(lake, base, lines, &held).await?;
        let due: Vec<i64> = persons.all().collect();
        let erasure = Erasure::of(lake, base, &due).await?;
        let of_persons = erasure.vault_keys(lake, base).await?;
        let mut removed_values = Erasure::count_values(&of_persons);
        let mut removed_rows = erasure.rows(lake, base).await?;
        let mut held_counts = BTreeMap::new();
        for (table, old) in &rows {
            // Values of persons who go are counted already.
            let counted = of_persons.iter().find(|(def, _)| def.name == *table);
            let counted = counted.map_or(&[][..], |(_, keys)| keys);
            let values = old.count_values(lake, counted).await?;
            for (counts, count) in [
                (&mut removed_rows, old.rows),
                (&mut held_counts, old.held),
                (&mut removed_values, values),
            ] {
                if count > 0 {
                    *counts.entry(*table).or_default() += count;
                }
            }
        }
        Ok(Self {
            refused: refused(lake, lines, &held_rows).await?,
            rows,
            persons,
            erasure,
            removed_rows,
            held_rows: held_counts,
            removed_values,
            held,
        })
    }

    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.removed_rows.is_empty() && self.persons.is_empty() && self.refused.is_empty()
    }

    /// How many persons go because they were not seen for long.
    pub fn persons_unseen(&self) -> u64 {
        self.persons.unseen.len() as u64
    }

    /// How many persons go because of their `data_retention_date`.
    pub fn persons_past(&self) -> u64 {
        self.persons.past.len() as u64
    }

    /// How many persons would go if they were not under legal hold.
    pub fn persons_held(&self) -> u64 {
        self.persons.held
    }

    /// How many records these persons have.
    pub fn records(&self) -> u64 {
        self.erasure.records.len() as u64
    }

    /// How many refused requests go.
    pub fn refused(&self) -> u64 {
        self.refused.len() as u64
    }

    /// Writes the remaining rows; the changes that a commit on `base` makes.
    ///
    /// # Errors
    /// [`IngestError::Lake`], [`IngestError::Rows`] where the lake cannot be read or written.
    pub async fn changes(
        &self,
        lake: &Lake,
        base: &State,
        decider: &Decider,
    ) -> Result<PlannedChanges, IngestError> {
        let (mut changes, mut named) = (BTreeMap::new(), BTreeMap::new());
        let mut touched: RoaringTreemap = self.persons.all().map(i64::unsigned_abs).collect();
        if !self.erasure.records.is_empty() {
            let evidence = json!({ "by": decider.by, "why": "retention" });
            let of_persons =
                self.erasure
                    .changes(lake, base, Return::AsAnother, &evidence, decider.at);
            (changes, named) = of_persons.await?;
        }
        for (table, old) in &self.rows {
            let def = tables::table(table).expect("it is a canonical table");
            let change: &mut TableChange = changes.entry(def.name).or_default();
            let mut written = old.rewrite(lake, def).await?;
            change.adds.append(&mut written.adds);
            change.removes.append(&mut written.removes);
            touched |= &old.touched;
        }
        touched.remove(0);
        let is_of_orders = |table: &&str| *table == ORDERS || COUNTED_WITHOUT.contains(table);
        if base.named.contains_key(ORDERS_COMPLETE) && changes.keys().any(is_of_orders) {
            named.insert(ORDERS_COMPLETE.to_owned(), None);
        }
        changes.retain(|_, change| !change.is_empty());
        Ok(PlannedChanges {
            tables: changes,
            named,
            touched,
        })
    }

    /// Deletes personal values and refused requests, after the commit on `base`.
    ///
    /// # Errors
    /// [`IngestError::Lake`] where the vault or a document cannot be read or written.
    pub async fn finish(self, lake: &Lake, base: &State) -> Result<(), IngestError> {
        for id in &self.refused {
            lake.delete_refused(id).await?;
        }
        let keys = self.pending(lake, base).await?;
        if !self.erasure.records.is_empty() {
            self.erasure.finish(lake, base).await?;
        }
        keys.erase(lake).await
    }

    /// The personal values that [`Plan::finish`] will delete, to be stored before the commit.
    ///
    /// # Errors
    /// [`IngestError::Lake`] where the vault cannot be read.
    pub async fn pending(&self, lake: &Lake, base: &State) -> Result<PendingKeys, IngestError> {
        let mut pending: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |def: &'static TableDef, keys: &[RecordBatch]| -> Result<(), IngestError> {
            let hashes = Vault::new(lake, def).hashes(keys)?.into_iter();
            let of_table = pending.entry(def.name.to_owned()).or_default();
            of_table.extend(hashes.map(|hash| format!("{hash:032x}")));
            Ok(())
        };
        for (def, keys) in self.erasure.vault_keys(lake, base).await? {
            add(def, &keys)?;
        }
        for (table, old) in &self.rows {
            let def = tables::table(table).expect("it is a canonical table");
            if def.has_personal() && !old.keys.is_empty() {
                add(def, &old.keys)?;
            }
        }
        Ok(PendingKeys(pending))
    }
}

/// Hashes of the vault keys of personal values that are to be deleted, by table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingKeys(BTreeMap<String, BTreeSet<String>>);

impl PendingKeys {
    /// Deletes the values.
    async fn erase(&self, lake: &Lake) -> Result<(), IngestError> {
        for (table, hashes) in &self.0 {
            let Some(def) = tables::table(table).filter(|def| def.has_personal()) else {
                continue;
            };
            let hashes = hashes.iter().map(|hash| u128::from_str_radix(hash, 16));
            let hashes: HashSet<u128> = hashes.filter_map(Result::ok).collect();
            Vault::new(lake, def).erase_hashed(&hashes).await?;
        }
        Ok(())
    }
}

/// Deletes the personal values that a run left which was interrupted after its commit.
///
/// # Errors
/// [`IngestError::Lake`] where the vault or a document cannot be read or written.
pub async fn finish_interrupted(
    lake: &Lake,
    state: &State,
    pending: &PendingKeys,
) -> Result<(), IngestError> {
    let erasure = Erasure::again(lake, state).await?;
    if !erasure.records.is_empty() {
        erasure.finish(lake, state).await?;
    }
    pending.erase(lake).await
}

/// The rows of a table that go; `None` where no rule concerns the table. `rows` are those of tables before it.
async fn rows_of_table(
    lake: &Lake,
    base: &State,
    def: &'static TableDef,
    lines: &Lines,
    held: &HeldRows,
    rows: &BTreeMap<&'static str, OldRows>,
) -> Result<Option<OldRows>, IngestError> {
    if def.name == DEAL_LINES
        && let Some(deals) = rows.get(DEALS)
    {
        // They have no time of their own.
        let with_deal = |batch: &RecordBatch| {
            let providers = batch["provider"].as_string::<i32>().iter();
            let deals_of = batch["deal_id"].as_string::<i32>().iter();
            let is_gone = |(provider, deal): (Option<&str>, Option<&str>)| {
                let key = provider.zip(deal);
                key.is_some_and(|(a, b)| deals.names.contains(&(a.to_owned(), b.to_owned())))
            };
            providers
                .zip(deals_of)
                .map(|key| Some(is_gone(key)))
                .collect()
        };
        let columns = ["provider", "deal_id"];
        let old = old_rows(lake, base, def, &columns, None, held, with_deal);
        return old.await.map(Some);
    }
    if def.name == tables::QUARANTINE.name && !lines.tables.is_empty() {
        let rule = lines.tables.get(def.name).copied();
        let old = |batch: &RecordBatch| {
            let times = batch["quarantined_at"].as_primitive::<TimestampMicrosecondType>();
            let of_tables = batch["table_name"].as_string::<i32>().iter();
            let is_old = |(time, table): (Option<i64>, Option<&str>)| {
                let of_table = table.and_then(|table| lines.tables.get(table));
                let mut lines = rule.iter().chain(of_table);
                time.is_some_and(|time| lines.any(|line| time < line.micros()))
            };
            times
                .iter()
                .zip(of_tables)
                .map(|row| Some(is_old(row)))
                .collect()
        };
        let columns = ["quarantined_at", "table_name"];
        let old = old_rows(lake, base, def, &columns, None, held, old);
        return old.await.map(Some);
    }
    let line = lines.tables.get(def.name).zip(time_column(def));
    let Some((line, column)) = line else {
        return Ok(None);
    };
    let is_old = |batch: &RecordBatch| -> BooleanArray {
        let times = batch[column].as_primitive::<TimestampMicrosecondType>();
        let is_old = |time: Option<i64>| Some(time.is_some_and(|time| time < line.micros()));
        times.iter().map(is_old).collect()
    };
    let columns = [column];
    let old = old_rows(lake, base, def, &columns, Some(*line), held, is_old);
    old.await.map(Some)
}

/// The ids of the refused requests that go.
async fn refused(lake: &Lake, lines: &Lines, held: &HeldRows) -> Result<Vec<String>, IngestError> {
    let Some(line) = lines.tables.get(tables::QUARANTINE.name) else {
        return Ok(Vec::new());
    };
    let mut old = Vec::new();
    for refused in lake.refused_before(*line).await? {
        let is_held = match held.is_empty() {
            true => false,
            // One that cannot be read may name anybody.
            false => match lake.refused_entries(&refused).await {
                Ok(entries) => entries.iter().any(|entry| {
                    let text = String::from_utf8_lossy(&entry.body);
                    held.is_named_in(&text)
                }),
                Err(_) => true,
            },
        };
        if !is_held {
            old.push(refused.header.id);
        }
    }
    Ok(old)
}
