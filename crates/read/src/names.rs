//! Column names that SQL can use: none is blank, and each is unique.

use std::collections::HashSet;

use crate::error::ReadError;
use crate::source::SourceFile;

/// Maximum number of columns of a file. The planning time per column grows with their number.
const MOST_COLUMNS: usize = 2_000;

/// The columns that every reader adds after those of the file.
pub(super) const ADDED: [&str; 2] = ["_file", "_line"];

/// Refuses files with too many columns.
///
/// # Errors
/// [`ReadError::TooManyColumns`].
pub(super) fn not_too_many(columns: usize, file: &SourceFile) -> Result<(), ReadError> {
    match columns <= MOST_COLUMNS {
        true => Ok(()),
        false => Err(ReadError::TooManyColumns {
            file: file.label.clone(),
            limit: MOST_COLUMNS,
        }),
    }
}

/// The names of a header, trimmed; a blank third one becomes `column_3`, a second `name` becomes `name_2`.
///
/// Names that are in the header take precedence over generated ones, so that no column takes the name of
/// another.
pub(super) fn unique<'a>(header: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let given: Vec<&str> = header
        .into_iter()
        .map(|name| name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'))
        .collect();
    let mut taken: HashSet<String> = given.iter().map(|name| (*name).to_owned()).collect();
    taken.extend(ADDED.map(str::to_owned));
    let mut used: HashSet<&str> = ADDED.into();
    let mut names = Vec::with_capacity(given.len());
    for (position, name) in given.into_iter().enumerate() {
        if !name.is_empty() && used.insert(name) {
            names.push(name.to_owned());
            continue;
        }
        let stem = match name {
            "" => format!("column_{}", position + 1),
            _ => name.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let made = std::iter::once(stem.clone())
            .chain(numbered)
            .find(|made| !taken.contains(made))
            .expect("numbers do not run out");
        taken.insert(made.clone());
        names.push(made);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn column_names_are_made_unique() {
        let check = |header: &[&str], expected: &[&str]| {
            assert_eq!(unique(header.iter().copied()), expected);
        };
        check(&["\u{feff} id ", "name"], &["id", "name"]);
        check(&["a", "", "  "], &["a", "column_2", "column_3"]);
        check(&["a", "a", "a_2", "a"], &["a", "a_3", "a_2", "a_4"]);
        check(&["", "column_1"], &["column_1_2", "column_1"]);
        check(&["_file", "_line"], &["_file_2", "_line_2"]);
        check(&["a", "A"], &["a", "A"]);
    }
}
