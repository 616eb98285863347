//! Decimal commas that the mapping does not declare. Other points and commas in such a column are
//! ambiguous, so none of its numbers with a separator is read.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use rollbook_model::{ColumnDef, ColumnType};

use super::{RowError, blank_fault};
use crate::mapping::numbers::{NumberStyle, has_separator, is_only_comma};

/// The columns, file by file, in which a number was found that can only have a decimal comma.
#[derive(Debug, Default)]
pub(crate) struct DecimalCommas {
    found: HashSet<(String, &'static str)>,
    /// Files of which rows were taken before the batch at hand.
    begun: HashSet<String>,
    is_late: bool,
}

impl DecimalCommas {
    /// Checks a batch whose cells were read with a decimal point, and adds faults for rows that are
    /// ambiguous.
    pub(crate) fn check(
        &mut self,
        batch: &RecordBatch,
        columns: impl Iterator<Item = &'static ColumnDef>,
        files: &StringArray,
        faulty: &mut [Option<RowError>],
    ) -> Result<(), ArrowError> {
        // A number with a decimal comma is invalid with a point: its row already has a fault.
        let any_faulty = faulty.iter().any(Option::is_some);
        if any_faulty || !self.found.is_empty() {
            for def in columns.filter(|def| is_number(def.ty)) {
                let source = batch.column_by_name(def.name);
                if let Some(source) = source.filter(|source| is_text(source.data_type())) {
                    let texts = cast(source, &DataType::Utf8)?;
                    self.check_column(def.name, texts.as_string(), files, faulty);
                }
            }
        }
        self.begin(files);
        Ok(())
    }

    fn check_column(
        &mut self,
        column: &'static str,
        texts: &StringArray,
        files: &StringArray,
        faulty: &mut [Option<RowError>],
    ) {
        for row in (0..faulty.len()).filter(|row| faulty[*row].is_some()) {
            if texts.is_valid(row) && is_only_comma(texts.value(row).trim()) {
                let file = files.value(row);
                self.is_late |=
                    self.found.insert((file.to_owned(), column)) && self.begun.contains(file);
            }
        }
        let mut last = ("", false);
        for (row, known) in faulty.iter_mut().enumerate() {
            let file = files.value(row);
            if file != last.0 {
                last = (file, self.found.contains(&(file.to_owned(), column)));
            }
            if last.1 && texts.is_valid(row) && has_separator(texts.value(row)) {
                let same = |fault: &RowError| fault.column.as_deref() == Some(column);
                if known.as_ref().is_none_or(same) {
                    *known = Some(fault(column, texts.value(row)));
                }
            }
        }
    }

    fn begin(&mut self, files: &StringArray) {
        let mut last = None;
        for file in files.iter().flatten() {
            if last != Some(file) && !self.begun.contains(file) {
                self.begun.insert(file.to_owned());
            }
            last = Some(file);
        }
    }

    /// Whether a column turned out to have decimal commas after other rows of its file were accepted. Then
    /// all rows must be read again.
    pub(crate) fn are_late(&mut self) -> bool {
        self.begun.clear();
        std::mem::take(&mut self.is_late)
    }
}

fn fault(column: &str, value: &str) -> RowError {
    RowError {
        column: Some(column.to_owned()),
        code: "bad_value",
        reason: format!(
            "`{column}` has a number with a decimal comma in this file: `-- numbers: {}` in the mapping says what its points and commas mean",
            NumberStyle::Comma.sample()
        ),
        value: Some(value.to_owned()),
        ..blank_fault()
    }
}

fn is_number(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int | ColumnType::Float | ColumnType::Decimal
    )
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}
