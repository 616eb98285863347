//! Quotas that can be reached.

use std::fmt;

/// A quota that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Of the storage.
    Storage,
    /// Of the rows of a day.
    RowsPerDay,
    /// Of the segments.
    Segments,
}

impl Quota {
    /// What can be done once it is reached.
    pub(crate) const fn next_step(self) -> &'static str {
        match self {
            Self::Storage => "whoever runs the server can raise it",
            Self::RowsPerDay => {
                "rows are taken again after midnight, UTC; whoever runs the server can raise it"
            }
            Self::Segments => "delete a segment, or ask whoever runs the server to raise it",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Storage => "bytes of storage",
            Self::RowsPerDay => "rows a day",
            Self::Segments => "segments",
        })
    }
}
