//! Fairness among writers: one who was overtaken asks for the turn, and the others let it commit
//! first. Without it a long ingest beside a server that commits every second would never end.
//!
//! The turn is an object that its holder writes again every so often. Who finds it unchanged for a
//! while takes the holder for dead and removes it. Nothing rests on it but fairness: what is
//! committed is decided by who puts a snapshot's record first.

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
/// How often the holder says that it is alive.
const BEAT: Duration = Duration::from_millis(500);
/// After what silence it is taken for dead.
const SILENCE: Duration = Duration::from_secs(6);
/// How often those who wait look.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: Uuid,
    beat: u64,
}

/// The turn to commit before others do.
#[derive(Debug)]
pub struct WriterLease {
    lake: Lake,
    holder: Uuid,
    beating: JoinHandle<()>,
}

impl Lake {
    /// Waits until this writer has the turn.
    pub async fn take_writer_lease(&self) -> Result<WriterLease, LakeError> {
        let holder = Uuid::new_v4();
        let path = self.path(PATH);
        let held = to_json(&Held { holder, beat: 0 })?;
        while self.store().put_new(&path, &held).await? == Put::Exists {
            self.wait_for_writer_lease(None).await?;
        }
        let lake = self.clone();
        let beating = tokio::spawn(async move {
            for beat in 1.. {
                sleep(BEAT).await;
                // A beat that fails is made up for by the next one.
                let _ = lake.replace_document(PATH, &Held { holder, beat }).await;
            }
        });
        Ok(WriterLease {
            lake: self.clone(),
            holder,
            beating,
        })
    }

    /// Waits until nobody else has the turn who is alive.
    pub(crate) async fn wait_for_writer_lease(
        &self,
        own: Option<&WriterLease>,
    ) -> Result<(), LakeError> {
        let mut seen: Option<(Held, Instant)> = None;
        loop {
            let Some(held) = self.find_document::<Held>(PATH).await? else {
                return Ok(());
            };
            if own.is_some_and(|turn| turn.holder == held.holder) {
                return Ok(());
            }
            match &seen {
                Some((before, since)) if *before == held => {
                    if since.elapsed() >= SILENCE {
                        return self.store().delete(&self.path(PATH)).await;
                    }
                }
                _ => seen = Some((held, Instant::now())),
            }
            sleep(LOOK).await;
        }
    }
}

impl WriterLease {
    /// Lets the others go on.
    pub async fn release(self) -> Result<(), LakeError> {
        self.beating.abort();
        // A beat that is under way must not come after.
        while !self.beating.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        self.lake.store().delete(&self.lake.path(PATH)).await
    }
}

impl Drop for WriterLease {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::Instant;

    use super::SILENCE;
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
        let turn = lake.take_writer_lease().await.unwrap();
        lake.wait_for_writer_lease(Some(&turn)).await.unwrap();
        // Of several who ask at once each finds that nobody else has it.
        let is_held = Arc::new(AtomicBool::new(true));
        let others = (0..4).map(|_| {
            let (other, is_held) = (lake.clone(), Arc::clone(&is_held));
            tokio::spawn(async move {
                let turn = other.take_writer_lease().await.unwrap();
                assert!(!is_held.swap(true, Ordering::SeqCst), "two have the turn");
                // Others look meanwhile.
                for _ in 0..20 {
                    other.head().await.unwrap();
                }
                is_held.store(false, Ordering::SeqCst);
                turn.release().await.unwrap();
            })
        });
        let others: Vec<_> = others.collect();
        for _ in 0..20 {
            lake.head().await.unwrap();
        }
        is_held.store(false, Ordering::SeqCst);
        turn.release().await.unwrap();
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
        assert!(since.elapsed() >= SILENCE);
    }
}
