//! Rows of one table in one run, counted file by file.

use rollbook_model::TableCounts;

/// Counts by the index of the file in the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileCounts {
    files: Vec<(u64, TableCounts)>,
    /// The index last counted: the next row is usually from the same file.
    last: usize,
}

impl FileCounts {
    /// The counts of the file with index `place`.
    pub(crate) fn at(&mut self, place: u64) -> &mut TableCounts {
        let is_same = self
            .files
            .get(self.last)
            .is_some_and(|(at, _)| *at == place);
        if !is_same {
            let known = self.files.iter().position(|(at, _)| *at == place);
            self.last = known.unwrap_or_else(|| {
                self.files.push((place, TableCounts::default()));
                self.files.len() - 1
            });
        }
        &mut self.files[self.last].1
    }

    /// The counts of `table` over all files.
    pub(crate) fn total(&self, table: &str) -> TableCounts {
        let mut total = named(table);
        for (_, counts) in &self.files {
            total.read += counts.read;
            total.accepted += counts.accepted;
            total.unchanged += counts.unchanged;
            total.quarantined += counts.quarantined;
            total.without_order += counts.without_order;
        }
        total
    }

    /// The counts of `table` in the file with index `place`.
    pub(crate) fn of_file(&self, table: &str, place: u64) -> TableCounts {
        let found = self.files.iter().find(|(at, _)| *at == place);
        let counts = found.map(|(_, counts)| counts.clone()).unwrap_or_default();
        TableCounts {
            table: table.to_owned(),
            ..counts
        }
    }
}

fn named(table: &str) -> TableCounts {
    TableCounts {
        table: table.to_owned(),
        ..TableCounts::default()
    }
}
