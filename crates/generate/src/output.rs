//! The files that a run writes: rows go to one part per month, and the parts are joined at the end.
//!
//! The rows of a person are generated together, but the files of a real system are in order of time. So
//! rows of facts go to one part per month, and a file is its parts in order: sorted neither by person nor
//! by second, and written in constant memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use rollbook_model::{Timestamp, tables};

use crate::calendar::{Calendar, MONTHS};
use crate::error::GenerateError;
use crate::{Format, Summary, WrittenFile};

mod columns;
mod parquet;

pub(crate) use columns::Table;

/// The destination of all rows.
#[derive(Debug)]
pub(crate) struct Output {
    folder: PathBuf,
    format: Format,
    calendar: Calendar,
    /// One for each of [`Table::all`]; `None` for a file that is not written.
    tables: Vec<Option<Writer>>,
    /// Dropped last: deletes the parts, whether or not the run succeeded.
    parts: PartsFolder,
    last_event: Option<i64>,
}

/// Which files are written besides those of every run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extras {
    pub(crate) truth: bool,
    pub(crate) second_records: bool,
}

#[derive(Debug)]
struct Writer {
    table: Table,
    columns: &'static [&'static str],
    parts: Vec<Option<csv::Writer<File>>>,
    rows: u64,
    record: ByteRecord,
    cell: Vec<u8>,
}

#[derive(Debug)]
struct PartsFolder(PathBuf);

impl Drop for PartsFolder {
    fn drop(&mut self) {
        // Nothing depends on it: a later run into the same folder begins by emptying it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A row being written: one call for each column of its table, in order, then an end.
#[derive(Debug)]
#[must_use = "a row is written by its end"]
pub(crate) struct Row<'a> {
    writer: &'a mut Writer,
    calendar: &'a Calendar,
    folder: &'a Path,
    last_event: &'a mut Option<i64>,
}

impl Output {
    pub(crate) fn create(
        folder: &Path,
        format: Format,
        extras: Extras,
    ) -> Result<Self, GenerateError> {
        let parts = folder.join(".rollbook-generate-parts");
        fs::create_dir_all(folder).map_err(cannot_write(folder))?;
        if parts.exists() {
            fs::remove_dir_all(&parts).map_err(cannot_write(&parts))?;
        }
        fs::create_dir(&parts).map_err(cannot_write(&parts))?;
        if extras.truth {
            let truth = folder.join("truth");
            fs::create_dir_all(&truth).map_err(cannot_write(&truth))?;
        }
        let is_asked_for = |table: Table| match table {
            _ if table.is_truth() => extras.truth,
            _ if Table::OF_SECOND_RECORDS.contains(&table) => extras.second_records,
            _ => true,
        };
        let tables = Table::all()
            .map(|table| is_asked_for(table).then(|| Writer::new(table, extras.second_records)))
            .collect();
        Ok(Self {
            folder: folder.to_owned(),
            format,
            calendar: Calendar::new(),
            tables,
            parts: PartsFolder(parts),
            last_event: None,
        })
    }

    /// Whether this file is written.
    pub(crate) fn has(&self, table: Table) -> bool {
        self.tables[table as usize].is_some()
    }

    /// Begins a row of a file that is [written](Self::has).
    pub(crate) fn row(&mut self, table: Table) -> Row<'_> {
        let writer = self.tables[table as usize]
            .as_mut()
            .expect("only files that were asked for get rows");
        writer.record.clear();
        Row {
            writer,
            calendar: &self.calendar,
            folder: &self.parts.0,
            last_event: &mut self.last_event,
        }
    }

    /// Joins the parts of each file into the final file, in the order of the canonical tables.
    pub(crate) fn finish(self) -> Result<Summary, GenerateError> {
        let mut files = Vec::new();
        for writer in self.tables.into_iter().flatten() {
            let (table, columns, rows) = (writer.table, writer.columns, writer.rows);
            let parts = writer.close(&self.parts.0)?;
            let (extension, join): (_, Join) = match self.format {
                Format::Parquet if !table.is_truth() => ("parquet", parquet::join),
                Format::Csv | Format::Parquet => ("csv", join_csv),
            };
            let path = self.folder.join(format!("{}.{extension}", table.name()));
            let joined = self.parts.0.join("joined");
            join(table, columns, &parts, &joined)?;
            fs::rename(&joined, &path).map_err(cannot_write(&path))?;
            for part in &parts {
                fs::remove_file(part).map_err(cannot_write(part))?;
            }
            let bytes = fs::metadata(&path).map_err(cannot_write(&path))?.len();
            files.push(WrittenFile {
                table: table.name(),
                path,
                rows,
                bytes,
            });
        }
        files.sort_by_key(|file| {
            let place = tables::TABLES
                .iter()
                .position(|table| table.name == file.table);
            place.unwrap_or(tables::TABLES.len())
        });
        let last_event = self
            .last_event
            .map(|second| Timestamp::from_micros(second * 1_000_000));
        Ok(Summary { files, last_event })
    }
}

/// Joins the parts of a table with those columns to a file.
type Join = fn(Table, &[&str], &[PathBuf], &Path) -> Result<(), GenerateError>;

impl Writer {
    fn new(table: Table, second_records: bool) -> Self {
        let parts = (0..MONTHS).map(|_| None).collect();
        Self {
            table,
            columns: table.columns(second_records),
            parts,
            rows: 0,
            record: ByteRecord::new(),
            cell: Vec::new(),
        }
    }

