//! Printing answers: a table for people, one JSON document, or CSV.

use std::io::{self, IsTerminal, Write};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use serde_json::Value;
use std::sync::Arc;

use crate::arguments::Form;

/// Something to print: what programs get, and the same for people.
pub(crate) struct Shown {
    pub(crate) document: Value,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Shown {
    /// A list of objects of one shape; `columns` are the keys that people see, in order.
    pub(crate) fn list<T: serde::Serialize>(items: &[T], columns: &[&str]) -> anyhow::Result<Self> {
        let document = serde_json::to_value(items)?;
        let rows = document.as_array().into_iter().flatten();
        let rows = rows
            .map(|item| columns.iter().map(|key| plain(&item[*key])).collect())
            .collect();
        let columns = columns.iter().map(|&key| key.to_owned()).collect();
        Ok(Self {
            document,
            columns,
            rows,
        })
    }

    /// One object, as lines of key and value for people.
    pub(crate) fn object<T: serde::Serialize>(item: &T) -> anyhow::Result<Self> {
        let document = serde_json::to_value(item)?;
        let pairs = document.as_object().into_iter().flatten();
        let rows = pairs
            .map(|(key, value)| vec![key.clone(), plain(value)])
            .collect();
        Ok(Self {
            document,
            columns: vec!["field".into(), "value".into()],
            rows,
        })
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Prints in the form that was asked for.
pub(crate) fn print(shown: &Shown, form: Form) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match form {
        Form::Json => {
            serde_json::to_writer_pretty(&mut out, &shown.document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(&shown.columns)?;
            for row in &shown.rows {
                writer.write_record(row)?;
            }
            writer.flush()?;
        }
        Form::Table => writeln!(out, "{}", table(&shown.columns, &shown.rows))?,
    }
    Ok(out.flush()?)
}

/// A table that fits the terminal; as wide as it needs to be in a pipe.
pub(crate) fn table(columns: &[String], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(columns)
        .add_rows(rows);
    table.set_style(TableComponent::HeaderLines, '─');
    for (at, column) in table.column_iter_mut().enumerate() {
        let is_number = |row: &Vec<String>| row[at].is_empty() || row[at].parse::<f64>().is_ok();
        if !rows.is_empty() && rows.iter().all(is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Prints rows of a query.
pub(crate) fn print_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    form: Form,
) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match form {
        Form::Json => {
            out.write_all(&json(batches)?)?;
            writeln!(out)?;
        }
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(schema.fields().iter().map(|field| field.name()))?;
            for row in cells(batches)? {
                writer.write_record(row)?;
            }
            writer.flush()?;
        }
        Form::Table => {
            let columns: Vec<_> = schema.fields().iter().map(|f| f.name().clone()).collect();
            writeln!(out, "{}", table(&columns, &cells(batches)?))?;
        }
    }
    Ok(out.flush()?)
}

/// Rows as a JSON array of objects, nulls included: integers as numbers, decimals as strings,
/// times as RFC 3339 with `Z`.
pub(crate) fn json(batches: &[RecordBatch]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(&mut bytes);
    for batch in batches {
        writer.write(&exact(batch)?)?;
    }
    writer.finish()?;
    Ok(if bytes.is_empty() {
        b"[]".to_vec()
    } else {
        bytes
    })
}

/// Decimals and times as the text that programs get.
fn exact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = text_of(column)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn text_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => cast(column, &DataType::Utf8),
        DataType::Timestamp(..) => {
            let utc = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let micros = cast(&utc, &DataType::Int64)?;
            let micros =
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&micros);
            let texts = micros
                .iter()
                .map(|at| at.map(|at| rollbook_model::Timestamp::from_micros(at).to_string()));
            Ok(Arc::new(texts.collect::<arrow::array::StringArray>()))
        }
        _ => Ok(Arc::clone(column)),
    }
}

/// Every cell as text; null is empty.
pub(crate) fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = exact(batch)?;
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                formatters
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect(),
            );
        }
    }
    Ok(rows)
}
