//! Values as text, and the distance between two of them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rollbook_model::Timestamp;
use serde_json::{Map, Value};

/// A value as text; `None` where it is null.
pub(crate) fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return Some(Timestamp::from_micros(times.value(row)).to_string());
    }
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        return Some(floats.value(row).to_string());
    }
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(column, &options).ok()?;
    Some(shown.value(row).to_string())
}

/// A row as a JSON object of texts.
pub(crate) fn object(batch: &RecordBatch, row: usize) -> Value {
    let fields = batch.schema();
    let columns = fields.fields().iter().zip(batch.columns());
    let pairs = columns
        .filter(|(_, column)| *column.data_type() != DataType::Null)
        .map(|(field, column)| {
            let value = text(column, row).map_or(Value::Null, Value::String);
            (field.name().clone(), value)
        });
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// The distance between a value and a bound: a number, or a span of time in words.
pub(crate) fn distance(value: &str, bound: &str) -> Option<String> {
    if let (Ok(value), Ok(bound)) = (value.parse::<Timestamp>(), bound.parse::<Timestamp>())
        && value_is_a_time(&value.to_string())
    {
        return Some(span(bound.micros().abs_diff(value.micros())));
    }
    let (value, bound) = (decimal(value)?, decimal(bound)?);
    let apart = bound.abs_diff(value);
    let (whole, rest) = (apart / SCALE, apart % SCALE);
    let rest = format!("{rest:06}");
    let rest = rest.trim_end_matches('0');
    Some(match rest.is_empty() {
        true => whole.to_string(),
        false => format!("{whole}.{rest}"),
    })
}

/// Six decimal places.
const SCALE: u128 = 1_000_000;

fn value_is_a_time(text: &str) -> bool {
    text.contains('T')
}

fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 24 || !is_plain(whole) || !is_plain(rest) {
        return None;
    }
    let rest = &rest[..rest.len().min(6)];
    format!("{whole}{rest:0<6}")
        .parse::<i128>()
        .ok()
        .map(|number| sign * number)
}

/// A span of time in its two largest units.
fn span(micros: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("day", 86_400_000_000),
        ("hour", 3_600_000_000),
        ("minute", 60_000_000),
        ("second", 1_000_000),
    ];
    let mut left = micros;
    let mut words = Vec::new();
    for (name, unit) in UNITS {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            words.push(format!("{count} {name}{plural}"));
        }
        if words.len() == 2 {
            break;
        }
    }
    match words.is_empty() {
        true => format!("{micros} microseconds"),
        false => words.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances_are_exact() {
        for (value, bound, apart) in [
            ("3", "5", "2"),
            ("189.8000", "500", "310.2"),
            ("-1.5", "1", "2.5"),
            (
                "2025-01-01T00:00:00Z",
                "2025-01-03T12:00:30Z",
                "2 days 12 hours",
            ),
            (
                "2025-01-01T00:00:00Z",
                "2025-01-01T00:00:00Z",
                "0 microseconds",
            ),
        ] {
            assert_eq!(
                distance(value, bound).as_deref(),
                Some(apart),
                "{value} to {bound}"
            );
        }
        assert_eq!(distance("DE", "FR"), None);
    }
}
