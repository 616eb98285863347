//! Sessions that the evaluation of segments opens as it needs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use roaring::RoaringTreemap;
use rollbook_engine::{Session, Uncomputed};
use rollbook_lake::{Lake, State};
use rollbook_model::Timestamp;
use rollbook_segments::{SegmentError, Sessions};

use super::Workspace;
use crate::AppError;

/// Opens sessions over a workspace and collects what could not be computed in them.
#[derive(Debug)]
pub(crate) struct SegmentSessions<'a> {
    workspace: &'a Workspace,
    lake: &'a Lake,
    /// For each opened session, the expressions that could not be computed.
    uncomputed: Mutex<Vec<Uncomputed>>,
}

impl<'a> SegmentSessions<'a> {
    pub(crate) fn new(workspace: &'a Workspace, lake: &'a Lake) -> Self {
        let uncomputed = Mutex::default();
        Self {
            workspace,
            lake,
            uncomputed,
        }
    }

    /// Parts of conditions that could not be computed, with the number of persons affected.
    pub(crate) fn uncomputed(&self) -> BTreeMap<String, u64> {
        let sessions = self.uncomputed.lock();
        let sessions = sessions.unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::new();
        for (part, persons) in sessions.iter().flat_map(Uncomputed::take) {
            *all.entry(part).or_default() += persons;
        }
        all
    }
}

#[async_trait]
impl Sessions for SegmentSessions<'_> {
    async fn open(
        &self,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, SegmentError> {
        let opened = match among {
            None => self.workspace.cached_session(self.lake, state, as_of).await,
            Some(among) => {
                self.workspace
                    .cached_session_of_persons(self.lake, state, as_of, among)
                    .await
            }
        };
        if let Ok(session) = &opened {
            let sessions = self.uncomputed.lock();
            let mut sessions = sessions.unwrap_or_else(PoisonError::into_inner);
            sessions.push(session.uncomputed());
        }
        opened.map_err(|error| match error {
            AppError::Lake(error) => error.into(),
            AppError::Engine(error) => error.into(),
            AppError::Segment(error) => error,
            other => SegmentError::Session {
                reason: other.to_string(),
            },
        })
    }
}
