//! The writer lease: a writer that lost several commits takes it, and the others wait until it has
//! committed. Without the lease a long ingest beside a server that commits every second would never end.
//!
//! The lease is an object that its holder renews every half second. A writer that finds the object
//! unchanged for some seconds takes the holder for dead and deletes it. The lease only makes commits
//! fair: which commit wins is decided by the first put of a snapshot's record.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::LakeError;
use crate::json::to_json;
use crate::lake::Lake;
use crate::storage::Put;

const PATH: &str = "_turn.json";
/// The pause between two renewals of the lease.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A lease that was not renewed for so long has expired.
const LEASE_TIMEOUT: Duration = Duration::from_secs(6);
/// The pause between two looks at the lease while waiting.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: Uuid,
    beat: u64,
}

/// The right to commit before other writers. It ends with [`WriterLease::release`]; a lease that is
/// dropped expires after some seconds.
#[derive(Debug)]
pub struct WriterLease {
    lake: Lake,
    holder: Uuid,
    heartbeat: JoinHandle<()>,
}

impl Lake {
    /// Waits until no other live writer holds the writer lease, and takes it.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the object of the lease cannot be parsed.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn take_writer_lease(&self) -> Result<WriterLease, LakeError> {
        let holder = Uuid::new_v4();
        let path = self.path(PATH);
        let held = to_json(&Held { holder, beat: 0 })?;
        while self.store().put_new(&path, &held).await? == Put::Exists {
            self.wait_for_writer_lease(None).await?;
        }
        let lake = self.clone();
        let heartbeat = tokio::spawn(async move {
            for beat in 1.. {
                sleep(HEARTBEAT).await;
                // The next renewal makes up for one that fails.
                let _ = lake.replace_document(PATH, &Held { holder, beat }).await;
            }
        });
        Ok(WriterLease {
            lake: self.clone(),
            holder,
            heartbeat,
        })
    }

    /// Waits until no other live writer holds the writer lease.
    pub(crate) async fn wait_for_writer_lease(
        &self,
        own: Option<&WriterLease>,
    ) -> Result<(), LakeError> {
        let mut seen: Option<(Held, Instant)> = None;
        loop {
            let Some(held) = self.find_document::<Held>(PATH).await? else {
                return Ok(());
            };
            if own.is_some_and(|own| own.holder == held.holder) {
                return Ok(());
            }
            match &seen {
                Some((before, since)) if *before == held => {
                    if since.elapsed() >= LEASE_TIMEOUT {
                        return self.store().delete(&self.path(PATH)).await;
                    }
                }
                _ => seen = Some((held, Instant::now())),
            }
            sleep(POLL).await;
        }
    }
}

impl WriterLease {
    /// Ends the lease: other writers may commit.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the object of the lease cannot be deleted.
    pub async fn release(self) -> Result<(), LakeError> {
        self.heartbeat.abort();
        // A renewal that is under way must not follow the deletion.
        while !self.heartbeat.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        self.lake.store().delete(&self.lake.path(PATH)).await
    }
}

impl Drop for WriterLease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::Instant;

    use super::LEASE_TIMEOUT;
    use crate::{Lake, Store};

    async fn lake(folder: &tempfile::TempDir) -> Lake {
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        Lake::on(store, "default".parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn lease_is_held_by_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(&folder).await;
        lake.wait_for_writer_lease(None).await.unwrap();
        let lease = lake.take_writer_lease().await.unwrap();
        lake.wait_for_writer_lease(Some(&lease)).await.unwrap();
        // Several writers ask at once: each that gets the lease holds it alone.
        let is_held = Arc::new(AtomicBool::new(true));
        let others = (0..4).map(|_| {
            let (other, is_held) = (lake.clone(), Arc::clone(&is_held));
            tokio::spawn(async move {
                let lease = other.take_writer_lease().await.unwrap();
                assert!(
                    !is_held.swap(true, Ordering::SeqCst),
                    "two writers hold the lease"
                );
                // The other writers check the lease meanwhile.
                for _ in 0..20 {
                    other.head().await.unwrap();
                }
                is_held.store(false, Ordering::SeqCst);
                lease.release().await.unwrap();
            })
        });
        let others: Vec<_> = others.collect();
        for _ in 0..20 {
            lake.head().await.unwrap();
        }
        is_held.store(false, Ordering::SeqCst);
        lease.release().await.unwrap();
        for other in others {
            other.await.unwrap();
        }
    }

    #[tokio::test]
    async fn lease_of_a_dead_writer_expires() {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(&folder).await;
        drop(lake.take_writer_lease().await.unwrap());
        let since = Instant::now();
        lake.wait_for_writer_lease(None).await.unwrap();
        assert!(since.elapsed() >= LEASE_TIMEOUT);
    }
}
