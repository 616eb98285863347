//! Printing answers: a table for people, one JSON document, or CSV.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use crate::arguments::OutputFormat;
use crate::output::visible::visible;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use rollbook_app::rows::export::{ExportFormat, Exporter, escape_formula};
use rollbook_app::rows::{cells, json};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A result as JSON, with fields in the order of their declaration.
pub(crate) struct Document(String);

impl Document {
    pub(crate) fn of<T: Serialize + ?Sized>(answer: &T) -> anyhow::Result<Self> {
        Ok(Self(serde_json::to_string_pretty(answer)?))
    }
}

/// The fields of a JSON object in order.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A JSON object with the fields in `columns` first, in their order.
struct ColumnsFirst<'a> {
    object: &'a Value,
    columns: &'a [&'a str],
}

impl Serialize for ColumnsFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields: Vec<_> = self.object.as_object().into_iter().flatten().collect();
        let place = |name: &str| self.columns.iter().position(|column| *column == name);
        fields.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A result to print: as JSON, and as rows for tables and CSV.
pub(crate) struct Shown {
    pub(crate) document: Document,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Shown {
    /// A list of objects; `columns` are the keys to show in tables and CSV, in order.
    pub(crate) fn list<T: Serialize>(items: &[T], columns: &[&str]) -> anyhow::Result<Self> {
        let values = serde_json::to_value(items)?;
        let rows = values.as_array().into_iter().flatten();
        let rows = rows
            .map(|item| columns.iter().map(|key| cell_text(&item[*key])).collect())
            .collect();
        let columns = columns.iter().map(|&key| key.to_owned()).collect();
        Ok(Self {
            document: Document::of(items)?,
            columns,
            rows,
        })
    }

    /// A list of JSON objects, whose keys have no order of their own: fields in `columns` come first.
    pub(crate) fn rows(items: &[Value], columns: &[&str]) -> anyhow::Result<Self> {
        let ordered = items
            .iter()
            .map(|object| ColumnsFirst { object, columns })
            .collect::<Vec<_>>();
        let mut shown = Self::list(items, columns)?;
        shown.document = Document::of(&ordered)?;
        Ok(shown)
    }

    /// One object; tables and CSV have a row per field.
    pub(crate) fn object<T: Serialize>(item: &T) -> anyhow::Result<Self> {
        let document = Document::of(item)?;
        let Fields(pairs) = serde_json::from_str(&document.0)?;
        let pairs = pairs.iter();
        let rows = pairs
            .map(|(key, value)| vec![key.clone(), cell_text(value)])
            .collect();
        Ok(Self {
            document,
            columns: vec!["field".into(), "value".into()],
            rows,
        })
    }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell_text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Prints a result in the requested format.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(shown: &Shown, format: OutputFormat) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            writeln!(out, "{}", shown.document.0)?;
        }
        OutputFormat::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(csv_cells(&shown.columns))?;
            for row in &shown.rows {
                writer.write_record(csv_cells(row))?;
            }
            let written = writer.into_inner().map_err(|error| error.into_error())?;
            out.write_all(&escape_for_terminal(written))?;
        }
        OutputFormat::Table => writeln!(out, "{}", table(&shown.columns, &shown.rows))?,
    }
    Ok(out.flush()?)
}

/// Escapes cells for CSV, so that no text becomes a formula in a spreadsheet.
fn csv_cells(cells: &[String]) -> impl Iterator<Item = String> {
    cells.iter().map(|cell| match cell.parse::<f64>() {
        Ok(_) => cell.clone(),
        Err(_) => escape_formula(cell.clone()),
    })
}

/// Escapes control characters if standard output is a terminal.
fn escape_for_terminal(printed: Vec<u8>) -> Vec<u8> {
    match io::stdout().is_terminal() {
        true => visible(&String::from_utf8_lossy(&printed))
            .into_owned()
            .into_bytes(),
        false => printed,
    }
}

/// A table, wrapped to the width of a terminal; unwrapped in a pipe.
pub(crate) fn table(columns: &[String], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(columns.iter().map(|name| visible(name)))
        .add_rows(rows.iter().map(|row| row.iter().map(|cell| visible(cell))));
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

/// Prints the rows of a query.
///
/// # Errors
/// A column has a type that the format cannot express; standard output cannot be written.
pub(crate) fn print_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: OutputFormat,
) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        OutputFormat::Json => {
            out.write_all(&json(batches)?)?;
            writeln!(out)?;
        }
        OutputFormat::Csv => {
            let mut exporter = Exporter::new(ExportFormat::Csv, schema)?;
            for batch in batches {
                out.write_all(&escape_for_terminal(exporter.write(batch)?))?;
            }
            out.write_all(&escape_for_terminal(exporter.end()?))?;
        }
        OutputFormat::Table => {
            let columns: Vec<_> = schema.fields().iter().map(|f| f.name().clone()).collect();
            writeln!(out, "{}", table(&columns, &cells(batches)?))?;
        }
    }
    Ok(out.flush()?)
}
