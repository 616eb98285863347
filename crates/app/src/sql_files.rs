//! Folders of `.sql` files with headers of comments, and the plan to apply one to a lake.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rollbook_model::nearest;

use serde::Serialize;

use crate::AppError;

/// What applying a folder does with a segment or a trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// Creates it.
    New,
    /// Replaces it by another definition.
    Changed,
    /// Removes it: the folder does not have it.
    Removed,
}

/// A `.sql` file.
#[derive(Debug)]
pub(crate) struct SqlFile {
    pub(crate) path: PathBuf,
    /// Its name without `.sql`.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl SqlFile {
    /// The error of an invalid file.
    pub(crate) fn invalid(&self, reason: String) -> AppError {
        AppError::SqlFile {
            path: self.path.clone(),
            reason,
        }
    }
}

/// The `.sql` files of a folder, by name.
///
/// # Errors
/// The folder or a file cannot be read, or is not UTF-8.
pub(crate) fn sql_files(folder: &Path) -> Result<Vec<SqlFile>, AppError> {
    let failed = |path: &Path, source| AppError::ListFile {
        path: path.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(|source| failed(folder, source))?;
    let mut paths = BTreeSet::new();
    for entry in entries {
        let path: PathBuf = entry.map_err(|source| failed(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            paths.insert(path);
        }
    }
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(SqlFile {
            name: name.into_owned(),
            path,
            text,
        })
    };
    paths.into_iter().map(file).collect()
}

/// The fields of a header, and the SQL after it.
///
/// # Errors
/// A field occurs twice, or has a name that is nearly one of `fields`.
pub(crate) fn header<'a>(
    text: &'a str,
    fields: &[&'static str],
) -> Result<(BTreeMap<&'a str, &'a str>, &'a str), String> {
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('\n') {
        let Some(header) = first.trim().strip_prefix("--") else {
            break;
        };
        if let Some((name, value)) = header.split_once(':') {
            let name = name.trim();
            if fields.contains(&name) {
                if found.insert(name, value.trim()).is_some() {
                    return Err(format!("its header has `{name}` twice"));
                }
            } else if !name.contains(' ')
                && let Some(meant) = nearest(name, fields.iter().copied())
            {
                return Err(format!(
                    "its header has the unknown field `{name}`; did you mean `{meant}`?"
                ));
            }
        }
        rest = after;
    }
    Ok((found, rest))
}
