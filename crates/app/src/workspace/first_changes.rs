//! When the clock alone first changes memberships.

use std::collections::HashMap;

use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::Refreshed;
use tokio::sync::Mutex;

/// For each segment, a membership and the first moment at which the clock alone changes it; `None` if
/// it never does. Computed once per membership: a stored membership depends neither on later data nor
/// on later definitions.
#[derive(Debug, Default)]
pub(crate) struct FirstChanges(pub(crate) Mutex<HashMap<SegmentKey, FirstChange>>);

type FirstChange = (Refreshed, Option<Timestamp>);
