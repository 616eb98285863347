//! Errors that the engine's operators pass through DataFusion as external errors, and that the
//! engine takes out again.

use std::fmt;
use std::sync::Arc;

use crate::error::EngineError;

/// A query reads a personal column without the right to.
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

/// A custom trait has several rows for one person.
#[derive(Debug)]
pub(crate) struct DuplicateTraitRow {
    pub(crate) name: String,
    pub(crate) person: i64,
}

impl fmt::Display for DuplicateTraitRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trait {} has several rows for person {}",
            self.name, self.person
        )
    }
}

impl std::error::Error for DuplicateTraitRow {}

/// A custom trait that cannot be planned.
#[derive(Debug)]
pub(crate) struct InvalidTrait {
    pub(crate) name: String,
    pub(crate) source: Arc<EngineError>,
}

impl fmt::Display for InvalidTrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trait {}: {}", self.name, self.source)
    }
}

impl std::error::Error for InvalidTrait {}
