//! Progress events of a run.

use std::fmt;
use std::sync::Arc;

use crate::rows::unknown_statuses::UnknownStatus;
use crate::rows::value_warnings::ValueWarning;

/// A progress event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A mapping begins to read its files.
    Mapping {
        /// Provider and name.
        mapping: String,
        /// How many files its driving source has.
        files: usize,
    },
    /// Rows of a source were read.
    Rows {
        /// How many more.
        rows: u64,
    },
    /// A file lacks columns that others of the same source have: its rows have nulls there.
    ColumnsMissing {
        /// The file.
        file: String,
        /// The columns.
        columns: Vec<String>,
        /// Whether known values of these columns stay.
        keeps: bool,
    },
    /// The files of a source lack columns that those of the run before had.
    ColumnsGone {
        /// One of the files.
        file: String,
        /// How many there are.
        files: usize,
        /// The columns.
        columns: Vec<String>,
        /// Whether known values of these columns stay.
        keeps: bool,
    },
    /// Rows have a status that no built-in query knows.
    UnknownStatus(UnknownStatus),
    /// Values of a column were changed on reading or not recognized.
    Odd(ValueWarning),
    /// Rows of a table are compared with the lake and written.
    Writing {
        /// The table.
        table: &'static str,
    },
    /// Another writer was faster; the comparison is done again on the newest snapshot.
    Overtaken,
}

/// Where events go.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    /// Sends events to `listener`, from any thread.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Ignores all events.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn report(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
