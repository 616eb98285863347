//! Printing answers: a table for people, one JSON document, or CSV.

use std::io::{self, IsTerminal, Write};

use crate::arguments::Form;
use crate::visible::visible;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use rollbook_app::export::{self, Exporter, no_formula};
use rollbook_app::rows::{cells, json};
use serde_json::Value;

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
