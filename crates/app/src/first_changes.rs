//! When the clock may first change memberships.

use std::collections::HashMap;

use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::Refreshed;
use tokio::sync::Mutex;

/// For memberships that were asked about: when the clock may first change them. That is looked for
/// once, since neither data nor definitions change a membership that is kept.
#[derive(Debug, Default)]
pub(crate) struct FirstChanges(pub(crate) Mutex<HashMap<SegmentKey, Known>>);

type Known = (Refreshed, Option<Timestamp>);
