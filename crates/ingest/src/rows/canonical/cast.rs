//! Casts the columns of a mapping to the canonical types, row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Date32Array, Date32Builder, Decimal128Builder,
    Float64Builder, Int64Builder, ListBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono_tz::Tz;
use rollbook_model::table::{MONEY_PRECISION, MONEY_SCALE};
use rollbook_model::{ColumnDef, ColumnType};

use crate::mapping::numbers::NumberStyle;
use crate::rows::canonical::value;

/// How a mapping's sources write what can be written in several ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceStyle {
    /// The zone of times that name none.
    pub(crate) zone: Tz,
    /// Where the decimals of a number begin.
    pub(crate) numbers: NumberStyle,
}

/// A column in its canonical type, and the rows whose value it could not take (null there).
pub(crate) struct Cast {
    pub(crate) column: ArrayRef,
    pub(crate) refused: Vec<usize>,
}

/// Casts a column. Blank text becomes null; a value that does not fit becomes null and is reported.
pub(crate) fn cast_column(
    source: &ArrayRef,
    target: &ColumnDef,
    form: SourceStyle,
) -> Result<Cast, ArrowError> {
    let mut cast = cast_to_type(source, target, form)?;
    if is_probability(target) {
        let chances = cast.column.as_primitive::<Float64Type>();
        let is_one = |chance: f64| (0.0..=1.0).contains(&chance);
        let is_none = |row: &usize| chances.is_valid(*row) && !is_one(chances.value(*row));
        cast.refused.extend((0..chances.len()).filter(is_none));
    }
    Ok(cast)
}

/// Whether a column holds probabilities, from 0 to 1. Sources also write them in percent, where 1 is
/// ambiguous; so a mapping must divide a column that has values such as 75.
pub(crate) fn is_probability(target: &ColumnDef) -> bool {
    target.name == "probability"
}

fn cast_to_type(
    source: &ArrayRef,
    target: &ColumnDef,
    form: SourceStyle,
) -> Result<Cast, ArrowError> {
    let zone = form.zone;
    match source.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(source, &DataType::Utf8)?;
            Ok(parse(text.as_string(), target, form))
        }
        DataType::Null => Ok(Cast {
            column: arrow::array::new_null_array(&target.ty.arrow(), source.len()),
            refused: Vec::new(),
        }),
        // A time without a zone is local: it goes the way of text, so that gaps are treated alike.
        DataType::Timestamp(_, None) | DataType::Date32
            if target.ty == ColumnType::Time && zone != Tz::UTC =>
        {
            let text = cast(source, &DataType::Utf8)?;
            Ok(parse(text.as_string(), target, form))
        }
        _ if target.ty == ColumnType::Json || target.ty == ColumnType::TextList => {
            let same = source.data_type() == &target.ty.arrow();
            let text = if same {
                Arc::clone(source)
            } else {
                cast(source, &target.ty.arrow())?
            };
            Ok(Cast {
                column: text,
                refused: Vec::new(),
            })
        }
        _ => {
            let options = CastOptions {
                safe: true,
                ..CastOptions::default()
            };
            let column = within_bounds(cast_with_options(source, &target.ty.arrow(), &options)?);
            let lost = |&row: &usize| column.is_null(row) && source.is_valid(row);
            let refused = (0..source.len()).filter(lost).collect();
            Ok(Cast { column, refused })
        }
    }
}

/// Times and days without those outside the years that are taken.
fn within_bounds(column: ArrayRef) -> ArrayRef {
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        if times.iter().flatten().all(value::is_time) {
            return column;
        }
        let kept = times.iter().map(|at| at.filter(|at| value::is_time(*at)));
        let kept: TimestampMicrosecondArray = kept.collect();
        return Arc::new(kept.with_data_type(column.data_type().clone()));
    }
    if let Some(days) = column.as_primitive_opt::<Date32Type>() {
        if days.iter().flatten().all(value::is_day) {
            return column;
        }
        let kept = days.iter().map(|day| day.filter(|day| value::is_day(*day)));
        return Arc::new(kept.collect::<Date32Array>());
    }
    column
}

fn parse(text: &StringArray, target: &ColumnDef, form: SourceStyle) -> Cast {
    let SourceStyle { zone, numbers } = form;
    let rows = text.len();
    let mut refused = Vec::new();
    let cells = text
        .iter()
        .map(|cell| cell.map(str::trim).filter(|cell| !cell.is_empty()));
    let column: ArrayRef = match target.ty {
        ColumnType::Text => Arc::new(texts(cells, target.name, rows)),
        ColumnType::Json => {
            let mut builder = StringBuilder::with_capacity(rows, rows * 16);
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, |t| {
                    value::is_json(t).then_some(t)
                }));
            }
            Arc::new(builder.finish())
        }
        ColumnType::TextList => {
            let field = Arc::new(Field::new("element", DataType::Utf8, true));
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
            for (row, cell) in cells.enumerate() {
                let items = read_cell(cell, row, &mut refused, value::list);
                builder.append_option(items.map(|items| items.into_iter().map(Some)));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Bool => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, value::boolean));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Int => {
            let mut builder = Int64Builder::with_capacity(rows);
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, |t| {
                    value::integer(t, numbers)
                }));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Float => {
            let mut builder = Float64Builder::with_capacity(rows);
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, |t| {
                    value::float(t, numbers)
                }));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Decimal => {
            let mut builder = Decimal128Builder::with_capacity(rows)
                .with_data_type(DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE));
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, |t| {
                    value::decimal(t, numbers)
                }));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Time => {
            let mut builder = TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC");
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, |t| value::time(t, zone)));
            }
            Arc::new(builder.finish())
        }
        ColumnType::Date => {
            let mut builder = Date32Builder::with_capacity(rows);
            for (row, cell) in cells.enumerate() {
                builder.append_option(read_cell(cell, row, &mut refused, value::date));
            }
            Arc::new(builder.finish())
        }
    };
    Cast { column, refused }
}

/// Trimmed texts; e-mail addresses and domains in lower case, currencies and countries in upper.
fn texts<'a>(
    cells: impl Iterator<Item = Option<&'a str>>,
    column: &str,
    rows: usize,
) -> StringArray {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    for cell in cells {
        match (cell, column) {
            (Some(cell), "email" | "email_domain") => builder.append_value(cell.to_lowercase()),
            (Some(cell), "currency") => builder.append_value(cell.to_uppercase()),
            (cell, _) => builder.append_option(cell),
        }
    }
    builder.finish()
}

fn read_cell<'a, T>(
    cell: Option<&'a str>,
    row: usize,
    refused: &mut Vec<usize>,
    read: impl Fn(&'a str) -> Option<T>,
) -> Option<T> {
    let value = read(cell?);
    if value.is_none() {
        refused.push(row);
    }
    value
}
