//! Linking the rows of CSV files, without a lake.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rollbook_identity::files::{Link, Map, Table, link, suggested, write_pairs};
use rollbook_identity::resolve::AmbiguityPolicy;

use crate::AppError;

/// Where to write probable pairs that no exact rule finds.
#[derive(Debug, Clone)]
pub struct SuggestedPairs {
    /// Minimum probability, 0 to 1, that a pair is the same person.
    pub at_least: f64,
    /// The CSV file to write.
    pub to: PathBuf,
}

/// Links the rows of one or two CSV files by the rules of a map; one result per row.
///
/// # Errors
/// A file cannot be read or written; the map is invalid; a file lacks a column, or has a row without an id or
/// two with the same id.
pub fn link_files(
    files: &[PathBuf],
    columns: &Path,
    ambiguity: AmbiguityPolicy,
    suggest: Option<&SuggestedPairs>,
) -> Result<Vec<Link>, AppError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| AppError::ListFile { path, source }
    };
    let map = fs::read_to_string(columns).map_err(at(columns))?;
    let map: Map = map.parse().map_err(|source| AppError::ColumnMap {
        path: columns.to_owned(),
        source: Box::new(source),
    })?;
    let mut tables = Vec::new();
    for path in files {
        let file = File::open(path).map_err(at(path))?;
        tables.push(Table::read(&path.display().to_string(), file, &map)?);
    }
    if let Some(suggest) = suggest {
        let pairs = suggested(&tables, suggest.at_least);
        let file = File::create(&suggest.to).map_err(at(&suggest.to))?;
        write_pairs(&pairs, file).map_err(at(&suggest.to))?;
    }
    Ok(link(&tables, &map, ambiguity))
}
