//! A mapping: a `select` over source files that yields the rows of one canonical table.

use std::path::Path;

use chrono_tz::Tz;
use rollbook_model::{ProviderName, TableDef, nearest};
use rollbook_queries::MAPPINGS;
use rollbook_read::SourceFile;

use crate::IngestError;

pub(crate) mod casts;
mod glob;
mod header;
pub(crate) mod numbers;
pub(crate) mod provenance;
pub(crate) mod reads;

pub use glob::Pattern;
pub use numbers::NumberStyle;

/// The column of other source fields, as one JSON document.
pub(crate) const PROPERTIES: &str = "properties";
/// The column of personal ones among them, as one JSON document.
pub(crate) const PERSONAL_PROPERTIES: &str = "personal_properties";

/// One `.sql` file of a provider.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The provider that it belongs to.
    pub provider: ProviderName,
    /// The file's name without `.sql`.
    pub name: String,
    /// The table that it fills.
    pub table: &'static TableDef,
    /// The source files; the first is the driving one.
    pub sources: Vec<Source>,
    /// The time zone of times without an offset.
    pub timezone: Tz,
    /// The number style; `None` if the mapping does not declare one.
    pub numbers: Option<NumberStyle>,
    /// A condition on the rows of the driving source; `None` for all rows.
    pub only: Option<String>,
    /// Whether existing rows in the lake are not replaced.
    pub keep_existing: bool,
    /// Whether columns that a file lacks become null; else their known values are kept.
    pub absent_is_null: bool,
    /// Whether lines with too few fields are padded with blanks; else they are refused.
    pub pads_short_lines: bool,
    /// The keys of `properties` whose values are personal.
    pub personal: Vec<String>,
    /// The statement.
    pub sql: String,
}

/// A set of files that a mapping reads as one table.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in the statement.
    pub name: String,
    /// The names of its files.
    pub pattern: Pattern,
    /// The table of the lake to use if no file is given.
    pub from_lake: Option<&'static TableDef>,
    /// Whether all its files may be missing.
    pub may_be_absent: bool,
    /// Columns that its files may lack.
    pub optional: Vec<String>,
}

impl Mapping {
    /// A source file with the reading options of this mapping.
    pub(crate) fn as_read(&self, file: &SourceFile) -> SourceFile {
        SourceFile {
            pads_short_lines: self.pads_short_lines,
            decimal_comma: self.numbers == Some(NumberStyle::Comma),
            ..file.clone()
        }
    }

    /// Provider and name of the mapping, for messages.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }

    /// The driving source, whose rows become rows of the table.
    pub fn driving(&self) -> &Source {
        &self.sources[0]
    }
}

/// The mappings of a provider: those in `folder` where one is given, else those built in. Mappings of
/// persons come first, so that facts of the same run find their persons; then by name.
///
/// # Errors
/// [`IngestError::UnknownProvider`] where no mappings of that provider are built in;
/// [`IngestError::MappingFolder`] where `folder` cannot be read or holds no `.sql` file;
/// [`IngestError::MappingHeader`] where the header of a mapping is incomplete or wrong.
pub fn mappings(
    provider: &ProviderName,
    folder: Option<&Path>,
) -> Result<Vec<Mapping>, IngestError> {
    match folder {
        Some(folder) => from_folder(provider, folder),
        None => built_in(provider),
    }
}

fn built_in(provider: &ProviderName) -> Result<Vec<Mapping>, IngestError> {
    let own: Vec<_> = MAPPINGS
        .iter()
        .filter(|m| m.provider == provider.as_str())
        .collect();
    if own.is_empty() {
        let mut known: Vec<_> = MAPPINGS.iter().map(|m| m.provider).collect();
        known.dedup();
        return Err(IngestError::UnknownProvider {
            provider: provider.clone(),
            nearest: nearest(provider.as_str(), known.iter().copied()).map(str::to_owned),
            known: known.join(", "),
        });
    }
    let parsed = own.iter().map(|m| header::parse(provider, m.name, m.sql));
    Ok(in_order(parsed.collect::<Result<_, _>>()?))
}

fn from_folder(provider: &ProviderName, folder: &Path) -> Result<Vec<Mapping>, IngestError> {
    let failed = |detail: String| IngestError::MappingFolder {
        folder: folder.display().to_string(),
        detail,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(error.to_string()))? {
        let path = entry.map_err(|error| failed(error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let sql = std::fs::read_to_string(&path)
                .map_err(|error| failed(format!("{}: {error}", path.display())))?;
            found.push(header::parse(provider, &name, &sql)?);
        }
    }
    if found.is_empty() {
        return Err(failed("it holds no `.sql` file".to_owned()));
    }
    Ok(in_order(found))
}

/// Persons first, so that facts of the same run find them; then by name.
fn in_order(mut found: Vec<Mapping>) -> Vec<Mapping> {
    let is_person = |m: &Mapping| m.table.shape == rollbook_model::Shape::Person;
    found.sort_by(|a, b| {
        (!is_person(a), a.keep_existing, &a.name).cmp(&(!is_person(b), b.keep_existing, &b.name))
    });
    found
}
