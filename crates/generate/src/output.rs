//! The files that a run writes: rows go to parts by month, and parts are joined at the end.
//!
//! A person's rows are made together, but files of a real system lie in the order of time. So rows
//! of facts go to one part for each month, and a file is its parts joined in order: neither sorted
//! by person nor by the second, and written in constant memory.

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

/// Where all rows go.
#[derive(Debug)]
pub(crate) struct Output {
    folder: PathBuf,
    format: Format,
    calendar: Calendar,
    tables: Vec<Writer>,
    /// Dropped last: it takes the parts away, whether the run came to its end or not.
    parts: PartsFolder,
    last_event: Option<i64>,
}

#[derive(Debug)]
struct Writer {
    table: Table,
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
    pub(crate) fn create(folder: &Path, format: Format) -> Result<Self, GenerateError> {
        let parts = folder.join(".rollbook-generate-parts");
        fs::create_dir_all(folder).map_err(cannot_write(folder))?;
        if parts.exists() {
            fs::remove_dir_all(&parts).map_err(cannot_write(&parts))?;
        }
        fs::create_dir(&parts).map_err(cannot_write(&parts))?;
        Ok(Self {
            folder: folder.to_owned(),
            format,
            calendar: Calendar::new(),
            tables: Table::ALL.map(Writer::new).into(),
            parts: PartsFolder(parts),
            last_event: None,
        })
    }

    /// Begins a row.
    pub(crate) fn row(&mut self, table: Table) -> Row<'_> {
        let writer = &mut self.tables[table as usize];
        writer.record.clear();
        Row {
            writer,
            calendar: &self.calendar,
            folder: &self.parts.0,
            last_event: &mut self.last_event,
        }
    }

    /// Joins the parts to the files that stay, in the order of the canonical tables.
    pub(crate) fn finish(self) -> Result<Summary, GenerateError> {
        let mut files = Vec::new();
        for writer in self.tables {
            let (table, rows) = (writer.table, writer.rows);
            let parts = writer.close(&self.parts.0)?;
            let (extension, join): (_, fn(_, &_, &_) -> _) = match self.format {
                Format::Csv => ("csv", join_csv),
                Format::Parquet => ("parquet", parquet::join),
            };
            let path = self.folder.join(format!("{}.{extension}", table.name()));
            let joined = self.parts.0.join("joined");
            join(table, &parts, &joined)?;
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
            tables::TABLES
                .iter()
                .position(|table| table.name == file.table)
        });
        let last_event = self
            .last_event
            .map(|second| Timestamp::from_micros(second * 1_000_000));
        Ok(Summary { files, last_event })
    }
}

impl Writer {
    fn new(table: Table) -> Self {
        let parts = (0..MONTHS).map(|_| None).collect();
        Self {
            table,
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
        debug_assert_eq!(
            self.record.len(),
            self.table.columns().len(),
            "{:?}",
            self.table
        );
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

    /// A text; an empty one is a blank.
    pub(crate) fn text(self, text: &str) -> Self {
        self.writer.record.push_field(text.as_bytes());
        self
    }

    pub(crate) fn maybe_text(self, text: Option<&str>) -> Self {
        self.text(text.unwrap_or_default())
    }

    /// The external id of number `number` (counted from 0) of a kind named by a letter.
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

    /// A number with two decimals, such as an amount of money given in cents, which is not negative.
    pub(crate) fn hundredths(self, number: i64) -> Self {
        debug_assert!(number >= 0, "a negative amount");
        self.cell(|cell, _| write!(cell, "{}.{:02}", number / 100, number % 100))
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

    /// Ends the row of a fact that happened, or was last known to change, at `at`.
    pub(crate) fn end_at(self, at: i64) -> Result<(), GenerateError> {
        *self.last_event = (*self.last_event).max(Some(at));
        self.writer.write(self.folder, self.calendar.month(at))
    }

    /// Ends a row that stands outside of time.
    pub(crate) fn end(self) -> Result<(), GenerateError> {
        self.writer.write(self.folder, 0)
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
    folder.join(format!("{}.{part:02}", table.name()))
}

fn join_csv(table: Table, parts: &[PathBuf], path: &Path) -> Result<(), GenerateError> {
    let mut file = BufWriter::new(File::create(path).map_err(cannot_write(path))?);
    writeln!(file, "{}", table.columns().join(",")).map_err(cannot_write(path))?;
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
