//! Columns of persons beside their ids.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use rollbook_engine::EngineError;
use rollbook_model::nearest;
use rollbook_segments::{Refreshed, TraitDefinition, own_traits};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{AppError, Place};

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
    place: &Place,
    of: &Refreshed,
    members: &[u64],
    columns: &[String],
    hashing: Option<Hashing>,
) -> Result<RecordBatch, AppError> {
    let lake = place.lake().await?;
    let state = match of.snapshot.0 {
        0 => lake.head().await?,
        _ => lake.state(of.snapshot).await?,
    };
    let among = Some(Arc::new(members.iter().copied().collect()));
    // Those that there are now: the snapshot of the data may be older than the trait.
    let traits = own_traits::list(&lake, &lake.head().await?).await?;
    let traits = traits.iter().map(TraitDefinition::own).collect();
    let session = place.session_with(&lake, &state, of.as_of, among, traits);
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
    match hashing {
        None => Ok(all),
        Some(Hashing::Sha256) => hashed(&all).map_err(failed),
    }
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
    use super::{plain_email, plain_phone};

    #[test]
    fn addresses_have_one_form() {
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
