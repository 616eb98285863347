//! Rows that name an order which is not in the lake: nothing is wrong with them, and whoever loads
//! them should know.

use arrow::array::{Array, AsArray};
use rollbook_lake::keys::{hash_of, key_of};
use rollbook_lake::{DataFile, ORDERS_COMPLETE, State};
use rollbook_model::TableCounts;

use crate::IngestError;
use crate::existing::Lookup;
use crate::stage::{Piece, file_of, keys_of};
use crate::tally::Tally;

/// The table of orders.
pub(crate) const ORDERS: &str = "orders";

/// Tables whose rows are about an order.
const OF_ORDERS: [&str; 4] = ["order_lines", "payments", "refunds", "shipments"];

/// Those of them whose rows count for somebody without their order too.
pub(crate) const COUNTED_WITHOUT: [&str; 2] = ["order_lines", "refunds"];

/// The orders that a run finds, brings and takes away, by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) files: Vec<DataFile>,
    brought: Vec<u64>,
    gone: Vec<u64>,
}

impl Orders {
    /// Those of the lake that a run finds.
    pub(crate) fn of(files: Vec<DataFile>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// Notes staged orders.
    pub(crate) fn note(&mut self, piece: &Piece<'_>) -> Result<(), IngestError> {
        let keys = keys_of(piece.def(), &piece.rows)?;
        for (key, slot) in keys.into_iter().zip(piece.slots()) {
            match slot {
                Some(slot) if slot.deleted => self.gone.push(hash_of(key)),
                Some(_) => self.brought.push(hash_of(key)),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether after a run of these counts each refund and line is known to be of an order that is
    /// there.
    pub(crate) fn are_complete(&self, base: &State, counts: &[TableCounts]) -> bool {
        let has_none = |table: &&str| base.table(table).files.is_empty();
        let were = base.named.contains_key(ORDERS_COMPLETE) || COUNTED_WITHOUT.iter().all(has_none);
        let mut lost = counts.iter().filter(|one| one.without_order > 0);
        let are_lost = lost.any(|one| COUNTED_WITHOUT.contains(&one.table.as_str()));
        were && !are_lost && self.gone.is_empty()
    }

    /// Takes over what the run's own orders are.
    pub(crate) fn take(&mut self, noted: Self) {
        (self.brought, self.gone) = (noted.brought, noted.gone);
        self.brought.sort_unstable();
        self.gone.sort_unstable();
    }
}

/// The orders that staged rows of a table name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// The hash of the order's key, the place of the file, and so many rows.
    rows: Vec<(u64, u64, u64)>,
    buffer: Vec<u8>,
}

impl Named {
    /// `None` for tables whose rows are about no order.
    pub(crate) fn by(table: &str) -> Option<Self> {
        OF_ORDERS.contains(&table).then(Self::default)
    }

    /// Notes staged rows.
    pub(crate) fn note(&mut self, piece: &Piece<'_>) {
        let text = |name| piece.rows.column_by_name(name)?.as_string_opt::<i32>();
        let (Some(providers), Some(ids)) = (text("provider"), text("order_id")) else {
            return;
        };
        for (row, slot) in piece.slots().enumerate() {
            let Some(slot) = slot.filter(|slot| !slot.deleted && ids.is_valid(row)) else {
                continue;
            };
            let parts = [providers.value(row), ids.value(row)];
            let hash = hash_of(key_of(parts, &mut self.buffer));
            let file = file_of(slot.order);
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
        orders: &Orders,
        lookup: &Lookup<'_>,
        tally: &mut Tally,
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
                tally.at(file).without_order += count;
            }
        }
        Ok(())
    }
}
