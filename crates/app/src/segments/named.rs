//! The segments that criteria name with `in_segment`, loaded for an evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_engine::Session;
use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_segments::refresh::fixed;
use rollbook_segments::{Criteria, Definition, Evaluation, SegmentError, definition};

use crate::AppError;

/// The definitions that criteria refer to, and the members of the static ones among them. Nothing is read
/// for criteria that refer to no segment.
pub(crate) struct NamedSegments {
    pub(crate) definitions: Vec<Definition>,
    pub(crate) fixed: BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
}

impl NamedSegments {
    /// The segments that these criteria may refer to.
    pub(crate) async fn of(
        lake: &Lake,
        state: &State,
        session: &Session,
        criteria: &Criteria,
    ) -> Result<Self, AppError> {
        let names_some = match criteria {
            Criteria::Expression(condition) => {
                let needs = session.needs(condition).map_err(SegmentError::from)?;
                !needs.segments.is_empty()
            }
            Criteria::Select(_) => false,
        };
        let definitions = match names_some {
            true => definition::list(lake, state).await?,
            false => Vec::new(),
        };
        let fixed = fixed(lake, state, &definitions).await?;
        Ok(Self { definitions, fixed })
    }

    /// All segments.
    pub(crate) async fn all(lake: &Lake, state: &State) -> Result<Self, AppError> {
        let definitions = definition::list(lake, state).await?;
        let fixed = fixed(lake, state, &definitions).await?;
        Ok(Self { definitions, fixed })
    }

    /// An evaluation in which criteria can refer to these segments.
    pub(crate) fn evaluation<'a>(&self, session: &'a Session) -> Evaluation<'a> {
        Evaluation::new(session, &self.definitions).with_fixed(&self.fixed)
    }
}
