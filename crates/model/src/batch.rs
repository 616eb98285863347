//! Ids and row counts of ingest runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::InvalidName;

/// The id of an ingest run, by which it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId(String);

impl BatchId {
    /// An id made of the day and a random number: `20241101-3f9a1c`.
    pub fn new(day: &str, random: u32) -> Self {
        Self(format!("{day}-{:06x}", random & 0x00ff_ffff))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BatchId {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let valid = !value.is_empty()
            && value.len() <= 64
            && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if valid {
            return Ok(Self(value.to_owned()));
        }
        let rule = "it looks like `20241101-3f9a1c`";
        Err(InvalidName {
            kind: "batch",
            value: value.to_owned(),
            rule,
        })
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rows of one table in one run. `read == accepted + unchanged + quarantined`, always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableCounts {
    /// The canonical table.
    pub table: String,
    /// Rows that the mappings yielded for it, and rows refused before a mapping.
    pub read: u64,
    /// Written rows, new or changed.
    pub accepted: u64,
    /// Rows that the table already had, and repetitions of a key in the run.
    pub unchanged: u64,
    /// Rows that went to quarantine.
    pub quarantined: u64,
    /// Rows that refer to an order that is not in the lake.
    #[serde(default, skip_serializing_if = "is_none")]
    pub without_order: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}
