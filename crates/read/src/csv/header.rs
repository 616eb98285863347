//! The header of a CSV file: the delimiter and the names of the columns.

use memchr::memchr;

use super::scan::{CsvFault, Fields, Scan, scan};
use crate::window::{LONGEST_RECORD, Window, line_end};
use crate::{ReadError, SourceFile};

/// Number of bytes searched for the delimiter, since an unclosed quote may seem to make one record of the
/// whole file.
const LOOKED_AT: usize = 64 << 10;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The header of a file.
pub(super) struct Header {
    pub(super) delimiter: u8,
    pub(super) names: Vec<String>,
}

/// Reads the header, and moves the window to the line after it.
pub(super) fn read(window: &mut Window, file: &SourceFile) -> Result<Header, ReadError> {
    let mut chosen = None;
    loop {
        let Some((content, next)) = line_end(window.bytes(), window.ended()) else {
            fill(window, file)?;
            continue;
        };
        let line = &window.bytes()[..content];
        if window.ended() && window.bytes().is_empty() {
            return Err(ReadError::Empty {
                file: file.label.clone(),
            });
        }
        if let Some(delimiter) = spreadsheet_hint(line) {
            chosen = Some(delimiter);
        } else if !line.trim_ascii().is_empty() {
            break;
        }
        window.consume(next, 1);
    }
    let mut fields = Fields::default();
    loop {
        let (bytes, ended) = (window.bytes(), window.ended());
        let (found, is_whole) = most_frequent(&bytes[..bytes.len().min(LOOKED_AT)]);
        if chosen.is_none() && !is_whole && !ended && bytes.len() < LOOKED_AT {
            fill(window, file)?;
            continue;
        }
        let delimiter = chosen.unwrap_or(found);
        match scan(bytes, ended, delimiter, &mut fields) {
            Scan::More => fill(window, file)?,
            Scan::BadQuoting { fault, field, .. } => {
                let what = match fault {
                    CsvFault::TextAfterQuote => "text follows its closing quote",
                    CsvFault::NeverClosed => "its opening quote is never closed",
                };
                return Err(bad(window, file, format!("name {}: {what}", field + 1)));
            }
            Scan::Record { next, .. } => {
                let Ok(text) = std::str::from_utf8(fields.text()) else {
                    return Err(bad(window, file, "it is not valid text".to_owned()));
                };
                let names = fields
                    .ranges()
                    .map(|range| text.get(range).map(str::to_owned));
                let Some(names) = names.collect() else {
                    return Err(bad(window, file, "it is not valid text".to_owned()));
                };
                window.consume_counting(next);
                return Ok(Header { delimiter, names });
            }
        }
    }
}

fn bad(window: &Window, file: &SourceFile, reason: String) -> ReadError {
    ReadError::Header {
        file: file.label.clone(),
        line: window.line(),
        reason,
    }
}

fn fill(window: &mut Window, file: &SourceFile) -> Result<(), ReadError> {
    if window.bytes().len() >= LONGEST_RECORD {
        let reason = format!("it is longer than {} MiB", LONGEST_RECORD >> 20);
        return Err(bad(window, file, reason));
    }
    window.fill().map_err(|error| file.io_error(error))
}

/// The delimiter declared by a line such as `sep=;`, which spreadsheets write above the header.
fn spreadsheet_hint(line: &[u8]) -> Option<u8> {
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => {
            DELIMITERS.contains(delimiter).then_some(*delimiter)
        }
        _ => None,
    }
}

/// The most frequent delimiter outside quotes in the first record, and whether the record ends in these
/// bytes.
fn most_frequent(bytes: &[u8]) -> (u8, bool) {
    let mut counts = [0_usize; DELIMITERS.len()];
    let (mut quoted, mut is_whole) = (false, false);
    for byte in bytes {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => {
                is_whole = true;
                break;
            }
            _ if quoted => {}
            _ => {
                if let Some(index) = memchr(*byte, &DELIMITERS) {
                    counts[index] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let first = counts.iter().position(|count| *count == most);
    let delimiter = first.map_or(b',', |index| DELIMITERS[index]);
    (delimiter, is_whole)
}

#[cfg(test)]
mod tests {
    use super::most_frequent;

    #[test]
    fn the_delimiter_is_the_one_used_most_outside_quotes() {
        let check = |header: &str, expected| {
            let (found, is_whole) = most_frequent(header.as_bytes());
            assert_eq!((found, is_whole), (expected, true), "{header}");
        };
        check("a,b,c\n1;2;3;4;5\n", b',');
        check("a;b;\"c,d,e,f\"\n", b';');
        check("a\tb|c\td\n", b'\t');
        check("a|b\n", b'|');
        check("alone\n", b',');
        check("\"two\nlines\";b\nx,y,z\n", b';');
    }
}
