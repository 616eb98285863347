//! How segments get sessions over the data of a snapshot: whoever holds caches opens them.

use std::sync::Arc;

use async_trait::async_trait;
use roaring::RoaringTreemap;
use rollbook_engine::Session;
use rollbook_lake::State;
use rollbook_model::Timestamp;

use crate::SegmentError;

/// Opens sessions over the data of a snapshot.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// A session over the data of `state`, seen from `as_of`: that of all persons, or of some.
    async fn open(
        &self,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, SegmentError>;
}
