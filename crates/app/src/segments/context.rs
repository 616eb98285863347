//! A saved segment with the state of the lake, for queries about the segment.

use rollbook_engine::Condition;
use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_model::config::Limits;
use rollbook_segments::{Criteria, Definition, SegmentError, definition};

use super::named::NamedSegments;
use crate::{AppError, Workspace};

/// A saved segment, all definitions, and the state of the lake.
pub(super) struct SegmentContext {
    pub(super) lake: Lake,
    pub(super) state: State,
    pub(super) definition: Definition,
    pub(super) named: NamedSegments,
}

impl SegmentContext {
    /// Loads a segment at the newest snapshot.
    pub(super) async fn load(workspace: &Workspace, key: &SegmentKey) -> Result<Self, AppError> {
        let lake = workspace.lake().await?;
        let state = lake.head().await?;
        let definition = definition::show(&lake, &state, key).await?;
        let named = NamedSegments::all(&lake, &state).await?;
        Ok(Self {
            lake,
            state,
            definition,
            named,
        })
    }

    pub(super) fn criteria(&self, limits: &Limits) -> Result<Criteria, SegmentError> {
        Criteria::parse(&self.definition.criteria, limits)
    }

    /// The condition of the segment.
    ///
    /// # Errors
    /// [`AppError::NotACondition`] if it is a query or a list.
    pub(super) fn condition(&self, limits: &Limits) -> Result<Condition, AppError> {
        match self.criteria(limits)? {
            Criteria::Expression(condition) => Ok(condition),
            Criteria::Select(_) => Err(AppError::NotACondition {
                segment: self.definition.key.clone(),
            }),
        }
    }
}
