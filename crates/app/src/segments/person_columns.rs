//! Columns of members: values of `people` beside the ids.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use rollbook_engine::EngineError;
use rollbook_model::nearest;
use rollbook_segments::{Refreshed, TraitDefinition, custom_traits};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{AppError, Workspace};

/// How many times the rows are in memory while they are put together.
const COPIES: usize = 2;

/// Hashing of e-mail addresses and phone numbers for ad platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hashing {
    /// Hexadecimal SHA-256 of the form that ad platforms ask for: an e-mail address trimmed and in lower
    /// case; a phone number as `+`, country code and digits. Phone numbers without country code are null.
    Sha256,
}

/// Members in order, with columns of `people` as of the membership; personal columns have their current
/// values, and masked ones are null. One row per member: `person_id`, then `columns`.
///
/// # Errors
/// There is no lake; its snapshot expired; a column does not exist; the caller may not read a personal
/// column; a custom trait fails; the query exceeds a limit.
pub async fn fields(
    workspace: &Workspace,
    of: &Refreshed,
    members: &[u64],
    columns: &[String],
    hashing: Option<Hashing>,
) -> Result<RecordBatch, AppError> {
    workspace.require("segments::person_columns::fields")?;
    let lake = workspace.lake().await?;
    let state = match of.snapshot.0 {
        0 => lake.head().await?,
        _ => lake.state(of.snapshot).await?,
    };
    let among = Some(Arc::new(members.iter().copied().collect()));
    // The current traits: a trait may be newer than the snapshot of the data.
    let traits = custom_traits::list(&lake, &lake.head().await?).await?;
    let traits = traits.iter().map(TraitDefinition::own).collect();
    let session = workspace.session_with(&lake, &state, of.as_of, among, traits);
    let session = session.await?;
    let known = session.people_schema().await;
    for column in columns {
        let fields = known.as_ref().map(|known| known.fields());
        let names = fields
            .into_iter()
            .flatten()
            .map(|field| field.name().as_str());
        let names: Vec<&str> = names.collect();
        if !names.contains(&column.as_str()) {
            return Err(EngineError::UnknownColumn {
                column: column.clone(),
                table: Some("people".to_owned()),
                nearest: nearest(column, names).map(str::to_owned),
                position: None,
            }
            .into());
        }
    }
    let shown = columns.iter().filter(|name| !workspace.masks(name));
    let selected: String = shown.map(|name| format!(", \"{name}\"")).collect();
    let sql = format!("select person_id{selected} from people order by person_id");
    let mut rows = session.stream(&sql).await?;
    let schema = Arc::clone(rows.schema());
    let mut batches = Vec::new();
    let mut reservation = workspace.reservation();
    while let Some(batch) = rows.next_batch().await? {
        let bytes = reservation.bytes() + COPIES * batch.get_array_memory_size();
        if !reservation.try_resize(bytes) {
            return Err(EngineError::MemoryInUse.into());
        }
        batches.push(batch);
    }
    let failed = |source| AppError::Rows { source };
    let all = concat_batches(&schema, &batches).map_err(failed)?;
    let gone = lake
        .person_redirects(lake.head().await?.person_redirects_path())
        .await?;
    let all = align(&all, members, |person| gone.resolves_to_erased(person));
    let all = all.map_err(failed)?;
    let types = known.as_deref();
    let all = with_masked(&all, columns, |name| workspace.masks(name), types).map_err(failed)?;
    match hashing {
        None => Ok(all),
        Some(Hashing::Sha256) => hash_contacts(&all).map_err(failed),
    }
}