    fn write(&mut self, folder: &Path, part: usize) -> Result<(), GenerateError> {
        let path = || part_path(folder, self.table, part);
        let writer = match &mut self.parts[part] {
            Some(writer) => writer,
            slot => {
                let file = File::create(path()).map_err(cannot_write(&path()))?;
                let writer = csv::WriterBuilder::new()
                    .buffer_capacity(1 << 16)
                    .from_writer(file);
                slot.insert(writer)
            }
        };
        debug_assert_eq!(self.record.len(), self.columns.len(), "{:?}", self.table);
        writer
            .write_byte_record(&self.record)
            .map_err(|source| GenerateError::WriteRow {
                path: path(),
                source,
            })?;
        self.rows += 1;
        Ok(())
    }

    fn close(self, folder: &Path) -> Result<Vec<PathBuf>, GenerateError> {
        let mut paths = Vec::new();
        for (part, writer) in self.parts.into_iter().enumerate() {
            let Some(mut writer) = writer else { continue };
            let path = part_path(folder, self.table, part);
            writer.flush().map_err(cannot_write(&path))?;
            paths.push(path);
        }
        Ok(paths)
    }
}

impl Row<'_> {
    pub(crate) fn blank(self) -> Self {
        self.writer.record.push_field(b"");
        self
    }

    /// Writes a text; an empty text is a blank cell.
    pub(crate) fn text(self, text: &str) -> Self {
        self.writer.record.push_field(text.as_bytes());
        self
    }

    pub(crate) fn maybe_text(self, text: Option<&str>) -> Self {
        self.text(text.unwrap_or_default())
    }

    /// Writes the external id of the object with this number (from 0); a letter names its kind.
    pub(crate) fn id(self, kind: char, number: u64) -> Self {
        self.cell(|cell, _| write!(cell, "{kind}{}", number + 1))
    }

    pub(crate) fn maybe_id(self, kind: char, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.id(kind, number),
            None => self.blank(),
        }
    }

    pub(crate) fn int(self, number: i64) -> Self {
        self.cell(|cell, _| write!(cell, "{number}"))
    }

    /// Writes a non-negative number with two decimals, such as an amount given in cents.
    pub(crate) fn hundredths(self, number: i64) -> Self {
        debug_assert!(number >= 0, "a negative amount");
        self.cell(|cell, _| write!(cell, "{}.{:02}", number / 100, number % 100))
    }

    /// Writes a fraction given in thousandths.
    pub(crate) fn thousandths(self, number: u64) -> Self {
        self.cell(|cell, _| write!(cell, "{}.{:03}", number / 1_000, number % 1_000))
    }

    /// Writes a fraction given in millionths.
    pub(crate) fn millionths(self, number: u64) -> Self {
        self.cell(|cell, _| write!(cell, "{}.{:06}", number / 1_000_000, number % 1_000_000))
    }

    /// Writes a text that is built in place.
    pub(crate) fn written(self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Self {
        self.cell(|cell, _| write(cell))
    }

    pub(crate) fn flag(self, flag: bool) -> Self {
        self.text(if flag { "true" } else { "false" })
    }

    pub(crate) fn time(self, at: i64) -> Self {
        self.cell(|cell, calendar| {
            calendar.write_time(at, cell);
            Ok(())
        })
    }

    pub(crate) fn maybe_time(self, at: Option<i64>) -> Self {
        match at {
            Some(at) => self.time(at),
            None => self.blank(),
        }
    }

    pub(crate) fn day(self, at: i64) -> Self {
        let calendar = self.calendar;
        self.text(calendar.day(at))
    }

    pub(crate) fn maybe_day(self, at: Option<i64>) -> Self {
        match at {
            Some(at) => self.day(at),
            None => self.blank(),
        }
    }

    /// Ends the row of a fact that happened, or last changed, at `at`.
    pub(crate) fn end_at(self, at: i64) -> Result<(), GenerateError> {
        *self.last_event = (*self.last_event).max(Some(at));
        self.writer.write(self.folder, self.calendar.month(at))
    }

    /// Ends a row that has no time.
    pub(crate) fn end(self) -> Result<(), GenerateError> {
        self.writer.write(self.folder, 0)
    }

    /// Ends a row that comes after those ended by [end](Self::end).
    pub(crate) fn end_behind(self) -> Result<(), GenerateError> {
        self.writer.write(self.folder, MONTHS - 1)
    }

    fn cell(self, write: impl FnOnce(&mut Vec<u8>, &Calendar) -> io::Result<()>) -> Self {
        let cell = &mut self.writer.cell;
        cell.clear();
        write(cell, self.calendar).expect("writing to memory does not fail");
        self.writer.record.push_field(cell);
        self
    }
}

fn part_path(folder: &Path, table: Table, part: usize) -> PathBuf {
    folder.join(format!("{}.{part:02}", table as usize))
}

fn join_csv(
    _: Table,
    columns: &[&str],
    parts: &[PathBuf],
    path: &Path,
) -> Result<(), GenerateError> {
    let mut file = BufWriter::new(File::create(path).map_err(cannot_write(path))?);
    writeln!(file, "{}", columns.join(",")).map_err(cannot_write(path))?;
    let mut file = file
        .into_inner()
        .map_err(|error| error.into_error())
        .map_err(cannot_write(path))?;
    for part in parts {
        let mut part = File::open(part).map_err(cannot_write(part))?;
        io::copy(&mut part, &mut file).map_err(cannot_write(path))?;
    }
    Ok(())
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> GenerateError {
    let path = path.to_owned();
    move |source| GenerateError::Write { path, source }
}
