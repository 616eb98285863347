//! Which output columns the files of a row do not have: their known values stay.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use datafusion::logical_expr::LogicalPlan;
use rollbook_model::{Shape, TableDef};

use crate::mapping::reads::{PRESENCE, Reads, reads};
use crate::mapping::{Mapping, PERSONAL_PROPERTIES, PROPERTIES};
use crate::rows::canonical::{CanonicalRows, DELETED, PERSON, REFERENCES, staged_schema};
use crate::rows::file_columns::FileColumns;

/// A set of columns as bits, by their indices in [`staged_schema`].
pub(crate) type ColumnSet = u64;

/// The set that holds only this column.
pub(crate) fn bit(place: usize) -> ColumnSet {
    1_u64
        .checked_shl(u32::try_from(place).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

/// A source that a mapping joins.
#[derive(Debug, Default)]
pub(crate) struct JoinedSource {
    /// Its columns; empty if it has no file.
    pub(crate) columns: HashSet<String>,
    /// Whether rows of the lake are read instead of files.
    pub(crate) is_of_lake: bool,
}

/// For each column of a table, which source columns a mapping fills it from.
pub(crate) struct MissingColumns {
    /// Whether no known value is kept: the mapping sets missing columns to null, or does not replace rows.
    is_off: bool,
    /// Columns that the mapping does not output.
    not_given: ColumnSet,
    given: Vec<(ColumnSet, Arc<Reads>)>,
    /// Columns that read joined sources alone: a row without a match in the join lacks them.
    joined: Vec<usize>,
    driving: FileColumns,
    /// The joined sources, by their index; the first is the driving one, and empty.
    others: Vec<JoinedSource>,
    by_file: HashMap<String, ColumnSet>,
    by_set: HashMap<u32, ColumnSet>,
}

impl MissingColumns {
    /// Finds the missing columns of sources; `others` are the sources after the driving one.
    pub(crate) fn new(
        mapping: &Mapping,
        plan: &LogicalPlan,
        whole: &str,
        driving: FileColumns,
        others: Vec<JoinedSource>,
    ) -> Self {
        let source_of = |table: &str| match table == whole {
            true => Some(0),
            false => mapping
                .sources
                .iter()
                .position(|source| source.name == table),
        };
        let fields = plan.schema().fields().iter();
        let outputs: HashMap<&str, Arc<Reads>> = fields
            .map(|field| field.name().as_str())
            .zip(reads(plan, &source_of))
            .collect();
        let (mut not_given, mut given, mut joined) = (0, Vec::new(), Vec::new());
        let schema = staged_schema(mapping.table);
        for (place, field) in schema.fields().iter().enumerate() {
            let Some(names) = outputs_of(mapping.table, field.name()) else {
                continue;
            };
            let read: Vec<_> = names.iter().filter_map(|name| outputs.get(name)).collect();
            if read.is_empty() {
                not_given |= bit(place);
                continue;
            }
            let read = Arc::new(Reads::Any(read.into_iter().cloned().collect()));
            if read.is_constant() {
                continue;
            }
            if !read.is_of_driving() {
                joined.push(place);
            }
            given.push((bit(place), read));
        }
        Self {
            is_off: mapping.absent_is_null || mapping.keep_existing,
            not_given,
            given,
            joined,
            driving,
            others: std::iter::once(JoinedSource::default())
                .chain(others)
                .collect(),
            by_file: HashMap::new(),
            by_set: HashMap::new(),
        }
    }

    /// The missing columns of each row.
    pub(crate) fn of_rows(&mut self, rows: &CanonicalRows) -> Vec<ColumnSet> {
        let count = rows.rows.num_rows();
        if self.is_off {
            return vec![0; count];
        }
        let mut absent = self.by_own_file(rows);
        for place in &self.joined {
            let values = rows.rows.column(*place);
            if values.null_count() > 0 {
                for (row, absent) in absent.iter_mut().enumerate() {
                    *absent |= match values.is_null(row) {
                        true => bit(*place),
                        false => 0,
                    };
                }
            }
        }
        absent
    }

    fn by_own_file(&mut self, rows: &CanonicalRows) -> Vec<ColumnSet> {
        let set_of = |sets: &UInt32Array, row: usize| sets.is_valid(row).then(|| sets.value(row));
        let mut last: Option<(&str, ColumnSet)> = None;
        let mut absent = Vec::with_capacity(rows.rows.num_rows());
        for (row, file) in rows.files.iter().enumerate() {
            let file = file.unwrap_or_default();
            let set = rows.key_sets.as_ref().and_then(|sets| set_of(sets, row));
            if let Some(set) = set {
                absent.push(self.of_set(file, set));
                continue;
            }
            let columns = match last {
                Some((known, columns)) if known == file => columns,
                _ => self.of_file(file),
            };
            last = Some((file, columns));
            absent.push(columns);
        }
        absent
    }

    fn of_file(&mut self, file: &str) -> ColumnSet {
        if let Some(known) = self.by_file.get(file) {
            return *known;
        }
        let columns = self.of(file, None);
        self.by_file.insert(file.to_owned(), columns);
        columns
    }

    fn of_set(&mut self, file: &str, set: u32) -> ColumnSet {
        if let Some(known) = self.by_set.get(&set) {
            return *known;
        }
        let columns = self.of(file, Some(set));
        self.by_set.insert(set, columns);
        columns
    }

    fn of(&self, file: &str, set: Option<u32>) -> ColumnSet {
        let own = self.driving.of(file, set);
        let is_absent = |read: &Reads| {
            // Where a file is read too, the lake's rows add nothing to the known values.
            let is_own = read.is_of_driving();
            !read.is_there(&|source, column| match (source, &own) {
                (0, _) if matches!(column, PRESENCE | "_line") => true,
                (0, Some(own)) => own.contains(column),
                (0, None) => true,
                (joined, _) => self.others.get(joined).is_some_and(|other| {
                    other.columns.contains(column) && !(is_own && other.is_of_lake)
                }),
            })
        };
        let absent = self.given.iter().filter(|(_, read)| is_absent(read));
        absent.fold(self.not_given, |all, (column, _)| all | column)
    }

    /// The columns that the mapping reads and the files have, by name of the source; sources without files
    /// have none.
    pub(crate) fn columns_read(&self, mapping: &Mapping) -> BTreeMap<String, BTreeSet<String>> {
        let driving = self.driving.all();
        let columns = |source: usize| match source {
            0 => Some(&driving),
            joined => {
                let other = self.others.get(joined).filter(|other| !other.is_of_lake);
                other.map(|other| &other.columns)
            }
        };
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (_, read) in &self.given {
            read.for_each(&mut |source, column| {
                let is_there = columns(source).is_some_and(|columns| columns.contains(column));
                if is_there && !matches!(column, PRESENCE | "_line") {
                    let source = mapping.sources[source].name.clone();
                    found.entry(source).or_default().insert(column.to_owned());
                }
            });
        }
        found
    }

    /// Whether known values of missing columns are kept.
    pub(crate) fn keeps(&self) -> bool {
        !self.is_off
    }
}

/// The output columns from which a staged column is made; `None` for a column that every row has.
fn outputs_of(def: &TableDef, column: &str) -> Option<Vec<&'static str>> {
    match column {
        DELETED | "provider" | "external_id" => None,
        PERSON if def.shape == Shape::Fact => Some(REFERENCES.map(|one| one.name).to_vec()),
        PERSON => None,
        // It follows from the address where the mapping does not say it.
        "email_domain" if def.shape == Shape::Person => Some(vec!["email_domain", "email"]),
        // They are those of the properties that the mapping calls personal.
        PERSONAL_PROPERTIES => Some(vec![PERSONAL_PROPERTIES, PROPERTIES]),
        name => def.column(name).map(|column| vec![column.name]),
    }
}

#[cfg(test)]
mod tests {
    use rollbook_model::tables::TABLES;

    use super::{bit, staged_schema};

    #[test]
    fn columns_of_every_table_fit_one_bit_mask() {
        for def in TABLES {
            let columns = staged_schema(def).fields().len();
            assert_ne!(bit(columns - 1), 0, "{}", def.name);
        }
    }
}
