//! Time, ids of runs, and deciders: what commands take from the environment.

use chrono::Utc;
use rollbook_app::identity::Decider;
use rollbook_app::{Workspace, data};
use rollbook_model::{BatchId, GivenTime, Timestamp};

use crate::arguments::{DecisionOptions, Moment};

/// Who makes a decision: the name, the time, and whether it is a dry run.
pub(super) fn decider(options: &DecisionOptions) -> Decider {
    Decider {
        by: options.by.clone(),
        at: now(),
        dry_run: options.dry_run,
    }
}

/// The current time. Only the CLI reads the clock; functions below it take the time as an argument.
pub(super) fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}

/// The instant of `--as-of`; now if it is not given.
pub(super) async fn as_of(workspace: &Workspace, moment: &Moment) -> anyhow::Result<Timestamp> {
    Ok(instant(workspace, moment.as_of).await?.unwrap_or_else(now))
}

/// The instant of an optional time.
pub(super) async fn instant(
    workspace: &Workspace,
    given: Option<GivenTime>,
) -> anyhow::Result<Option<Timestamp>> {
    Ok(match given {
        Some(given) => Some(data::moment(workspace, given).await?),
        None => None,
    })
}

/// A new id of an ingest run: the day and a random part.
pub(super) fn new_batch() -> BatchId {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(now().micros());
    BatchId::new(
        &Utc::now().format("%Y%m%d").to_string(),
        (random & 0x00ff_ffff) as u32,
    )
}
