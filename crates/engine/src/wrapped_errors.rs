//! Faults that come through DataFusion as they are.

use std::fmt;
use std::sync::Arc;

use crate::error::EngineError;

/// A personal column that a caller may not see.
#[derive(Debug)]
pub(crate) struct PermissionDenied {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
}

impl fmt::Display for PermissionDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} is personal", self.table, self.column)
    }
}

impl std::error::Error for PermissionDenied {}

/// A person who has more than one row.
#[derive(Debug)]
pub(crate) struct DuplicateTraitRow {
    pub(crate) name: String,
    pub(crate) person: i64,
}

impl fmt::Display for DuplicateTraitRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has person {} twice", self.name, self.person)
    }
}

impl std::error::Error for DuplicateTraitRow {}

/// A trait whose text cannot be planned.
#[derive(Debug)]
pub(crate) struct InvalidTrait {
    pub(crate) name: String,
    pub(crate) source: Arc<EngineError>,
}

impl fmt::Display for InvalidTrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.source)
    }
}

impl std::error::Error for InvalidTrait {}
