//! The text form of Arrow values: exact, and the same as in a CSV file of the same data.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericByteArray, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, BinaryType, ByteArrayType, DataType, Field, Float32Type, Float64Type,
    LargeBinaryType, TimeUnit,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::logical::{self, Leaf};
use crate::rows::is_blank;

/// Whole numbers below this are written without an exponent.
const PLAIN_BELOW: f64 = 1e16;

/// Each value as text; blank text becomes null.
///
/// Times with a zone are RFC 3339 in UTC, others have no zone. Floats have the shortest form that reads back
/// the same, whole ones without a point. UUIDs have hyphens, lists and structs are JSON, and bytes that are
/// not text are hexadecimal after `\x`.
pub(super) fn as_text(array: &ArrayRef, leaves: &[Leaf]) -> Result<StringArray, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => without_blanks(&cast(array)?),
        DataType::Dictionary(_, values) => as_text(&cast_to(array, values)?, leaves)?,
        DataType::RunEndEncoded(_, values) => {
            as_text(&cast_to(array, values.data_type())?, leaves)?
        }
        DataType::Float16 => floats::<Float32Type>(&cast_to(array, &DataType::Float32)?),
        DataType::Float32 => floats::<Float32Type>(array),
        DataType::Float64 => floats::<Float64Type>(array),
        DataType::Timestamp(unit, Some(_)) => times(&in_utc(array, *unit)?)?,
        DataType::Binary => bytes::<BinaryType>(array.as_bytes()),
        DataType::LargeBinary => bytes::<LargeBinaryType>(array.as_bytes()),
        DataType::FixedSizeBinary(16) if leaves == [Leaf::Uuid] => logical::uuids(array),
        DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            bytes::<BinaryType>(cast_to(array, &DataType::Binary)?.as_bytes())
        }
        nested if nested.is_nested() => json(&logical::nested(array, leaves)?)?,
        ty if ty.is_temporal() => times(array)?,
        _ => cast(array)?,
    })
}

fn cast(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    Ok(cast_to(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    // `safe` would turn what does not convert into null, which is a loss.
    cast_with_options(
        array,
        to,
        &CastOptions {
            safe: false,
            ..CastOptions::default()
        },
    )
}

/// Times and days as text. A time outside every calendar does not prevent the others from being read: it
/// becomes its number, with words that no canonical type accepts.
fn times(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    if let Ok(texts) = cast(array) {
        return Ok(texts);
    }
    let one = |row: usize| -> Result<Option<String>, ArrowError> {
        let value = array.slice(row, 1);
        if value.is_null(0) {
            return Ok(None);
        }
        Ok(Some(match cast(&value) {
            Ok(text) => text.value(0).to_owned(),
            Err(_) => {
                let number = cast(&cast_to(&value, &DataType::Int64)?)?;
                format!("{} (in no calendar)", number.value(0))
            }
        }))
    };
    (0..array.len()).map(one).collect()
}

/// The same instants in UTC; the zone of the file only affects display.
fn in_utc(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, ArrowError> {
    cast_to(array, &DataType::Timestamp(unit, Some(Arc::from("+00:00"))))
}

fn without_blanks(texts: &StringArray) -> StringArray {
    if texts.iter().flatten().any(is_blank) {
        texts
            .iter()
            .map(|text| text.filter(|text| !is_blank(text)))
            .collect()
    } else {
        texts.clone()
    }
}

fn floats<T: ArrowPrimitiveType<Native: Into<f64> + std::fmt::Display + std::fmt::LowerExp>>(
    array: &ArrayRef,
) -> StringArray {
    let values: &PrimitiveArray<T> = array.as_primitive();
    let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 8);
    let mut text = String::new();
    for value in values {
        let Some(value) = value else {
            texts.append_null();
            continue;
        };
        text.clear();
        let size: f64 = value.into();
        let plain = size == 0.0 || !size.is_finite() || (1e-6..PLAIN_BELOW).contains(&size.abs());
        let written = if plain {
            write!(text, "{value}")
        } else {
            write!(text, "{value:e}")
        };
        written.expect("writing to a string does not fail");
        texts.append_value(&text);
    }
    texts.finish()
}

fn bytes<T: ByteArrayType>(values: &GenericByteArray<T>) -> StringArray
where
    T::Native: AsRef<[u8]>,
{
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => (!is_blank(text)).then(|| text.to_owned()),
        Err(_) => Some(format!("\\x{}", hex::encode(bytes))),
    };
    values
        .iter()
        .map(|value| value.and_then(|value| text(value.as_ref())))
        .collect()
}

fn json(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let field = Arc::new(Field::new("value", array.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, array, &options)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        let text =
            std::str::from_utf8(&text).map_err(|error| ArrowError::JsonError(error.to_string()))?;
        texts.append_value(text);
    }
    Ok(texts.finish())
}
