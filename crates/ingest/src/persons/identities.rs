//! The table `identities`: rows of new records, and changes of known ones.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use rollbook_lake::table::provider::read_file;
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::{Lake, State, TableChange};
use rollbook_model::config::BATCH_ROWS;
use rollbook_model::tables::IDENTITIES;

use crate::IngestError;
use crate::rows::identities::{Identities, NewIdentity};

/// Writes the changes of a run to `identities`. `seen` has the times at which records last changed.
pub(crate) async fn change(
    lake: &Lake,
    state: &State,
    identities: &Identities,
    seen: &HashMap<i64, i64>,
) -> Result<TableChange, IngestError> {
    let failed = IngestError::rows(IDENTITIES.name, "assembled");
    let mut change = TableChange::default();
    let mut writer = TableWriter::new(lake, IDENTITIES);
    for chunk in identities.new.chunks(BATCH_ROWS) {
        writer.write(&rows(chunk).map_err(&failed)?).await?;
    }
    change.adds = writer.finish().await?;
    let is_new = |identity: &i64| {
        let found = identities
            .new
            .binary_search_by_key(identity, |new| new.ids.identity);
        found.is_ok()
    };
    let concerned = |identity: &i64| {
        let is_moved =
            identities.moved.contains_key(identity) || identities.linked.contains_key(identity);
        is_moved || (seen.contains_key(identity) && !is_new(identity))
    };
    if identities.linked.is_empty() && identities.moved.is_empty() && !seen.keys().any(concerned) {
        return Ok(change);
    }
    for file in &state.table(IDENTITIES.name).files {
        let mut any = false;
        let mut rewritten = Vec::new();
        for batch in read_file(lake, IDENTITIES, file, None).await? {
            let batch = batch.map_err(&failed)?;
            let ids = batch["identity_id"].as_primitive::<Int64Type>();
            any |= ids.values().iter().any(concerned);
            rewritten.push(changed(&batch, identities, seen).map_err(&failed)?);
        }
        if any {
            let mut writer = TableWriter::new(lake, IDENTITIES);
            for batch in &rewritten {
                writer.write(batch).await?;
            }
            change.removes.push(file.clone());
            change.adds.extend(writer.finish().await?);
        }
    }
    Ok(change)
}

/// The vault keys of the personal values of these records.
pub(crate) fn vault_keys(ids: impl Iterator<Item = i64>) -> Result<RecordBatch, IngestError> {
    let ids: ArrayRef = Arc::new(ids.collect::<Int64Array>());
    let field = Field::new("identity_id", DataType::Int64, false);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![ids])
        .map_err(IngestError::rows(IDENTITIES.name, "assembled"))
}

fn changed(
    batch: &RecordBatch,
    identities: &Identities,
    seen: &HashMap<i64, i64>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let ids = batch["identity_id"].as_primitive::<Int64Type>();
    let persons = batch["person_id"].as_primitive::<Int64Type>();
    let last_seen = batch["last_seen_at"].as_primitive::<TimestampMicrosecondType>();
    let of = ids.values().iter();
    let linked: Int64Array = of
        .clone()
        .zip(persons.values())
        .map(|(identity, person)| {
            let linked = identities.linked.get(identity);
            let linked = linked.or_else(|| identities.moved.get(identity));
            linked.copied().unwrap_or(*person)
        })
        .collect();
    let later: TimestampMicrosecondArray = of
        .zip(last_seen)
        .map(|(identity, before)| seen.get(identity).copied().or(before))
        .collect();
    let schema = batch.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "person_id" => Arc::new(linked.clone()) as ArrayRef,
            "last_seen_at" => Arc::new(later.clone().with_timezone("UTC")),
            name => ArrayRef::clone(&batch[name]),
        });
    RecordBatch::try_new(schema.clone(), columns.collect())
}

fn rows(new: &[NewIdentity]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let number = |of: fn(&NewIdentity) -> i64| -> ArrayRef {
        Arc::new(new.iter().map(of).collect::<Int64Array>())
    };
    let time = |of: fn(&NewIdentity) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = new.iter().map(of).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let text = |of: fn(&NewIdentity) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(new.iter().map(of)))
    };
    let named_by = |new: &NewIdentity| match new.external_id.split_once(':') {
        Some(("email", _)) => "email",
        Some(("phone", _)) => "phone",
        _ => "external_id",
    };
    let schema = IDENTITIES.stored_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "identity_id" => number(|new| new.ids.identity),
            "person_id" => number(|new| new.ids.person),
            "provider" => text(|new| &new.provider),
            "external_id" => text(|new| &new.external_id),
            "identity_type" => Arc::new(StringArray::from_iter_values(new.iter().map(named_by))),
            "first_seen_at" => time(|new| new.first_seen),
            _ => time(|new| new.last_seen),
        });
    RecordBatch::try_new(schema.clone(), columns.collect())
}
