//! Rows that refer to an order which is not in the lake: they are accepted, and counted for the report.

use arrow::array::{Array, AsArray};
use rollbook_lake::table::key_index::{hash_of, key_of};
use rollbook_lake::{DataFile, ORDERS_COMPLETE, State};
use rollbook_model::TableCounts;

use crate::IngestError;
use crate::rows::existing::Lookup;
use crate::rows::file_counts::FileCounts;
use crate::rows::stage::{StagedBatch, file_of, keys_of};

/// The table of orders.
pub(crate) const ORDERS: &str = "orders";

/// Tables whose rows belong to an order.
const OF_ORDERS: [&str; 4] = ["order_lines", "payments", "refunds", "shipments"];

/// Tables among them whose rows count for their own person if the order is missing.
pub(crate) const COUNTED_WITHOUT: [&str; 2] = ["order_lines", "refunds"];

/// The orders of the lake, and those that a run adds and deletes, by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct OrderKeys {
    pub(crate) files: Vec<DataFile>,
    brought: Vec<u64>,
    gone: Vec<u64>,
}

impl OrderKeys {
    /// A counter of references, given the files of the orders in the lake.
    pub(crate) fn of(files: Vec<DataFile>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// Records staged orders.
    pub(crate) fn note(&mut self, piece: &StagedBatch<'_>) -> Result<(), IngestError> {
        let keys = keys_of(piece.def(), &piece.rows)?;
        for (key, version) in keys.into_iter().zip(piece.versions()) {
            match version {
                Some(version) if version.deleted => self.gone.push(hash_of(key)),
                Some(_) => self.brought.push(hash_of(key)),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether, after a run with these counts, the order of every refund and order line is in the lake.
    pub(crate) fn are_complete(&self, base: &State, counts: &[TableCounts]) -> bool {
        let has_none = |table: &&str| base.table(table).files.is_empty();
        let were = base.named.contains_key(ORDERS_COMPLETE) || COUNTED_WITHOUT.iter().all(has_none);
        let mut lost = counts.iter().filter(|one| one.without_order > 0);
        let are_lost = lost.any(|one| COUNTED_WITHOUT.contains(&one.table.as_str()));
        were && !are_lost && self.gone.is_empty()
    }

    /// Sets the orders that the run adds and deletes.
    pub(crate) fn take(&mut self, noted: Self) {
        (self.brought, self.gone) = (noted.brought, noted.gone);
        self.brought.sort_unstable();
        self.gone.sort_unstable();
    }
}

/// References of staged rows to orders.
#[derive(Debug, Default)]
pub(crate) struct OrderReferences {
    /// The hash of the order's key, the number of the file, and the number of rows.
    rows: Vec<(u64, u64, u64)>,
    buffer: Vec<u8>,
}

impl OrderReferences {
    /// `None` for tables whose rows refer to no order.
    pub(crate) fn by(table: &str) -> Option<Self> {
        OF_ORDERS.contains(&table).then(Self::default)
    }

    /// Records the references of staged rows.
    pub(crate) fn note(&mut self, piece: &StagedBatch<'_>) {
        let text = |name| piece.rows.column_by_name(name)?.as_string_opt::<i32>();
        let (Some(providers), Some(ids)) = (text("provider"), text("order_id")) else {
            return;
        };
        for (row, version) in piece.versions().enumerate() {
            let Some(version) = version.filter(|version| !version.deleted && ids.is_valid(row))
            else {
                continue;
            };
            let parts = [providers.value(row), ids.value(row)];
            let hash = hash_of(key_of(parts, &mut self.buffer));
            let file = file_of(version.order);
            // The lines of an order mostly follow each other.
            match self.rows.last_mut() {
                Some((last, of, count)) if (*last, *of) == (hash, file) => *count += 1,
                _ => self.rows.push((hash, file, 1)),
            }
        }
    }

    /// Counts the rows whose order is neither in the lake nor in the run.
    pub(crate) async fn count(
        mut self,
        orders: &OrderKeys,
        lookup: &Lookup<'_>,
        file_counts: &mut FileCounts,
    ) -> Result<(), IngestError> {
        let is_brought = |hash: &u64| orders.brought.binary_search(hash).is_ok();
        self.rows.retain(|(hash, ..)| !is_brought(hash));
        self.rows.sort_unstable();
        let mut wanted: Vec<u64> = self.rows.iter().map(|(hash, ..)| *hash).collect();
        wanted.dedup();
        let mut known = Vec::new();
        if !wanted.is_empty() {
            for file in lookup.files {
                let found = lookup.candidates(file, &wanted).await?;
                known.extend(found.into_iter().map(|(_, hash)| hash));
            }
        }
        known.sort_unstable();
        for (hash, file, count) in self.rows {
            let is_known = known.binary_search(&hash).is_ok();
            if !is_known || orders.gone.binary_search(&hash).is_ok() {
                file_counts.at(file).without_order += count;
            }
        }
        Ok(())
    }
}
