//! The files to read: their names, formats and content.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Serialize;
use walkdir::WalkDir;

use crate::charset::DeclaredCharset;
use crate::compression::Compression;
use crate::error::ReadError;

mod sniff;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Fields between commas, semicolons, tabs or bars, with a header.
    Csv,
    /// A JSON object per line, or one array of objects.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Nothing that can be read as rows, such as a document, a picture or a script.
    Unknown,
}

/// A file that can be opened repeatedly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name for the user, shown in `_file`: the path as given, including the file.
    pub label: String,
    /// Its format.
    pub format: Format,
    /// Its compression.
    pub compression: Compression,
    /// Whether a line of CSV with too few fields is filled with blanks; else it is refused.
    pub pads_short_lines: bool,
    /// Whether numbers of JSON and Parquet become text with a decimal comma, the style of text numbers in the
    /// same mapping.
    pub decimal_comma: bool,
    /// The declared encoding of its text; without one, the encoding is detected.
    pub charset: Option<DeclaredCharset>,
}

impl SourceFile {
    /// The file's name without its folder and its compression suffix.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        unpacked_name(&name).to_owned()
    }

    /// A file with a given label instead of its path.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`] where its first bytes cannot be read.
    pub fn labelled(path: &Path, label: String) -> Result<Self, ReadError> {
        let unreadable = |source| ReadError::Unreadable {
            path: label.clone(),
            source,
        };
        let compression = compression_of(path).map_err(unreadable)?;
        let mut file = Self {
            path: path.to_owned(),
            label,
            format: Format::Unknown,
            compression,
            pads_short_lines: false,
            decimal_comma: false,
            charset: None,
        };
        file.format = sniff::format(&file);
        Ok(file)
    }

    /// The decompressed content, from the start.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, ReadError> {
        let file = File::open(&self.path).map_err(|source| self.io_error(source))?;
        Ok(match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::new(file))),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(file);
                Box::new(decoder.map_err(|source| self.io_error(source))?)
            }
        })
    }

    /// The error for a failure to read or decompress this file.
    pub(super) fn io_error(&self, source: io::Error) -> ReadError {
        match self.compression {
            Compression::None => ReadError::Unreadable {
                path: self.label.clone(),
                source,
            },
            compression => ReadError::Damaged {
                file: self.label.clone(),
                compression,
                source,
            },
        }
    }
}

/// The files at `paths`: each file itself, and all files below each folder, in order of name.
///
/// Hidden files and folders are skipped, and a file that two paths lead to is listed once. Files of unknown
/// format are listed with `Format::Unknown`, so that the caller can report them.
///
/// # Errors
/// [`ReadError::Missing`] where a path leads nowhere; [`ReadError::NotAFile`] for a pipe, socket or device;
/// [`ReadError::Unlistable`] for a folder that cannot be listed; [`ReadError::Unreadable`] for a file that
/// cannot be opened.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<SourceFile>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        let given = path.display().to_string();
        let kind = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReadError::Missing {
                path: given.clone(),
            },
            _ => ReadError::Unreadable {
                path: given.clone(),
                source,
            },
        })?;
        if kind.is_dir() {
            walk(path, &mut files)?;
        } else if kind.is_file() {
            files.push(SourceFile::labelled(path, given)?);
        } else {
            return Err(ReadError::NotAFile { path: given });
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| {
        seen.insert(fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone()))
    });
    Ok(files)
}

/// Copies `stdin` into a new file in `dir`, because a reader reads a file more than once.
///
/// `name` is the file name to use, such as `orders.csv`: mappings match it. If its extension is unknown, the
/// content decides the format.
///
/// # Errors
/// [`ReadError::Spool`] where the file exists already or cannot be written; [`ReadError::Unreadable`] where
/// it cannot be read back.
pub fn spool(mut stdin: impl Read, name: &str, dir: &Path) -> Result<SourceFile, ReadError> {
    let name = Path::new(name).file_name().unwrap_or("stdin".as_ref());
    let path = dir.join(name);
    let failed = |source| ReadError::Spool {
        folder: dir.display().to_string(),
        source,
    };
    let mut file = File::create_new(&path).map_err(failed)?;
    io::copy(&mut stdin, &mut file).map_err(failed)?;
    SourceFile::labelled(&path, format!("<stdin>/{}", name.to_string_lossy()))
}

fn walk(folder: &Path, files: &mut Vec<SourceFile>) -> Result<(), ReadError> {
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let entries = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()));
    for entry in entries {
        let entry = entry.map_err(|source| ReadError::Unlistable {
            folder: folder.display().to_string(),
            source,
        })?;
        if entry.file_type().is_file() {
            files.push(SourceFile::labelled(
                entry.path(),
                entry.path().display().to_string(),
            )?);
        }
    }
    Ok(())
}

fn unpacked_name(name: &str) -> &str {
    [".gz", ".gzip", ".zst", ".zstd"]
        .into_iter()
        .find_map(|ending| {
            let cut = name.len().checked_sub(ending.len())?;
            let matches = name.get(cut..)?.eq_ignore_ascii_case(ending);
            (matches && cut > 0).then(|| &name[..cut])
        })
        .unwrap_or(name)
}

fn compression_of(path: &Path) -> io::Result<Compression> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(Compression::of(&magic))
}

#[cfg(test)]
mod tests;