/// The rows with all of `columns`, where masked ones are null.
fn with_masked(
    rows: &RecordBatch,
    columns: &[String],
    is_masked: impl Fn(&str) -> bool,
    types: Option<&Schema>,
) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let mut fields = vec![schema.field(0).clone()];
    let mut arrays = vec![Arc::clone(rows.column(0))];
    let mut next = 1;
    for name in columns {
        if is_masked(name) {
            let known = types.and_then(|types| types.field_with_name(name).ok());
            let ty = known.map_or(DataType::Utf8, |field| field.data_type().clone());
            arrays.push(new_null_array(&ty, rows.num_rows()));
            fields.push(Field::new(name, ty, true));
        } else {
            arrays.push(Arc::clone(rows.column(next)));
            fields.push(schema.field(next).clone());
            next += 1;
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// One row per member, in order. Members that `people` lacks, or that were erased since, have nulls.
fn align(
    rows: &RecordBatch,
    members: &[u64],
    is_erased: impl Fn(u64) -> bool,
) -> Result<RecordBatch, ArrowError> {
    let known = rows.column(0).as_primitive::<Int64Type>().values();
    let row_of = |member: &u64| -> Option<u32> {
        let at = known.binary_search(&member.cast_signed()).ok()?;
        u32::try_from(at).ok().filter(|_| !is_erased(*member))
    };
    let indices: UInt32Array = members.iter().map(row_of).collect();
    let ids = Int64Array::from_iter_values(members.iter().map(|id| id.cast_signed()));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
    for column in &rows.columns()[1..] {
        columns.push(match indices.null_count() {
            0 if members.len() == rows.num_rows() => Arc::clone(column),
            _ => take(column, &indices, None)?,
        });
    }
    let schema = rows.schema();
    let fields = schema.fields().iter().enumerate();
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_nullable(at > 0));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
}

/// Replaces e-mail addresses and phone numbers by their hashes.
fn hash_contacts(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = Default::default();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let form: Option<fn(&str) -> Option<String>> = match field.name().as_str() {
            "email" => Some(email_to_hash),
            "phone" => Some(phone_to_hash),
            _ => None,
        };
        let Some(form) = form else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
            continue;
        };
        let texts = cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let hashes: StringArray = (0..texts.len())
            .map(|at| texts.is_valid(at).then(|| texts.value(at)).and_then(form))
            .map(|text| text.map(|text| format!("{:x}", Sha256::digest(text))))
            .collect();
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(hashes));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn email_to_hash(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    text.contains('@').then_some(text)
}

fn phone_to_hash(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_whole = text.trim_start().starts_with('+') && (7..=15).contains(&digits.len());
    is_whole.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::{align, email_to_hash, phone_to_hash, with_masked};

    #[test]
    fn masked_columns_are_null_in_their_place() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("person_id", Arc::new(Int64Array::from(vec![2, 4]))),
            ("country", Arc::new(StringArray::from(vec!["DE", "AT"]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let asked = ["email", "country", "orders"].map(str::to_owned);
        let shown = with_masked(&rows, &asked, |name| name != "country", None).unwrap();
        let schema = shown.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["person_id", "email", "country", "orders"]);
        assert_eq!(shown.column(2), rows.column(1));
        for masked in [1, 3] {
            assert_eq!(shown.column(masked).null_count(), 2);
        }
    }

    #[test]
    fn align_yields_one_row_per_member() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("person_id", Arc::new(Int64Array::from(vec![2, 4, 5]))),
            (
                "country",
                Arc::new(StringArray::from(vec!["DE", "AT", "CH"])),
            ),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        for (members, countries) in [
            (&[2_u64, 4, 5][..], vec![None, Some("AT"), Some("CH")]),
            (&[4, 7], vec![Some("AT"), None]),
            (&[], vec![]),
        ] {
            let found = align(&rows, members, |person| person == 2).unwrap();
            let countries: ArrayRef = Arc::new(StringArray::from(countries));
            let members = members.iter().map(|id| id.cast_signed());
            let members: ArrayRef = Arc::new(Int64Array::from_iter_values(members));
            assert_eq!((found.column(0), found.column(1)), (&members, &countries));
        }
    }

    #[test]
    fn contacts_are_normalised_before_hashing() {
        assert_eq!(
            email_to_hash(" Ann@Example.COM "),
            Some("ann@example.com".to_owned())
        );
        assert_eq!(email_to_hash("nobody"), None);
        assert_eq!(
            phone_to_hash("+49 (30) 123-456"),
            Some("+4930123456".to_owned())
        );
        for number in ["030 123456", "+1", "", "+1234567890123456"] {
            assert_eq!(phone_to_hash(number), None, "{number}");
        }
    }
}
