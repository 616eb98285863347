//! The rows of one table that are too old, and the files without them.

use std::collections::HashSet;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, and_not, filter_record_batch, not};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use roaring::RoaringTreemap;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::vault::Vault;
use rollbook_lake::{DataFile, Lake, State, TableChange};
use rollbook_model::{TableDef, Timestamp};

use crate::IngestError;
use crate::retention::held_rows::{HeldRows, names};
use crate::rows::fingerprint::Encoder;

/// The rows of one table that go.
#[derive(Default)]
pub(super) struct OldRows {
    def: Option<&'static TableDef>,
    /// How many.
    pub(super) rows: u64,
    /// How many would go if their persons were not under legal hold.
    pub(super) held: u64,
    /// The persons whose rows go.
    pub(super) touched: RoaringTreemap,
    /// The vault keys of the rows.
    pub(super) keys: Vec<RecordBatch>,
    /// Provider and external id of the rows.
    pub(super) names: HashSet<(String, String)>,
    /// The files that hold such rows, with a mask of them for each batch.
    files: Vec<(DataFile, Vec<BooleanArray>)>,
}

/// Finds the rows of a table for which `is_old`, called with these columns, returns true. Files whose rows
/// are all later than `line` are not read.
pub(super) async fn old_rows(
    lake: &Lake,
    base: &State,
    def: &'static TableDef,
    columns: &[&'static str],
    line: Option<Timestamp>,
    held: &HeldRows,
    is_old: impl Fn(&RecordBatch) -> BooleanArray,
) -> Result<OldRows, IngestError> {
    let failed = IngestError::rows(def.name, "read");
    // Only deals are looked up by name.
    let has_followers = def.name == super::DEALS;
    let mut wanted = columns.to_vec();
    wanted.extend(held.columns(def));
    wanted.extend(def.column("person_id").map(|_| "person_id"));
    if def.has_personal() {
        wanted.extend(def.vault_keys());
    }
    if has_followers {
        wanted.extend(["provider", "external_id"]);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut old = OldRows {
        def: Some(def),
        ..OldRows::default()
    };
    for file in &base.table(def.name).files {
        let first = file.times.map(|[first, _]| first);
        if line
            .zip(first)
            .is_some_and(|(line, first)| first >= line.micros())
        {
            continue;
        }
        let (mut masks, mut any) = (Vec::new(), false);
        for batch in read_file(lake, def, file, Some(&wanted)).await? {
            let batch = batch.map_err(&failed)?;
            let (found, theirs) = (is_old(&batch), held.mask(def, &batch));
            let goes = and_not(&found, &theirs).map_err(&failed)?;
            old.held += and(&found, &theirs).map_err(&failed)?.true_count() as u64;
            old.rows += goes.true_count() as u64;
            if goes.true_count() > 0 {
                any = true;
                let rows = filter_record_batch(&batch, &goes).map_err(&failed)?;
                old.note(def, &rows, has_followers).map_err(&failed)?;
            }
            masks.push(goes);
        }
        if any {
            old.files.push((file.clone(), masks));
        }
    }
    Ok(old)
}

impl OldRows {
    fn note(
        &mut self,
        def: &TableDef,
        rows: &RecordBatch,
        has_followers: bool,
    ) -> Result<(), ArrowError> {
        if let Some(ids) = rows.column_by_name("person_id") {
            let ids = ids.as_primitive::<Int64Type>().iter().flatten();
            self.touched
                .extend(ids.filter_map(|id| u64::try_from(id).ok()));
        }
        if has_followers {
            self.names.extend(names(rows, "external_id").flatten());
        }
        if def.has_personal() {
            let schema = rows.schema();
            let columns = def.vault_keys().iter().map(|name| schema.index_of(name));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            self.keys.push(rows.project(&columns)?);
        }
        Ok(())
    }

    /// How many of the rows have personal values.
    pub(super) async fn count_values(
        &self,
        lake: &Lake,
        but: &[RecordBatch],
    ) -> Result<u64, IngestError> {
        let Some(def) = self.def.filter(|def| def.has_personal() && self.rows > 0) else {
            return Ok(0);
        };
        let encoder = Encoder::vault_key(def)?;
        let mut gone = HashSet::new();
        for batch in &self.keys {
            gone.extend(encoder.keys(batch)?);
        }
        for batch in but {
            for key in encoder.keys(batch)? {
                gone.remove(&key);
            }
        }
        let mut count = 0;
        for batch in Vault::new(lake, def)
            .sealed_columns(def.vault_keys())
            .await?
        {
            let keys = encoder.keys(&batch?)?;
            count += keys.iter().filter(|key| gone.contains(key)).count() as u64;
        }
        Ok(count)
    }

    /// Writes the remaining rows of each file to new files.
    pub(super) async fn rewrite(
        &self,
        lake: &Lake,
        def: &'static TableDef,
    ) -> Result<TableChange, IngestError> {
        let failed = IngestError::rows(def.name, "rewritten");
        let mut change = TableChange::default();
        for (file, masks) in &self.files {
            let mut writer = TableWriter::new(lake, def);
            for (batch, goes) in read_file(lake, def, file, None).await?.zip(masks) {
                let stays = not(goes).map_err(&failed)?;
                let rows = batch.and_then(|batch| filter_record_batch(&batch, &stays));
                let rows = rows.map_err(&failed)?;
                if rows.num_rows() > 0 {
                    writer.write(&rows).await?;
                }
            }
            change.removes.push(file.clone());
            change.adds.extend(writer.finish().await?);
        }
        Ok(change)
    }
}
