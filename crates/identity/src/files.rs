//! Linking the rows of one or two CSV files by the exact rules of a map, and suggesting probable pairs. For
//! evaluation, and for one-off lists.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::resolve::{AmbiguityPolicy, Order, Records, resolve};
use crate::score::{Field, Profile, suggest};
use crate::shared::MOST_NAMES;

mod map;

pub use map::{InvalidMap, Map};

/// Why files cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file lacks a column that the map names.
    #[error("`{file}` has no column `{column}`: it has {}", found.join(", "))]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The columns of the file.
        found: Vec<String>,
    },
    /// Two rows have the same id.
    #[error("`{file}` has the id `{id}` in two rows: line {first} and line {second}")]
    SameId {
        /// The file.
        file: String,
        /// The id.
        id: String,
        /// The line of the first row.
        first: u64,
        /// The line of the second row.
        second: u64,
    },
    /// A row has no id.
    #[error("`{file}` has no id in line {line}")]
    NoId {
        /// The file.
        file: String,
        /// The line.
        line: u64,
    },
    /// The file is not valid CSV.
    #[error("`{file}` cannot be read as CSV with a header: {source}")]
    Csv {
        /// The file.
        file: String,
        /// The error of the parser.
        source: csv::Error,
    },
}

/// The rows of a file with values in normal form.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub file: String,
    ids: Vec<String>,
    profiles: Vec<Profile>,
}

/// Result for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The file of the row.
    pub file: String,
    /// The id of the row.
    pub id: String,
    /// The number of its person, from 1 in canonical order; `None` if it is ambiguous.
    pub person: Option<u32>,
    /// The rule that linked it to other rows; `None` for the first row of a person.
    pub matched_by: Option<String>,
    /// Whether it matches several persons.
    pub is_ambiguous: bool,
}

impl Table {
    /// Reads a CSV file with a header.
    ///
    /// # Errors
    /// The CSV is malformed; a column of the map is missing; a row has no id, or the id of an earlier row.
    pub fn read(file: &str, reader: impl Read, map: &Map) -> Result<Self, FileError> {
        let failed = |source| FileError::Csv {
            file: file.to_owned(),
            source,
        };
        let mut csv = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(reader);
        let headers = csv.headers().map_err(failed)?.clone();
        let index_of = |column: &str| {
            let is_it = |header: &str| header.trim_start_matches('\u{feff}') == column;
            headers
                .iter()
                .position(is_it)
                .ok_or_else(|| FileError::NoColumn {
                    file: file.to_owned(),
                    column: column.to_owned(),
                    found: headers.iter().map(|header| format!("`{header}`")).collect(),
                })
        };
        let id_at = index_of(&map.id)?;
        let mut fields = Vec::new();
        for (field, column) in &map.fields {
            fields.push((*field, index_of(column)?));
        }
        let mut table = Self {
            file: file.to_owned(),
            ids: Vec::new(),
            profiles: Vec::new(),
        };
        let mut lines: HashMap<String, u64> = HashMap::new();
        for row in csv.records() {
            let row = row.map_err(failed)?;
            let line = row.position().map_or(0, csv::Position::line);
            let id = row[id_at].to_owned();
            if id.is_empty() {
                return Err(FileError::NoId {
                    file: file.to_owned(),
                    line,
                });
            }
            if let Some(first) = lines.insert(id.clone(), line) {
                let (file, second) = (file.to_owned(), line);
                return Err(FileError::SameId {
                    file,
                    id,
                    first,
                    second,
                });
            }
            let values: HashMap<Field, &str> = fields
                .iter()
                .map(|(field, at)| (*field, &row[*at]))
                .collect();
            table.ids.push(id);
            let profile = Profile::of(&values, map.region.as_deref());
            table.profiles.push(profile);
        }
        Ok(table)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The same rows in another order, given as indices into this table.
    pub fn reordered(&self, order: &[usize]) -> Self {
        Self {
            file: self.file.clone(),
            ids: order.iter().map(|at| self.ids[*at].clone()).collect(),
            profiles: order.iter().map(|at| self.profiles[*at].clone()).collect(),
        }
    }
}

/// Links the rows of files by the rules of a map; one result per row, in order.
pub fn link(tables: &[Table], map: &Map, ambiguity: AmbiguityPolicy) -> Vec<Link> {
    let mut records = Records::new(map.rules.len());
    let rows = tables.iter().zip(0_u8..).flat_map(|(table, at)| {
        table
            .ids
            .iter()
            .zip(&table.profiles)
            .map(move |row| (at, row))
    });
    for (file, (id, profile)) in rows {
        let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
        let digest: [u8; 16] = digest[..16].try_into().expect("a digest is 32 bytes");
        let order = Order {
            authority: file,
            created: 0,
            provider: 0,
            digest,
        };
        let values: Vec<u128> = (0_u16..)
            .zip(&map.rules)
            .map(|(at, rule)| value(at, rule, profile))
            .collect();
        // The map defines the rules, so a date of birth counts only if a rule names it.
        records.push(order, named(profile), 0, &values);
    }
    let resolution = resolve(&records.without_shared(MOST_NAMES), &[], ambiguity);
    // Persons that were merged into others have no records and are not counted.
    let mut numbers = Vec::with_capacity(resolution.persons.len());
    let mut count = 0;
    for records in &resolution.persons {
        count += u32::from(!records.is_empty());
        numbers.push(count);
    }
    let ids = tables
        .iter()
        .flat_map(|table| table.ids.iter().map(move |id| (&table.file, id)));
    let links = ids.enumerate().map(|(at, (file, id))| Link {
        file: file.clone(),
        id: id.clone(),
        person: resolution.person[at].map(|person| numbers[person as usize]),
        matched_by: resolution.linked_by[at].map(|rule| map.rule_name(rule as usize)),
        is_ambiguous: resolution.person[at].is_none(),
    });
    links.collect()
}

/// Pairs of ids that are the same person with at least this probability, the most probable first; with two
/// files, one id from each.
pub fn suggested(tables: &[Table], at_least: f64) -> Vec<(String, String, f64)> {
    let profiles = tables.iter().flat_map(|table| &table.profiles);
    let profiles: Vec<Profile> = profiles.map(Profile::folded).collect();
    let ids: Vec<&String> = tables.iter().flat_map(|table| &table.ids).collect();
    let across = (tables.len() > 1).then(|| tables[0].ids.len() as u32);
    let found = suggest(&profiles, across, at_least);
    let named = found.into_iter().map(|one| {
        (
            ids[one.a as usize].clone(),
            ids[one.b as usize].clone(),
            one.probability,
        )
    });
    named.collect()
}

/// Writes suggested pairs as CSV with the columns `id_a,id_b,probability`.
///
/// # Errors
/// `to` cannot be written to.
pub fn write_pairs(pairs: &[(String, String, f64)], to: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(["id_a", "id_b", "probability"])?;
    for (a, b, probability) in pairs {
        csv.write_record([a, b, &format!("{probability:.6}")])?;
    }
    csv.flush()
}

/// The compared values of a rule, hashed; 0 if one is blank.
fn value(rule: u16, parts: &[Field], profile: &Profile) -> u128 {
    let mut text = rule.to_le_bytes().to_vec();
    for part in parts {
        let Some(value) = profile.get(*part) else {
            return 0;
        };
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    xxh3_128(&text).max(1)
}

fn named(profile: &Profile) -> u64 {
    let names = [Field::GivenName, Field::Surname].map(|field| profile.get(field).unwrap_or(""));
    match names {
        ["", ""] => 0,
        _ => xxh3_64(names.join("\0").as_bytes()).max(1),
    }
}
