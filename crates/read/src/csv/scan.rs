//! Scanner for one CSV record: finds its end and its fields in the bytes in memory.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr3};

use crate::window::{LONGEST_RECORD, after_line_end, line_ends};

const QUOTE: u8 = b'"';

/// Maximum distance of a closing quote from its opening one, in bytes and in lines. A quote that is never
/// closed would otherwise swallow the rest of the file.
const FARTHEST_QUOTE: usize = 1 << 20;
const FARTHEST_QUOTE_LINES: i64 = 10_000;

/// The start of the bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// A complete record of `content` bytes; the next one begins at `next`.
    Record { content: usize, next: usize },
    /// An invalid record; lines up to `reach` are in doubt.
    BadQuoting {
        fault: CsvFault,
        field: usize,
        reach: usize,
    },
    /// A record that goes on beyond the bytes in memory.
    More,
}

/// Errors in quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CsvFault {
    TextAfterQuote,
    NeverClosed,
}

/// The fields of a record, without quotes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Whether there is a quote inside a field that does not begin with one.
    pub(super) stray_quote: bool,
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of all fields, concatenated.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The range of each field in the text.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.stray_quote = false;
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Splits a line that has no quotes into fields.
pub(super) fn split(line: &[u8], delimiter: u8, ranges: &mut Vec<Range<usize>>) {
    ranges.clear();
    let mut start = 0;
    for end in memchr_iter(delimiter, line) {
        ranges.push(start..end);
        start = end + 1;
    }
    ranges.push(start..line.len());
}

/// Reads the record at the start of `bytes` into `fields`; `ended` says that the file ends after `bytes`.
pub(super) fn scan(bytes: &[u8], ended: bool, delimiter: u8, fields: &mut Fields) -> Scan {
    fields.clear();
    let mut at = 0;
    loop {
        if bytes.get(at) == Some(&QUOTE) {
            match quoted(bytes, at, ended, fields) {
                Quoted::Closed(after) => at = after,
                Quoted::More => return more(bytes, fields),
                Quoted::Bad { fault, reach } => {
                    return Scan::BadQuoting {
                        fault,
                        field: fields.len(),
                        reach,
                    };
                }
            }
        } else {
            let rest = &bytes[at..];
            let length = match memchr3(delimiter, b'\n', b'\r', rest) {
                Some(length) => length,
                None if ended => rest.len(),
                None => return Scan::More,
            };
            let field = &rest[..length];
            fields.stray_quote |= memchr(QUOTE, field).is_some();
            fields.text.extend_from_slice(field);
            at += length;
        }
        // What follows a field is a delimiter, the end of the line, or the end of the file.
        match bytes.get(at) {
            Some(byte) if *byte == delimiter => {
                fields.end_field();
                at += 1;
            }
            Some(b'\n' | b'\r') => {
                let Some(next) = after_line_end(bytes, at, ended) else {
                    return Scan::More;
                };
                fields.end_field();
                return Scan::Record { content: at, next };
            }
            Some(_) => {
                let fault = CsvFault::TextAfterQuote;
                return Scan::BadQuoting {
                    fault,
                    field: fields.len(),
                    reach: at,
                };
            }
            None if ended => {
                fields.end_field();
                return Scan::Record {
                    content: at,
                    next: at,
                };
            }
            None => return Scan::More,
        }
    }
}

enum Quoted {
    /// The position after the closing quote.
    Closed(usize),
    Bad {
        fault: CsvFault,
        reach: usize,
    },
    More,
}

/// Reads the quoted field whose opening quote is at `open`.
fn quoted(bytes: &[u8], open: usize, ended: bool, fields: &mut Fields) -> Quoted {
    let mut at = open + 1;
    let mut lines = 0;
    loop {
        let farthest = bytes.len().min(open + FARTHEST_QUOTE);
        let searched = &bytes[at.min(farthest)..farthest];
        let found = memchr(QUOTE, searched);
        let piece = &searched[..found.unwrap_or(searched.len())];
        lines += line_ends(piece);
        let too_far = lines > FARTHEST_QUOTE_LINES || (found.is_none() && farthest < bytes.len());
        let reach = at + piece.len();
        let Some(length) = found.filter(|_| !too_far) else {
            if too_far || ended {
                return Quoted::Bad {
                    fault: CsvFault::NeverClosed,
                    reach,
                };
            }
            return Quoted::More;
        };
        fields.text.extend_from_slice(piece);
        at += length + 1;
        match bytes.get(at) {
            Some(&QUOTE) => {
                fields.text.push(QUOTE);
                at += 1;
            }
            None if !ended => return Quoted::More,
            _ => return Quoted::Closed(at),
        }
    }
}

/// Asks for more bytes; a record of many quoted fields that does not end is wrongly quoted as well.
fn more(bytes: &[u8], fields: &Fields) -> Scan {
    if bytes.len() < LONGEST_RECORD {
        return Scan::More;
    }
    Scan::BadQuoting {
        fault: CsvFault::NeverClosed,
        field: fields.len(),
        reach: bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::{CsvFault, Fields, Scan, scan};

    fn check(text: &str, expected: &[&str], next: usize) {
        let mut fields = Fields::default();
        let found = scan(text.as_bytes(), true, b',', &mut fields);
        assert!(
            matches!(found, Scan::Record { next: n, .. } if n == next),
            "{text:?}: {found:?}"
        );
        let all = std::str::from_utf8(fields.text()).unwrap();
        let read: Vec<&str> = fields.ranges().map(|range| &all[range]).collect();
        assert_eq!(read, expected, "{text:?}");
        // Whatever comes in pieces is the same, or waits for more.
        for cut in 0..next {
            let part = scan(&text.as_bytes()[..cut], false, b',', &mut fields);
            assert_eq!(part, Scan::More, "{:?}", &text[..cut]);
        }
    }

    fn check_bad(text: &str, fault: CsvFault, field: usize, reach: usize) {
        let found = scan(text.as_bytes(), true, b',', &mut Fields::default());
        assert_eq!(
            found,
            Scan::BadQuoting {
                fault,
                field,
                reach
            },
            "{text:?}"
        );
    }

    #[test]
    fn fields_are_split_and_quotes_taken_off() {
        check("a,b\nc", &["a", "b"], 4);
        check("a,\"b,c\"\r\n", &["a", "b,c"], 9);
        check("\"a \"\"b\"\" c\",\n", &["a \"b\" c", ""], 13);
        check("\"two\nlines\",x\ry", &["two\nlines", "x"], 14);
        check("\"\",\"\"\"\"\n", &["", "\""], 8);
        check("5\" pipe,x\n", &["5\" pipe", "x"], 10);
        check(" \"a\",b\n", &[" \"a\"", "b"], 7);
    }

    #[test]
    fn wrong_quotes_are_recognized() {
        check_bad("a,\"b\"c,d\n", CsvFault::TextAfterQuote, 1, 5);
        check_bad("\"a\" ,b\n", CsvFault::TextAfterQuote, 0, 3);
        check_bad("a,b,\"c\nd,e\n", CsvFault::NeverClosed, 2, 11);
        let long = format!("\"{}\"\n", "x".repeat(2 << 20));
        check_bad(&long, CsvFault::NeverClosed, 0, 1 << 20);
        let high = format!("\"{}\"\n", "\n".repeat(10_001));
        check_bad(&high, CsvFault::NeverClosed, 0, 10_002);
    }
}
