//! Printing answers: a table for people, one JSON document, or CSV.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use crate::arguments::Form;
use crate::visible::visible;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use rollbook_app::export::{self, Exporter, no_formula};
use rollbook_app::rows::{cells, json};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// An answer in JSON. Its fields stand in the order in which they are declared, as people read them.
pub(crate) struct Document(String);

impl Document {
    pub(crate) fn of<T: Serialize + ?Sized>(answer: &T) -> anyhow::Result<Self> {
        Ok(Self(serde_json::to_string_pretty(answer)?))
    }
}

/// The fields of an answer, in their order.
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

/// Something to print: what programs get, and the same for people.
pub(crate) struct Shown {
    pub(crate) document: Document,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Shown {
    /// A list of objects of one shape; `columns` are the keys that people see, in order.
    pub(crate) fn list<T: Serialize>(items: &[T], columns: &[&str]) -> anyhow::Result<Self> {
        let values = serde_json::to_value(items)?;
        let rows = values.as_array().into_iter().flatten();
        let rows = rows
            .map(|item| columns.iter().map(|key| plain(&item[*key])).collect())
            .collect();
        let columns = columns.iter().map(|&key| key.to_owned()).collect();
        Ok(Self {
            document: Document::of(items)?,
            columns,
            rows,
        })
    }

    /// One object, as lines of key and value for people.
    pub(crate) fn object<T: Serialize>(item: &T) -> anyhow::Result<Self> {
        let document = Document::of(item)?;
        let Fields(pairs) = serde_json::from_str(&document.0)?;
        let pairs = pairs.iter();
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
            writeln!(out, "{}", shown.document.0)?;
        }
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(csv_cells(&shown.columns))?;
            for row in &shown.rows {
                writer.write_record(csv_cells(row))?;
            }
            let written = writer.into_inner().map_err(|error| error.into_error())?;
            out.write_all(&for_a_terminal(written))?;
        }
        Form::Table => writeln!(out, "{}", table(&shown.columns, &shown.rows))?,
    }
    Ok(out.flush()?)
}

/// Texts of an answer as CSV has them: none that is no number becomes a formula.
fn csv_cells(cells: &[String]) -> impl Iterator<Item = String> {
    cells.iter().map(|cell| match cell.parse::<f64>() {
        Ok(_) => cell.clone(),
        Err(_) => no_formula(cell.clone()),
    })
}

/// What is printed, as a terminal may have it where it goes to one.
fn for_a_terminal(printed: Vec<u8>) -> Vec<u8> {
    match io::stdout().is_terminal() {
        true => visible(&String::from_utf8_lossy(&printed))
            .into_owned()
            .into_bytes(),
        false => printed,
    }
}

/// A table that fits the terminal; as wide as it needs to be in a pipe.
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
            let mut exporter = Exporter::new(export::Form::Csv, schema)?;
            for batch in batches {
                out.write_all(&for_a_terminal(exporter.write(batch)?))?;
            }
            out.write_all(&for_a_terminal(exporter.end()?))?;
        }
        Form::Table => {
            let columns: Vec<_> = schema.fields().iter().map(|f| f.name().clone()).collect();
            writeln!(out, "{}", table(&columns, &cells(batches)?))?;
        }
    }
    Ok(out.flush()?)
}
