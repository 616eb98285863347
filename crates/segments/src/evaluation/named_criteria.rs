//! The criteria of a segment that others may name, parsed when they are first needed.

use std::sync::OnceLock;

use rollbook_model::config::Limits;

use super::Needed;
use crate::criteria::Criteria;
use crate::error::SegmentError;

/// Criteria by their text; what they were parsed to is shared by all evaluations of a request.
#[derive(Debug)]
pub(super) struct NamedCriteria {
    text: String,
    /// `None` where the text cannot be parsed.
    parsed: OnceLock<Option<Criteria>>,
    needed: OnceLock<Needed>,
}

impl NamedCriteria {
    /// Criteria that are still to be parsed.
    pub(super) fn of_text(text: String) -> Self {
        Self {
            text,
            parsed: OnceLock::new(),
            needed: OnceLock::new(),
        }
    }

    /// Criteria that were parsed.
    pub(super) fn of(criteria: Criteria) -> Self {
        Self {
            text: criteria.text().to_owned(),
            parsed: OnceLock::from(Some(criteria)),
            needed: OnceLock::new(),
        }
    }

    /// The criteria; `None` where the text cannot be parsed.
    pub(super) fn parsed(&self, limits: &Limits) -> Option<&Criteria> {
        let parse = || Criteria::parse(&self.text, limits).ok();
        self.parsed.get_or_init(parse).as_ref()
    }

    /// Why the text cannot be parsed: it is parsed once more to tell.
    pub(super) fn error(&self, limits: &Limits) -> Option<SegmentError> {
        Criteria::parse(&self.text, limits).err()
    }

    /// What the criteria need, by `find` where that is not known yet.
    pub(super) fn needed(
        &self,
        find: impl FnOnce() -> Result<Needed, SegmentError>,
    ) -> Result<&Needed, SegmentError> {
        match self.needed.get() {
            Some(known) => Ok(known),
            None => {
                let found = find()?;
                Ok(self.needed.get_or_init(|| found))
            }
        }
    }
}
