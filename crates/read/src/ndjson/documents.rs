//! The JSON documents of a file, one per line or in one array, each with the line on which it begins.

use std::io;

use super::object::{self, JsonFault};
use crate::window::{LONGEST_RECORD, Window, line_end};
use crate::{ReadError, SourceFile};

/// One JSON document, not parsed yet.
pub(super) struct Document<'a> {
    /// The physical line on which it begins, from 1.
    pub(super) line: i64,
    bytes: &'a [u8],
    whole: bool,
}

impl<'a> Document<'a> {
    /// The document's text, if it is complete and can be decoded.
    pub(super) fn text(&self) -> Result<&'a str, JsonFault> {
        if !self.whole {
            return Err(JsonFault::TooLong);
        }
        std::str::from_utf8(self.bytes).map_err(|error| JsonFault::Encoding(error.valid_up_to()))
    }

    /// The document's text, with U+FFFD for undecodable bytes.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(self.bytes).into_owned()
    }
}

/// The documents of a file, from the first on.
pub(super) struct Documents {
    window: Window,
    in_array: bool,
    /// Bytes of the document returned last, to be skipped.
    handed_out: usize,
    too_long: String,
}

impl Documents {
    /// Finds out whether the file is one array or has one document per line.
    pub(super) fn open(mut window: Window, file: &SourceFile) -> Result<Self, ReadError> {
        let io_error = |error| file.io_error(error);
        skip_blank(&mut window, b"").map_err(io_error)?;
        let Some(first) = window.bytes().first().copied() else {
            return Err(ReadError::Empty {
                file: file.label.clone(),
            });
        };
        let in_array = first == b'[';
        if in_array {
            window.consume(1, 0);
        } else {
            let end = loop {
                match line_end(window.bytes(), window.ended()) {
                    Some((end, _)) => break end,
                    None if window.bytes().len() >= LONGEST_RECORD => break 0,
                    None => window.fill().map_err(io_error)?,
                }
            };
            if window.bytes()[..end].trim_ascii() == b"{" {
                return Err(ReadError::JsonDocument {
                    file: file.label.clone(),
                });
            }
        }
        Ok(Self {
            window,
            in_array,
            handed_out: 0,
            too_long: String::new(),
        })
    }

    /// The next document, or `None` after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Document<'_>>> {
        let handed_out = std::mem::take(&mut self.handed_out);
        self.window.consume_counting(handed_out);
        skip_blank(&mut self.window, if self.in_array { b"," } else { b"" })?;
        if self.in_array && self.window.bytes().first() == Some(&b']') {
            // What follows the array, if anything does, is refused line by line.
            self.in_array = false;
            self.window.consume(1, 0);
            skip_blank(&mut self.window, b"")?;
        }
        loop {
            let (bytes, ended) = (self.window.bytes(), self.window.ended());
            if bytes.is_empty() && ended {
                return Ok(None);
            }
            let end = if self.in_array {
                object::value_end(bytes).filter(|end| *end < bytes.len() || ended)
            } else {
                line_end(bytes, ended).map(|(content, _)| content)
            };
            match end {
                // A byte that begins no value is a document of its own, to be refused.
                Some(end) => return Ok(Some(self.hand_out(end.max(1)))),
                None if ended => return Ok(Some(self.hand_out(bytes.len()))),
                None if bytes.len() >= LONGEST_RECORD => return self.skip_too_long().map(Some),
                None => self.window.fill()?,
            }
        }
    }

    fn hand_out(&mut self, bytes: usize) -> Document<'_> {
        self.handed_out = bytes;
        Document {
            line: self.window.line(),
            bytes: &self.window.bytes()[..bytes],
            whole: true,
        }
    }

    fn skip_too_long(&mut self) -> io::Result<Document<'_>> {
        let line = self.window.line();
        self.too_long = self.window.skip_line()?;
        Ok(Document {
            line,
            bytes: self.too_long.as_bytes(),
            whole: false,
        })
    }
}

/// Skips whitespace and the bytes in `also`.
fn skip_blank(window: &mut Window, also: &[u8]) -> io::Result<()> {
    loop {
        let bytes = window.bytes();
        let blank = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace() || also.contains(byte))
            .count();
        // A CR at the end may be half of a line end, which must be counted once.
        let halved = blank == bytes.len() && !window.ended() && bytes.last() == Some(&b'\r');
        let all = blank == bytes.len() && !window.ended();
        window.consume_counting(blank - usize::from(halved));
        if !all {
            return Ok(());
        }
        window.fill()?;
    }
}
