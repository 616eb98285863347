//! Quarantined rows that a run settles: it read them again, and they did not fail again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use roaring::RoaringBitmap;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{Lake, State};
use rollbook_model::{ProviderName, tables::QUARANTINE};

use crate::IngestError;
use crate::rows::stage::Stage;

/// Which rows the run read again.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// All rows of these files.
    FilesRead(HashSet<String>),
    /// The rows of these ids.
    Tried(Vec<String>),
}

/// The provider and the mappings of a run.
pub(crate) struct Scope<'a> {
    pub(crate) provider: &'a ProviderName,
    pub(crate) mappings: &'a [String],
    pub(crate) rule: &'a Rule,
}

/// Rows of `quarantine` to delete.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Their numbers in each of the table's files.
    pub(crate) rows: Vec<RoaringBitmap>,
    ids: Vec<String>,
}

/// The quarantined rows in the lake that the run read again and did not quarantine again.
pub(crate) async fn settled(
    lake: &Lake,
    base: &State,
    scope: &Scope<'_>,
    again: &Stage,
) -> Result<Settled, IngestError> {
    let tried: HashSet<&str> = match scope.rule {
        Rule::Tried(ids) => ids.iter().map(String::as_str).collect(),
        Rule::FilesRead(_) => HashSet::new(),
    };
    let mut found: HashMap<String, (usize, u32)> = HashMap::new();
    let columns = ["quarantine_id", "provider", "mapping", "file"];
    let files = base.table(QUARANTINE.name).files;
    for (at, file) in files.iter().enumerate() {
        let mut number = 0;
        for batch in read_file(lake, QUARANTINE, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(QUARANTINE.name, "read"))?;
            let text =
                |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
            for row in 0..batch.num_rows() {
                let id = text("quarantine_id", row);
                let read_again = match scope.rule {
                    Rule::Tried(_) => tried.contains(id.as_str()),
                    Rule::FilesRead(files) => {
                        text("provider", row) == scope.provider.as_str()
                            && scope.mappings.contains(&text("mapping", row))
                            && files.contains(&text("file", row))
                    }
                };
                if read_again {
                    found.insert(id, (at, number));
                }
                number += 1;
            }
        }
    }
    if !found.is_empty() {
        for piece in again.batches()? {
            for id in piece?.rows["quarantine_id"]
                .as_string::<i32>()
                .iter()
                .flatten()
            {
                found.remove(id);
            }
        }
    }
    let mut settled = Settled {
        rows: vec![RoaringBitmap::new(); files.len()],
        ids: Vec::with_capacity(found.len()),
    };
    for (id, (at, row)) in found {
        settled.rows[at].insert(row);
        settled.ids.push(id);
    }
    settled.ids.sort_unstable();
    Ok(settled)
}

impl Settled {
    /// The vault keys of the personal values of these rows.
    pub(crate) fn vault_keys(&self) -> Result<Vec<RecordBatch>, IngestError> {
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(&self.ids));
        let field = Field::new(QUARANTINE.vault_keys()[0], DataType::Utf8, false);
        let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![ids])
            .map_err(IngestError::rows(QUARANTINE.name, "assembled"))?;
        Ok(vec![rows])
    }
}
