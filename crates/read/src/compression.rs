//! The compression of files, detected from their first bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Serialize;

/// The compression of a file, detected from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// None.
    None,
    /// gzip, with one or more members.
    Gzip,
    /// Zstandard, with one or more frames.
    Zstd,
}

impl Compression {
    /// The compression of content that begins with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A Zstandard frame, or a skippable one before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The decompressed content, cut after `most` + 1 bytes.
    ///
    /// # Errors
    /// The bytes are not compressed this way, or are cut short.
    pub fn unpack(self, bytes: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let source = self.unpacking(bytes)?;
        source
            .take(most.saturating_add(1))
            .read_to_end(&mut content)?;
        Ok(content)
    }

    /// Whether the decompressed content of a file has at most this many bytes. Content that cannot be
    /// decompressed counts as within: reading it reports the error.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn is_within(self, path: &Path, most: u64) -> io::Result<bool> {
        let source = self.unpacking(BufReader::new(File::open(path)?))?;
        let size = io::copy(&mut source.take(most.saturating_add(1)), &mut io::sink());
        Ok(size.unwrap_or(0) <= most)
    }

    fn unpacking<'a>(self, bytes: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(bytes),
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain bytes",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}
