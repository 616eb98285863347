//! A refillable window on a stream of bytes that tracks its position in the file.

use std::io::{self, Read};

use memchr::{memchr2, memchr2_iter};

/// Bytes per read.
pub(super) const CHUNK: usize = 256 * 1024;

/// Maximum length of a record in bytes; it bounds the memory of a reader.
pub(super) const LONGEST_RECORD: usize = 16 << 20;

/// The unread part of a file that is in memory.
pub(super) struct Window {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    ended: bool,
    offset: u64,
    line: i64,
}

impl Window {
    /// Reads `source` in pieces of `chunk` bytes.
    pub(super) fn new(source: Box<dyn Read + Send>, chunk: usize) -> Self {
        let buffer = vec![0; chunk.max(1)];
        Self {
            source,
            buffer,
            start: 0,
            filled: 0,
            ended: false,
            offset: 0,
            line: 1,
        }
    }

    /// The unconsumed bytes in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Whether the file ends after the bytes in memory.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The number of bytes consumed so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The physical line, from 1, on which the bytes in memory begin.
    pub(super) fn line(&self) -> i64 {
        self.line
    }

    /// Reads more bytes after those in memory, or finds the end of the file.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        while self.filled < self.buffer.len() && !self.ended {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Consumes `bytes` bytes, which contain `lines` line ends.
    pub(super) fn consume(&mut self, bytes: usize, lines: i64) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.line += lines;
        debug_assert!(self.start <= self.filled, "consumed more than there is");
    }

    /// Consumes `bytes` bytes, counting the line ends in them.
    pub(super) fn consume_counting(&mut self, bytes: usize) {
        let lines = line_ends(&self.bytes()[..bytes]);
        self.consume(bytes, lines);
    }

    /// Skips the rest of a line that is too long for memory; returns its start.
    pub(super) fn skip_line(&mut self) -> io::Result<String> {
        const KEPT: usize = 64 * 1024;
        let kept = self.bytes().len().min(KEPT);
        let beginning = String::from_utf8_lossy(&self.bytes()[..kept]).into_owned();
        loop {
            if let Some((_, next)) = line_end(self.bytes(), self.ended) {
                self.consume(next, 1);
                return Ok(beginning);
            }
            // The last byte stays: it may be the first half of a CRLF.
            let all_but_last = self.bytes().len().saturating_sub(1);
            self.consume(all_but_last, 0);
            self.fill()?;
        }
    }
}

/// The end of the first line's content and the start of the next line, if both are in memory.
///
/// A line ends with LF, CRLF, a lone CR or the end of the file.
pub(super) fn line_end(bytes: &[u8], ended: bool) -> Option<(usize, usize)> {
    match memchr2(b'\n', b'\r', bytes) {
        Some(end) => after_line_end(bytes, end, ended).map(|next| (end, next)),
        None => ended.then_some((bytes.len(), bytes.len())),
    }
}

/// The start of the line after the line end at `end`.
pub(super) fn after_line_end(bytes: &[u8], end: usize, ended: bool) -> Option<usize> {
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Some(end + 2),
        (b'\r', None) if !ended => None,
        _ => Some(end + 1),
    }
}

/// The number of line ends in `bytes`.
pub(super) fn line_ends(bytes: &[u8]) -> i64 {
    let counted = memchr2_iter(b'\n', b'\r', bytes)
        .filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'))
        .count();
    i64::try_from(counted).expect("a buffer has fewer lines than i64 counts")
}

#[cfg(test)]
mod tests {
    use super::{Window, line_end, line_ends};

    #[test]
    fn all_line_ends_are_recognized() {
        let check = |text: &str, ended, expected| {
            assert_eq!(line_end(text.as_bytes(), ended), expected, "{text:?}");
        };
        check("a\nb", false, Some((1, 2)));
        check("a\r\nb", false, Some((1, 3)));
        check("a\rb", false, Some((1, 2)));
        check("a\r", false, None);
        check("a\r", true, Some((1, 2)));
        check("a", false, None);
        check("a", true, Some((1, 1)));
        assert_eq!(line_ends(b"a\nb\r\nc\rd\r\r\n"), 5);
    }

    #[test]
    fn overlong_line_is_skipped_in_pieces() {
        let text = format!("{}\r\nnext", "x".repeat(100));
        let mut window = Window::new(Box::new(std::io::Cursor::new(text)), 3);
        window.fill().unwrap();
        assert_eq!(window.skip_line().unwrap(), "xxx");
        while !window.ended() {
            window.fill().unwrap();
        }
        assert_eq!(
            (window.bytes(), window.line(), window.offset()),
            (&b"next"[..], 2, 102)
        );
    }
}
