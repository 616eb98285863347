//! Text files as a stream of UTF-8, whatever their encoding.
//!
//! Bytes that cannot be decoded stay invalid UTF-8 in the stream, so that the reader after it refuses the
//! row that has them; nothing is replaced.

use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::ReadError;
use crate::source::SourceFile;
use crate::window::CHUNK;

/// A byte that never occurs in UTF-8: it replaces undecodable bytes of the source.
const UNDECODABLE: u8 = 0xff;

/// Number of bytes from which an encoding is detected.
const GUESSED_FROM: usize = 4 << 20;

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charset {
    /// The encoding.
    pub(super) encoding: &'static Encoding,
    /// Bytes of the byte order mark.
    mark: usize,
}

/// The declared encoding of a file; if there is none, the detected one.
///
/// A byte order mark overrides both. The file is read once, and refused if it has NUL bytes.
pub(super) fn charset(file: &SourceFile) -> Result<Charset, ReadError> {
    match file.charset {
        Some(declared) => as_declared(file, declared.encoding()),
        None => found_out(file),
    }
}

fn as_declared(file: &SourceFile, encoding: &'static Encoding) -> Result<Charset, ReadError> {
    let mut source = file.open()?;
    let mut chunk = vec![0; CHUNK];
    let mut position = 0;
    let mut charset = None;
    loop {
        let read = read_full(&mut *source, &mut chunk).map_err(|error| file.io_error(error))?;
        let bytes = &chunk[..read];
        let declared = || byte_order_mark(bytes).unwrap_or(Charset { encoding, mark: 0 });
        let charset = *charset.get_or_insert_with(declared);
        let may_hold_nul = [UTF_16LE, UTF_16BE].contains(&charset.encoding);
        if read == 0 || may_hold_nul {
            return Ok(charset);
        }
        if let Some(at) = memchr::memchr(0, bytes) {
            return Err(not_text(file, position + at as u64));
        }
        position += read as u64;
    }
}

fn not_text(file: &SourceFile, position: u64) -> ReadError {
    ReadError::NotText {
        file: file.label.clone(),
        position,
    }
}

fn found_out(file: &SourceFile) -> Result<Charset, ReadError> {
    let mut source = file.open()?;
    let mut chunk = vec![0; CHUNK];
    let mut carried = 0;
    let mut position = 0;
    let mut mark = None;
    loop {
        let read =
            read_full(&mut *source, &mut chunk[carried..]).map_err(|error| file.io_error(error))?;
        let filled = carried + read;
        let bytes = &chunk[..filled];
        let mark = match mark {
            Some(mark) => mark,
            None => match byte_order_mark(bytes) {
                Some(charset) if charset.encoding == UTF_8 => *mark.insert(charset.mark),
                Some(charset) => return Ok(charset),
                None => *mark.insert(0),
            },
        };
        if let Some(at) = memchr::memchr(0, bytes) {
            return Err(not_text(file, position + at as u64));
        }
        let ended = read == 0;
        match std::str::from_utf8(bytes) {
            Ok(_) => carried = 0,
            Err(error) if error.error_len().is_none() && !ended => {
                carried = filled - error.valid_up_to();
            }
            Err(_) => return guess(file, mark),
        }
        if ended {
            return Ok(Charset {
                encoding: UTF_8,
                mark,
            });
        }
        position += (filled - carried) as u64;
        chunk.copy_within(filled - carried..filled, 0);
    }
}

/// The content of the file in UTF-8, without a byte order mark.
pub(super) fn open(file: &SourceFile, charset: Charset) -> Result<Box<dyn Read + Send>, ReadError> {
    let mut source = file.open()?;
    let mut mark = vec![0; charset.mark];
    source
        .read_exact(&mut mark)
        .map_err(|error| file.io_error(error))?;
    if charset.encoding == UTF_8 {
        return Ok(source);
    }
    Ok(Box::new(Transcoded::new(source, charset.encoding, CHUNK)))
}

