//! Columns of persons beside their ids.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use rollbook_engine::EngineError;
use rollbook_model::nearest;
use rollbook_segments::{Refreshed, TraitDefinition, custom_traits};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{AppError, Workspace};

/// How e-mails and phones are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hashing {
    /// As the SHA-256 of the form that ad platforms ask for, in hexadecimal: of an e-mail without
    /// blanks around it and in lower case; of a phone number with `+`, the country, and digits
    /// alone. A phone number without its country has none.
    Sha256,
}

/// Persons, in order, with columns of `people` as of the membership that they were pulled from.
/// Personal columns have their present values.
pub async fn fields(
    workspace: &Workspace,
    of: &Refreshed,
    members: &[u64],
    columns: &[String],
    hashing: Option<Hashing>,
) -> Result<RecordBatch, AppError> {
    let lake = workspace.lake().await?;
    let state = match of.snapshot.0 {
        0 => lake.head().await?,
        _ => lake.state(of.snapshot).await?,
    };
    let among = Some(Arc::new(members.iter().copied().collect()));
    // Those that there are now: the snapshot of the data may be older than the trait.
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
    let selected: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let selected = selected.join(", ");
    let sql = format!("select person_id, {selected} from people order by person_id");
    let mut rows = session.stream(&sql).await?;
    let schema = Arc::clone(rows.schema());
    let mut batches = Vec::new();
    while let Some(batch) = rows.next_batch().await? {
        batches.push(batch);
    }
    let failed = |source| AppError::Rows { source };
    let all = concat_batches(&schema, &batches).map_err(failed)?;
    let gone = lake.gone(lake.head().await?.gone()).await?;
    let all = aligned(&all, members, |person| gone.is_forgotten(person));
    let all = all.map_err(failed)?;
    match hashing {
        None => Ok(all),
        Some(Hashing::Sha256) => hashed(&all).map_err(failed),
    }
}

/// A row for each member, in order: of one whom `people` does not have, or who was erased since, there
/// is nothing but the id.
fn aligned(
    rows: &RecordBatch,
    members: &[u64],
    is_erased: impl Fn(u64) -> bool,
) -> Result<RecordBatch, ArrowError> {
    let known = rows.column(0).as_primitive::<Int64Type>().values();
    let place = |member: &u64| -> Option<u32> {
        let at = known.binary_search(&member.cast_signed()).ok()?;
        u32::try_from(at).ok().filter(|_| !is_erased(*member))
    };
    let places: UInt32Array = members.iter().map(place).collect();
    let ids = Int64Array::from_iter_values(members.iter().map(|id| id.cast_signed()));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
    for column in &rows.columns()[1..] {
        columns.push(match places.null_count() {
            0 if members.len() == rows.num_rows() => Arc::clone(column),
            _ => take(column, &places, None)?,
        });
    }
    let schema = rows.schema();
    let fields = schema.fields().iter().enumerate();
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_nullable(at > 0));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
}

/// E-mails and phones as their hashes.
fn hashed(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = Default::default();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let form: Option<fn(&str) -> Option<String>> = match field.name().as_str() {
            "email" => Some(plain_email),
            "phone" => Some(plain_phone),
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

fn plain_email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    text.contains('@').then_some(text)
}

fn plain_phone(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_whole = text.trim_start().starts_with('+') && (7..=15).contains(&digits.len());
    is_whole.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::{aligned, plain_email, plain_phone};

    #[test]
    fn each_member_has_a_row() {
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
            let found = aligned(&rows, members, |person| person == 2).unwrap();
            let countries: ArrayRef = Arc::new(StringArray::from(countries));
            let members = members.iter().map(|id| id.cast_signed());
            let members: ArrayRef = Arc::new(Int64Array::from_iter_values(members));
            assert_eq!((found.column(0), found.column(1)), (&members, &countries));
        }
    }

    #[test]
    fn hashed_addresses_are_normalised() {
        assert_eq!(
            plain_email(" Ann@Example.COM "),
            Some("ann@example.com".to_owned())
        );
        assert_eq!(plain_email("nobody"), None);
        assert_eq!(
            plain_phone("+49 (30) 123-456"),
            Some("+4930123456".to_owned())
        );
        for number in ["030 123456", "+1", "", "+1234567890123456"] {
            assert_eq!(plain_phone(number), None, "{number}");
        }
    }
}
