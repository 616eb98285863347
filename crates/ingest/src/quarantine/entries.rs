//! Quarantine entries of rows that failed, were dropped or could not be read.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use rollbook_read::Refused;

use crate::mapping::Mapping;
use crate::quarantine::QuarantineEntry;
use crate::rows::canonical::RowError;
use crate::rows::file_columns::{FileColumns, KEY_SET};

/// The cells of a row as a JSON object: only columns that its file has; blanks are null.
pub(crate) fn record_of(batch: &RecordBatch, row: usize, driving: &FileColumns) -> String {
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns());
    let set = batch.column_by_name(KEY_SET);
    let set = set.map(|sets| sets.as_primitive::<UInt32Type>());
    let set = set
        .filter(|sets| sets.is_valid(row))
        .map(|sets| sets.value(row));
    let own = driving.of(batch["_file"].as_string::<i32>().value(row), set);
    let shown = cells.filter(|(field, column)| {
        let is_own = own.as_ref().is_none_or(|own| own.contains(field.name()));
        !matches!(field.name().as_str(), "_file" | "_line" | KEY_SET)
            && (is_own || column.is_valid(row))
    });
    let object: serde_json::Map<String, serde_json::Value> = shown
        .map(|(field, column)| {
            let value = match column.is_valid(row) {
                true => column.as_string::<i32>().value(row).into(),
                false => serde_json::Value::Null,
            };
            (field.name().clone(), value)
        })
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// The quarantine entry of a row with a value that the table cannot hold.
pub(crate) fn fault_entry(mapping: &Mapping, fault: &RowError, record: String) -> QuarantineEntry {
    QuarantineEntry {
        mapping: mapping.name.clone(),
        table: mapping.table.name,
        file: fault.file.clone(),
        line: fault.line,
        column: fault.column.clone(),
        code: fault.code,
        reason: fault.reason.clone(),
        value: fault.value.clone(),
        record,
    }
}

/// The quarantine entry of a row that the mapping drops.
pub(crate) fn dropped_entry(
    mapping: &Mapping,
    file: &str,
    line: i64,
    record: String,
) -> QuarantineEntry {
    QuarantineEntry {
        mapping: mapping.name.clone(),
        table: mapping.table.name,
        file: file.to_owned(),
        line,
        column: None,
        code: "dropped",
        reason: "a join or a condition of the mapping drops this row".to_owned(),
        value: None,
        record,
    }
}

/// The quarantine entry of a record that the reader refused.
pub(crate) fn refused_entry(mapping: &Mapping, refused: Refused) -> QuarantineEntry {
    QuarantineEntry {
        mapping: mapping.name.clone(),
        table: mapping.table.name,
        file: refused.file,
        line: refused.line,
        column: refused.column,
        code: refused.code,
        reason: refused.reason,
        value: refused.value,
        record: refused.record,
    }
}
