//! Which columns the files of a provider had when they last came: one that is gone since is told of.

use std::collections::{BTreeMap, BTreeSet};

use rollbook_lake::State;
use rollbook_model::ProviderName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::IngestError;
use crate::execute::Planned;
use crate::progress::{Event, Progress};

/// Columns by mapping and source. Names are keys, so that none is taken for that of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Seen(BTreeMap<String, BTreeMap<String, BTreeMap<String, bool>>>);

/// The name under which the columns of a provider are kept.
pub(crate) fn name(provider: &ProviderName) -> String {
    format!("columns/{provider}")
}

/// Tells of columns that the files of planned mappings lack and those before them had. What is to be
/// kept from now on; `None` where it is kept already.
pub(crate) fn since_last(
    base: &State,
    provider: &ProviderName,
    planned: &[Planned],
    progress: &Progress,
) -> Result<Option<Value>, IngestError> {
    let before: Seen = base.value(&name(provider))?.unwrap_or_default();
    let mut now = before.clone();
    let mut told: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
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
            if !gone.is_empty() && told.insert((file.label.clone(), gone.clone())) {
                progress.tell(Event::ColumnsGone {
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
