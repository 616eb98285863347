//! Folders of `.sql` files whose names mean something, each with a header of comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rollbook_model::nearest;

use crate::AppError;

/// A file.
#[derive(Debug)]
pub(crate) struct SqlFile {
    pub(crate) path: PathBuf,
    /// Its name without `.sql`.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl SqlFile {
    /// What is wrong with it.
    pub(crate) fn wrong(&self, reason: String) -> AppError {
        AppError::SqlFile {
            path: self.path.clone(),
            reason,
        }
    }
}

/// The files of a folder, in order of their names.
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

/// What a header says, each of `fields` once at most, and the text after it.
pub(crate) fn header<'a>(
    text: &'a str,
    fields: &[&'static str],
) -> Result<(BTreeMap<&'a str, &'a str>, &'a str), String> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('\n') {
        let Some(header) = first.trim().strip_prefix("--") else {
            break;
        };
        if let Some((name, value)) = header.split_once(':') {
            let name = name.trim();
            if fields.contains(&name) {
                if said.insert(name, value.trim()).is_some() {
                    return Err(format!("its header says `{name}` twice"));
                }
            } else if !name.contains(' ')
                && let Some(meant) = nearest(name, fields.iter().copied())
            {
                return Err(format!(
                    "its header says `{name}`, which nothing is called; did you mean `{meant}`?"
                ));
            }
        }
        rest = after;
    }
    Ok((said, rest))
}
