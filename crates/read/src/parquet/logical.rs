//! Parquet types that Arrow's types do not preserve: UUIDs, the months of intervals, and the range of INT96
//! times.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, FixedSizeBinaryArray, IntervalDayTimeArray,
    IntervalYearMonthArray, StringArray, make_array,
};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit,
};
use arrow::error::ArrowError;
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// A leaf column of the file, with its type in Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// The type that Arrow shows.
    Plain,
    /// A UUID in sixteen bytes.
    Uuid,
    /// Months, days and milliseconds.
    Interval,
    /// A time in the old form of twelve bytes.
    Int96,
}

/// The leaf columns of each column of the file.
pub(super) fn leaves(schema: &SchemaDescriptor) -> Vec<Vec<Leaf>> {
    let mut found = vec![Vec::new(); schema.root_schema().get_fields().len()];
    for (position, column) in schema.columns().iter().enumerate() {
        found[schema.get_column_root_idx(position)].push(leaf(column));
    }
    found
}

fn leaf(column: &ColumnDescriptor) -> Leaf {
    if matches!(column.logical_type_ref(), Some(LogicalType::Uuid)) {
        Leaf::Uuid
    } else if column.converted_type() == ConvertedType::INTERVAL {
        Leaf::Interval
    } else if column.physical_type() == PhysicalType::INT96 {
        Leaf::Int96
    } else {
        Leaf::Plain
    }
}

/// The schema to read with: INT96 in microseconds, since nanoseconds end in 2262, and intervals in one of the
/// two units that each hold a part of them.
pub(super) fn hinted(schema: &Schema, leaves: &[Vec<Leaf>], unit: IntervalUnit) -> SchemaRef {
    let fields = schema.fields().iter().zip(leaves);
    let fields = fields.map(|(field, leaves)| retyped(field, &mut leaves.iter(), unit));
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

fn retyped<'a>(
    field: &FieldRef,
    leaves: &mut impl Iterator<Item = &'a Leaf>,
    unit: IntervalUnit,
) -> FieldRef {
    let with = |ty| Arc::new(Field::clone(field).with_data_type(ty));
    match field.data_type() {
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| retyped(field, leaves, unit));
            with(DataType::Struct(fields.collect()))
        }
        DataType::List(item) => with(DataType::List(retyped(item, leaves, unit))),
        DataType::LargeList(item) => with(DataType::LargeList(retyped(item, leaves, unit))),
        DataType::FixedSizeList(item, size) => {
            with(DataType::FixedSizeList(retyped(item, leaves, unit), *size))
        }
        DataType::Map(entry, sorted) => with(DataType::Map(retyped(entry, leaves, unit), *sorted)),
        ty => match (leaves.next(), ty) {
            (Some(Leaf::Int96), DataType::Timestamp(_, zone)) => {
                with(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
            }
            (Some(Leaf::Interval), DataType::Interval(_)) => with(DataType::Interval(unit)),
            _ => Arc::clone(field),
        },
    }
}

/// A nested column with its UUIDs as text.
///
/// # Errors
/// There are intervals in it, of which only a part was read.
pub(super) fn nested(array: &ArrayRef, leaves: &[Leaf]) -> Result<ArrayRef, ArrowError> {
    if leaves.contains(&Leaf::Interval) {
        let reason = "an interval inside of lists or structs has no text form";
        return Err(ArrowError::CastError(reason.to_owned()));
    }
    if !leaves.contains(&Leaf::Uuid) {
        return Ok(Arc::clone(array));
    }
    Ok(make_array(rewritten(array.to_data(), &mut leaves.iter())?))
}

fn rewritten<'a>(
    data: ArrayData,
    leaves: &mut impl Iterator<Item = &'a Leaf>,
) -> Result<ArrayData, ArrowError> {
    let ty = data.data_type().clone();
    if !ty.is_nested() {
        return Ok(match leaves.next() {
            Some(Leaf::Uuid) => uuids(make_array(data).as_ref()).to_data(),
            _ => data,
        });
    }
    let children = data.child_data().iter().cloned();
    let children: Vec<_> = children
        .map(|child| rewritten(child, leaves))
        .collect::<Result<_, _>>()?;
    let item = |field: &FieldRef| {
        let ty = children[0].data_type().clone();
        Arc::new(Field::clone(field).with_data_type(ty))
    };
    let ty = match &ty {
        DataType::Struct(fields) => {
            let typed = fields.iter().zip(&children).map(|(field, child)| {
                Arc::new(Field::clone(field).with_data_type(child.data_type().clone()))
            });
            DataType::Struct(typed.collect())
        }
        DataType::List(field) => DataType::List(item(field)),
        DataType::LargeList(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(item(field), *size),
        DataType::Map(field, sorted) => DataType::Map(item(field), *sorted),
        other => other.clone(),
    };
    data.into_builder()
        .data_type(ty)
        .child_data(children)
        .build()
}

/// UUIDs as text, such as `00000000-0000-4000-8000-000000000001`.
pub(super) fn uuids(array: &dyn Array) -> StringArray {
    let values: &FixedSizeBinaryArray = array.as_fixed_size_binary();
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(36);
        for (position, byte) in bytes.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        text
    };
    values.iter().map(|value| value.map(text)).collect()
}

/// Intervals as ISO 8601 durations, such as `P3M2DT1.5S`. Numbers in Parquet intervals have no sign.
pub(super) fn intervals(
    months: &IntervalYearMonthArray,
    rest: &IntervalDayTimeArray,
) -> StringArray {
    let text = |(months, rest): (Option<i32>, Option<_>)| {
        let rest: arrow::datatypes::IntervalDayTime = rest?;
        Some(interval(
            months?.cast_unsigned(),
            rest.days.cast_unsigned(),
            rest.milliseconds.cast_unsigned(),
        ))
    };
    months.iter().zip(rest.iter()).map(text).collect()
}

fn interval(months: u32, days: u32, milliseconds: u32) -> String {
    let mut text = "P".to_owned();
    for (number, unit) in [(months, 'M'), (days, 'D')] {
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if milliseconds > 0 {
        let seconds = format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000);
        let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
        text.push_str(&format!("T{seconds}S"));
    }
    match text.len() {
        1 => "P0D".to_owned(),
        _ => text,
    }
}
