//! CSV as found in practice: wrongly quoted and ragged lines are refused, the others are read.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use memchr::memchr;

use crate::error::ReadError;
use crate::rows::BatchBuilder;
use crate::source::SourceFile;
use crate::window::{LONGEST_RECORD, Window, line_end};
use crate::{Refused, names, text};

mod header;
mod scan;
#[cfg(test)]
mod tests;

use scan::{CsvFault, Fields, Scan};

const QUOTE: u8 = b'"';

/// A CSV file after its header.
pub(super) struct Csv {
    file: SourceFile,
    encoding: &'static str,
    window: Window,
    delimiter: u8,
    columns: Vec<String>,
    rows: BatchBuilder,
    /// Lines that begin before this offset come after a wrong quote. A stray quote in them may be the end of
    /// a field that began earlier, so such lines are refused.
    doubtful_until: u64,
    fields: Fields,
    inner_fields: Fields,
    ranges: Vec<Range<usize>>,
}

/// The result of a step.
enum Step {
    /// The bytes were consumed.
    Done,
    /// More bytes are needed.
    More,
}

impl Csv {
    pub(super) fn open(
        file: &SourceFile,
        batch_rows: usize,
        chunk: usize,
    ) -> Result<Self, ReadError> {
        let charset = text::charset(file)?;
        let mut window = Window::new(text::open(file, charset)?, chunk);
        let header = header::read(&mut window, file)?;
        names::not_too_many(header.names.len(), file)?;
        let columns = names::unique(header.names.iter().map(String::as_str));
        let rows = BatchBuilder::new(&columns, &file.label, batch_rows);
        Ok(Self {
            file: file.clone(),
            encoding: charset.encoding.name(),
            window,
            delimiter: header.delimiter,
            columns,
            rows,
            doubtful_until: 0,
            fields: Fields::default(),
            inner_fields: Fields::default(),
            ranges: Vec::new(),
        })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    /// Reads until a batch is full, as many rows are refused, or the file ends.
    pub(super) fn next_batch(
        &mut self,
        refused: &mut Vec<Refused>,
    ) -> Result<Option<RecordBatch>, ReadError> {
        let most_refused = refused.len() + self.rows.capacity();
        while !self.rows.is_full() && refused.len() < most_refused {
            let at_end = self.window.ended() && self.window.bytes().is_empty();
            if at_end {
                let left = !self.rows.is_empty();
                return Ok(left.then(|| self.rows.take()));
            }
            match self.step(refused) {
                Step::Done => {}
                Step::More if self.window.bytes().len() >= LONGEST_RECORD => {
                    self.refuse_endless_line(refused)?;
                }
                Step::More => self
                    .window
                    .fill()
                    .map_err(|error| self.file.io_error(error))?,
            }
        }
        Ok(Some(self.rows.take()))
    }

    /// Reads one record, if the bytes in memory contain it.
    fn step(&mut self, refused: &mut Vec<Refused>) -> Step {
        let (bytes, ended) = (self.window.bytes(), self.window.ended());
        let Some((content, next)) = line_end(bytes, ended) else {
            return Step::More;
        };
        let line = &bytes[..content];
        if line.trim_ascii().is_empty() {
            self.window.consume(next, 1);
            return Step::Done;
        }
        if memchr(QUOTE, line).is_none() {
            scan::split(line, self.delimiter, &mut self.ranges);
            let pads = self.file.pads_short_lines;
            let result = match std::str::from_utf8(line) {
                Ok(text) => take(&mut self.rows, self.window.line(), text, &self.ranges, pads),
                Err(error) => Err(self.undecodable(error)),
            };
            if let Err(fault) = result {
                refused.push(self.refusal(fault, content));
            }
            self.window.consume(next, 1);
            return Step::Done;
        }
        match scan::scan(bytes, ended, self.delimiter, &mut self.fields) {
            Scan::More => return Step::More,
            Scan::BadQuoting {
                fault,
                field,
                reach,
            } => {
                self.doubtful_until = self.doubtful_until.max(self.window.offset() + reach as u64);
                refused.push(self.refusal(self.bad_quoting(fault, field), content));
                self.window.consume(next, 1);
            }
            Scan::Record { .. }
                if self.fields.stray_quote && self.window.offset() < self.doubtful_until =>
            {
                refused.push(self.refusal(in_doubt(), content));
                self.window.consume(next, 1);
            }
            Scan::Record { content, next } => {
                if let Err(fault) = self.take_quoted(content) {
                    refused.push(self.refusal(fault, content));
                }
                self.window.consume_counting(next);
            }
        }
        Step::Done
    }

    /// Takes the record in `fields`; one that is wrapped in quotes as a whole is unwrapped.
    fn take_quoted(&mut self, content: usize) -> Result<(), Bad> {
        let record = &self.window.bytes()[..content];
        std::str::from_utf8(record).map_err(|error| self.undecodable(error))?;
        let wrapped = self.fields.len() == 1 && self.columns.len() > 1;
        let unwrapped = wrapped
            && matches!(
                scan::scan(self.fields.text(), true, self.delimiter, &mut self.inner_fields),
                Scan::Record { next, .. } if next == self.fields.text().len()
            )
            && self.inner_fields.len() == self.columns.len();
        let fields = if unwrapped {
            &self.inner_fields
        } else {
            &self.fields
        };
        let text = std::str::from_utf8(fields.text()).map_err(|error| self.undecodable(error))?;
        self.ranges.clear();
        self.ranges.extend(fields.ranges());
        let pads = self.file.pads_short_lines;
        take(&mut self.rows, self.window.line(), text, &self.ranges, pads)
    }

    fn refuse_endless_line(&mut self, refused: &mut Vec<Refused>) -> Result<(), ReadError> {
        let line = self.window.line();
        let record = self
            .window
            .skip_line()
            .map_err(|error| self.file.io_error(error))?;
        let reason = format!("the line is longer than {} MiB", LONGEST_RECORD >> 20);
        let bad = Bad {
            code: "too_long",
            reason,
            column: None,
        };
        refused.push(bad.at(&self.file, line, record));
        Ok(())
    }

    fn refusal(&self, bad: Bad, content: usize) -> Refused {
        let record = String::from_utf8_lossy(&self.window.bytes()[..content]).into_owned();
        bad.at(&self.file, self.window.line(), record)
    }

    fn undecodable(&self, error: std::str::Utf8Error) -> Bad {
        let (at, encoding) = (error.valid_up_to() + 1, self.encoding);
        let reason = format!("byte {at} of the record is not valid {encoding}");
        Bad {
            code: "bad_encoding",
            reason,
            column: None,
        }
    }

    fn bad_quoting(&self, fault: CsvFault, field: usize) -> Bad {
        let what = match fault {
            CsvFault::TextAfterQuote => "text follows the closing quote of",
            CsvFault::NeverClosed => "no closing quote follows the opening one of",
        };
        let reason = format!("{what} field {}", field + 1);
        Bad {
            code: "bad_quoting",
            reason,
            column: self.columns.get(field).cloned(),
        }
    }
}

/// The reason why a record is refused.
struct Bad {
    code: &'static str,
    reason: String,
    column: Option<String>,
}

impl Bad {
    fn at(self, file: &SourceFile, line: i64, record: String) -> Refused {
        let Self {
            code,
            reason,
            column,
        } = self;
        Refused {
            file: file.label.clone(),
            line,
            column,
            code,
            reason,
            value: None,
            record,
        }
    }
}

fn in_doubt() -> Bad {
    let reason = "a quote stands inside a field, and a line above has an unbalanced one: the start of the field is not certain";
    Bad {
        code: "bad_quoting",
        reason: reason.to_owned(),
        column: None,
    }
}

/// Takes a record whose fields are the `ranges` of `text`, if it has as many as the header, or fewer if the
/// file `pads` them.
fn take(
    rows: &mut BatchBuilder,
    line: i64,
    text: &str,
    ranges: &[Range<usize>],
    pads: bool,
) -> Result<(), Bad> {
    let expected = rows.width();
    if ranges.len() != expected && !(pads && ranges.len() < expected) {
        let plural = if ranges.len() == 1 { "" } else { "s" };
        let reason = format!(
            "the row has {} field{plural} where the header has {expected}",
            ranges.len()
        );
        return Err(Bad {
            code: "ragged",
            reason,
            column: None,
        });
    }
    let fields = ranges.iter().map(|range| Some(&text[range.clone()]));
    let blanks = std::iter::repeat_n(None, expected - ranges.len());
    rows.push(line, fields.chain(blanks));
    Ok(())
}
