//! Leases: by which a run that writes says that it is alive, so that nobody takes what it has
//! written, and not yet committed, for garbage.
//!
//! A lease is an object whose name goes into those of the run's files. It is written again every so
//! often; how long ago is told by the store's clock alone, since those of machines differ. A lease
//! that nobody has written for a while is that of a dead run, and counts for nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::storage::Store;

/// How often the holder says that it is alive.
const BEAT: Duration = Duration::from_secs(20);
/// By how much the clocks of a store and of a run may differ, at most.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// The lease of a handle on a lake, taken when it writes first, and held as long as the handle is.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) held: OnceCell<Held>,
}

#[derive(Debug)]
pub(crate) struct Held {
    store: Store,
    /// The path of the lease.
    path: String,
    pub(crate) name: String,
    beating: JoinHandle<()>,
}

/// The leases that are held by somebody who is alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    pub(crate) names: Vec<String>,
    /// Since when the oldest one may be held, by the store's clock.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) has_collector: bool,
}

impl Held {
    /// Takes the lease of that name in a folder.
    pub(crate) async fn take(store: &Store, folder: &str, name: &str) -> Self {
        let path = format!("{folder}/{name}");
        say_alive(store, &path, Utc::now()).await;
        Self {
            beating: tokio::spawn(beat(store.clone(), path.clone())),
            name: name.to_owned(),
            store: store.clone(),
            path,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beating.abort();
        let (store, path) = (self.store.clone(), self.path.clone());
        match Handle::try_current() {
            _ if store.is_local() => store.delete_at_once(&path),
            Ok(threads) => drop(threads.spawn(async move { store.delete_soft(&path).await })),
            // It is found to be that of a dead run.
            Err(_) => {}
        }
    }
}

impl Live {
    /// Whether a file has the lease of a live run in its name.
    pub(crate) fn may_name(&self, name: &str) -> bool {
        self.names.iter().any(|lease| name.contains(lease.as_str()))
    }

    /// The moment from which on something that was written may be a live run's, whatever its name.
    pub(crate) fn since(&self) -> Option<DateTime<Utc>> {
        self.since.map(|since| since - SKEW)
    }

    /// These and others.
    pub(crate) fn with(mut self, others: Self) -> Self {
        self.names.extend(others.names);
        self.since = match (self.since, others.since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.has_collector |= others.has_collector;
        self
    }
}

/// A beat that fails is made up for by the next one: what is written young is spared anyway.
async fn say_alive(store: &Store, path: &str, since: DateTime<Utc>) {
    let since = since.to_rfc3339();
    drop(store.put_soft(path, since.as_bytes()).await);
}

async fn beat(store: Store, path: String) {
    let since = Utc::now();
    loop {
        sleep(BEAT).await;
        say_alive(&store, &path, since).await;
    }
}