/// Reads until `buffer` is full or the source ends.
fn read_full(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn byte_order_mark(bytes: &[u8]) -> Option<Charset> {
    let (encoding, mark) = Encoding::for_bom(bytes)?;
    debug_assert!([UTF_8, UTF_16LE, UTF_16BE].contains(&encoding));
    Some(Charset { encoding, mark })
}

/// The likely encoding of a file that is not entirely UTF-8.
///
/// Text in another encoding hardly ever forms valid UTF-8 sequences of several bytes by chance. If most of
/// them are valid, the file is UTF-8 with a few damaged rows, and reading it in another encoding would garble
/// all the others.
fn guess(file: &SourceFile, mark: usize) -> Result<Charset, ReadError> {
    if mark > 0 {
        return Ok(Charset {
            encoding: UTF_8,
            mark,
        });
    }
    let mut bytes = Vec::new();
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let (mut valid, mut invalid, mut fed) = (0_usize, 0_usize, 0_usize);
    let mut source = file.open()?;
    loop {
        bytes.clear();
        let mut piece = (&mut source).take(CHUNK as u64);
        if piece
            .read_to_end(&mut bytes)
            .map_err(|error| file.io_error(error))?
            == 0
        {
            break;
        }
        if bytes.is_ascii() {
            continue;
        }
        for part in bytes.utf8_chunks() {
            valid += part.valid().chars().filter(|c| !c.is_ascii()).count();
            invalid += usize::from(!part.invalid().is_empty());
        }
        if fed < GUESSED_FROM {
            detector.feed(&bytes, false);
            fed += bytes.len();
        }
    }
    detector.feed(&[], true);
    let encoding = if valid > 4 * invalid {
        UTF_8
    } else {
        detector.guess(None, Utf8Detection::Deny)
    };
    Ok(Charset { encoding, mark })
}

/// A source in another encoding, read as UTF-8.
struct Transcoded {
    source: Box<dyn Read + Send>,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    ended: bool,
}

impl Transcoded {
    fn new(source: Box<dyn Read + Send>, encoding: &'static Encoding, chunk: usize) -> Self {
        Self {
            source,
            decoder: encoding.new_decoder_without_bom_handling(),
            input: vec![0; chunk],
            output: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    fn decode_next(&mut self) -> io::Result<()> {
        let read = read_full(&mut *self.source, &mut self.input)?;
        self.ended = read == 0;
        self.output.clear();
        self.given = 0;
        let mut rest = &self.input[..read];
        loop {
            let written = self.output.len();
            let room = self
                .decoder
                .max_utf8_buffer_length_without_replacement(rest.len());
            self.output
                .resize(written + room.unwrap_or(rest.len()) + 4, 0);
            let target = &mut self.output[written..];
            let (result, taken, made) = self
                .decoder
                .decode_to_utf8_without_replacement(rest, target, self.ended);
            rest = &rest[taken..];
            self.output.truncate(written + made);
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.output.push(UNDECODABLE),
            }
        }
    }
}

impl Read for Transcoded {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() {
            if self.ended {
                return Ok(0);
            }
            self.decode_next()?;
        }
        let ready = &self.output[self.given..];
        let count = ready.len().min(target.len());
        target[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, UTF_16LE, WINDOWS_1252};

    use super::{Transcoded, charset, open};
    use crate::{Compression, Format, ReadError, SourceFile};

    fn file_of(content: &[u8]) -> (tempfile::NamedTempFile, SourceFile) {
        let kept = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kept.path(), content).unwrap();
        let file = SourceFile {
            path: kept.path().to_owned(),
            label: "x.csv".to_owned(),
            format: Format::Csv,
            compression: Compression::None,
            pads_short_lines: false,
            decimal_comma: false,
            charset: None,
        };
        (kept, file)
    }

    fn check(content: &[u8], encoding: &'static Encoding, expected: &[u8]) {
        let (_kept, file) = file_of(content);
        let charset = charset(&file).unwrap();
        assert_eq!(charset.encoding, encoding, "{content:?}");
        let mut read = Vec::new();
        open(&file, charset)
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn encoding_is_decided_by_mark_then_validity_then_detection() {
        check("naïve".as_bytes(), UTF_8, "naïve".as_bytes());
        check("\u{feff}naïve".as_bytes(), UTF_8, "naïve".as_bytes());
        check(b"\xff\xfeh\0\xe9\0", UTF_16LE, "hé".as_bytes());
        check(b"\xfe\xff\0h\0\xe9", encoding_rs::UTF_16BE, "hé".as_bytes());
        check(
            b"name;stadt\nJ\xfcrgen;K\xf6ln\nJos\xe9;M\xfcnchen\n",
            WINDOWS_1252,
            "name;stadt\nJürgen;Köln\nJosé;München\n".as_bytes(),
        );
        check(b"", UTF_8, b"");
    }

    #[test]
    fn declared_encoding_is_used() {
        let check = |content: &[u8], declared: &str, expected: &[u8]| {
            let (_kept, mut file) = file_of(content);
            file.charset = Some(declared.parse().unwrap());
            let mut read = Vec::new();
            let charset = charset(&file).unwrap();
            let mut text = open(&file, charset).unwrap();
            text.read_to_end(&mut read).unwrap();
            assert_eq!(read, expected, "{declared}");
        };
        check(b"Plze\xf2", "windows-1250", "Plzeň".as_bytes());
        check(b"Gy\xf5r", "iso-8859-2", "Győr".as_bytes());
        check(b"h\0\xe9\0", "utf-16le", "hé".as_bytes());
        // A mark says more; bytes without a meaning stay so.
        check("\u{feff}é".as_bytes(), "windows-1250", "é".as_bytes());
        check(b"Gy\xf5r", "utf-8", b"Gy\xf5r");
        let (_kept, mut file) = file_of(b"PK\x03\x04\0\0");
        file.charset = Some("windows-1252".parse().unwrap());
        assert!(matches!(
            charset(&file),
            Err(ReadError::NotText { position: 4, .. })
        ));
    }

    #[test]
    fn utf8_file_with_few_bad_bytes_stays_utf8() {
        let text = ["é".repeat(50).as_bytes(), b"\n\xe9\n"].concat();
        check(&text, UTF_8, &text);
    }

    #[test]
    fn character_across_two_chunks_is_whole() {
        let text = format!("{}é", "x".repeat(super::CHUNK - 1));
        check(text.as_bytes(), UTF_8, text.as_bytes());
    }

    #[test]
    fn binary_file_is_refused() {
        let (_kept, file) = file_of(b"PK\x03\x04\0\0");
        let error = charset(&file).unwrap_err();
        assert!(matches!(error, ReadError::NotText { position: 4, .. }));
        assert!(
            error
                .to_string()
                .starts_with("`x.csv` is not text: byte 4 is NUL"),
            "{error}"
        );
    }

    #[test]
    fn undecodable_bytes_stay_invalid() {
        for chunk in [1, 2, 3, 64] {
            let source = Box::new(Cursor::new(b"\x83\x65,\x83,\x83\x58\x83".to_vec()));
            let mut read = Vec::new();
            Transcoded::new(source, SHIFT_JIS, chunk)
                .read_to_end(&mut read)
                .unwrap();
            let expected = ["テ,".as_bytes(), b"\xff", ",ス".as_bytes(), b"\xff"].concat();
            assert_eq!(read, expected);
        }
    }
}
