//! The columns that the files of a provider had in its last run: those missing since are reported.

use std::collections::{BTreeMap, BTreeSet};

use rollbook_lake::{State, ValueName};
use rollbook_model::ProviderName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::IngestError;
use crate::run::execute::PlannedMapping;
use crate::run::progress::{Event, Progress};

/// Columns by mapping and source. Names are keys, so that none is taken for that of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct ColumnsBySource(BTreeMap<String, BTreeMap<String, BTreeMap<String, bool>>>);

/// The name under which the columns of a provider are stored.
pub(crate) fn name(provider: &ProviderName) -> String {
    ValueName::Columns(provider.as_str()).to_string()
}

/// Reports columns that the files of the last run had and those of the planned mappings lack. Returns the
/// columns to store; `None` if they are already stored.
pub(crate) fn since_last(
    base: &State,
    provider: &ProviderName,
    planned: &[PlannedMapping],
    progress: &Progress,
) -> Result<Option<Value>, IngestError> {
    let before: ColumnsBySource = base.value(&name(provider))?.unwrap_or_default();
    let mut now = before.clone();
    let mut reported: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
    for planned in planned {
        let mapping = planned.mapping();
        let mut read = planned.absent.columns_read(mapping);
        let sources = now.0.entry(mapping.name.clone()).or_default();
        for (source, files) in planned.files() {
            let Some(file) = files.first() else {
                continue;
            };
            let columns = read.remove(source).unwrap_or_default();
            let last = sources.get(source).into_iter().flatten();
            let gone: Vec<String> = last
                .map(|(column, _)| column.clone())
                .filter(|column| !columns.contains(column))
                .collect();
            if !gone.is_empty() && reported.insert((file.label.clone(), gone.clone())) {
                progress.report(Event::ColumnsGone {
                    file: file.label.clone(),
                    files: files.len(),
                    columns: gone,
                    keeps: planned.absent.keeps(),
                });
            }
            let columns = columns.into_iter().map(|column| (column, true)).collect();
            sources.insert(source.to_owned(), columns);
        }
    }
    Ok((now != before).then(|| json!(now)))
}
