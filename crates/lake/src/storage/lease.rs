//! Leases: a process that writes files holds one, so that vacuum spares the files before they are
//! committed.
//!
//! A lease is an object whose name is part of the names of the process's files. The process renews the
//! object regularly. The age of an object is measured by the store's clock, since clocks of machines
//! differ. A lease that was not renewed for a while is that of a dead process and protects nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::storage::Store;

/// The pause between two renewals.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// The largest expected difference between the clocks of a store and of a process.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// The lease of a handle on a lake, taken with the first write and held until the handle is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) held: OnceCell<HeldLease>,
}

/// A lease that this process holds and renews until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldLease {
    store: Store,
    /// The path of the lease.
    path: String,
    pub(crate) name: String,
    heartbeat: JoinHandle<()>,
}

/// The leases of live processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveLeases {
    pub(crate) names: Vec<String>,
    /// When the oldest of these leases was taken, by the store's clock.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) has_vacuum: bool,
}

impl HeldLease {
    /// Takes the lease of that name in a folder.
    pub(crate) async fn take(store: &Store, folder: &str, name: &str) -> Self {
        let path = format!("{folder}/{name}");
        renew(store, &path, Utc::now()).await;
        Self {
            heartbeat: tokio::spawn(keep_renewing(store.clone(), path.clone())),
            name: name.to_owned(),
            store: store.clone(),
            path,
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
        let (store, path) = (self.store.clone(), self.path.clone());
        match Handle::try_current() {
            _ if store.is_local() => store.delete_local(&path),
            Ok(threads) => drop(threads.spawn(async move { store.delete_unsynced(&path).await })),
            // The lease expires.
            Err(_) => {}
        }
    }
}

impl LiveLeases {
    /// Whether a file's name contains the lease of a live process.
    pub(crate) fn is_written_by(&self, name: &str) -> bool {
        self.names.iter().any(|lease| name.contains(lease.as_str()))
    }

    /// A time before which no live process took its lease: an older object is not one of theirs.
    pub(crate) fn since(&self) -> Option<DateTime<Utc>> {
        self.since.map(|since| since - SKEW)
    }

    /// These leases and others.
    pub(crate) fn with(mut self, others: Self) -> Self {
        self.names.extend(others.names);
        self.since = match (self.since, others.since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.has_vacuum |= others.has_vacuum;
        self
    }
}

/// Writes the lease. Errors are ignored: the next renewal makes up for one that failed, and vacuum
/// spares young files anyway.
async fn renew(store: &Store, path: &str, since: DateTime<Utc>) {
    let since = since.to_rfc3339();
    drop(store.put_unsynced(path, since.as_bytes()).await);
}

async fn keep_renewing(store: Store, path: String) {
    let since = Utc::now();
    loop {
        sleep(HEARTBEAT).await;
        renew(&store, &path, since).await;
    }
}
