//! What the server holds for one tenant: workspace, queues, locks, counters.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rollbook_app::ingest::count_rows;
use rollbook_app::ingest::idempotency::Posted;
use rollbook_app::maintenance::compact_beside;
use rollbook_app::tenants::{Usage, new_rows};
use rollbook_app::{AppError, DeclaredCharset, Quotas, Workspace};
use rollbook_model::SnapshotNumber;
use tokio::sync::{Mutex, MutexGuard};

use super::Server;
use super::commit_queue::CommitQueue;
use super::usage::{MeasuredUsage, PendingRows};
use super::wal_buffer::WalBuffer;

/// One tenant of the server.
pub(crate) struct TenantState {
    /// The workspace with all rights.
    pub(super) workspace: Arc<Workspace>,
    /// What it may use, as it was known at the last request.
    quotas: RwLock<Quotas>,
    /// Serialises the commits of this process, which would otherwise conflict and retry.
    writing: Mutex<()>,
    compacting: Mutex<()>,
    /// Requests that wait for the next commit.
    pub(crate) commit_queue: CommitQueue,
    /// The write-ahead log: acknowledged requests that are in no snapshot yet.
    pub(crate) wal: WalBuffer,
    /// The newest snapshot that this process committed or read.
    snapshot: AtomicU64,
    /// What the tenant uses, as it was measured last.
    usage: MeasuredUsage,
    /// Held while a request is compared with the quotas and counted.
    beginning: Mutex<()>,
}

impl TenantState {
    pub(super) fn new(workspace: Workspace) -> Self {
        Self {
            workspace: Arc::new(workspace),
            quotas: RwLock::default(),
            writing: Mutex::new(()),
            compacting: Mutex::new(()),
            commit_queue: CommitQueue::default(),
            wal: WalBuffer::default(),
            snapshot: AtomicU64::new(0),
            usage: MeasuredUsage::default(),
            beginning: Mutex::new(()),
        }
    }

    /// What the tenant may use.
    pub(crate) fn quotas(&self) -> Quotas {
        *self.quotas.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the quotas of the tenant.
    pub(super) fn set_quotas(&self, quotas: Quotas) {
        if self.quotas() != quotas {
            *self.quotas.write().unwrap_or_else(PoisonError::into_inner) = quotas;
        }
    }

    /// The newest snapshot that this process committed or read.
    pub(crate) fn snapshot(&self) -> SnapshotNumber {
        SnapshotNumber(self.snapshot.load(Ordering::Relaxed))
    }

    /// Notes a snapshot that this process committed or read.
    pub(crate) fn note_snapshot(&self, snapshot: SnapshotNumber) {
        self.snapshot.store(snapshot.0, Ordering::Relaxed);
    }

    /// The lock for committing.
    pub(crate) async fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }
}

impl Server {
    /// Counts the rows of a request, unless it is a repetition.
    pub(crate) fn count_posted(&self, posted: &Posted) {
        if !posted.repeated {
            self.state().note_snapshot(posted.ingested.snapshot);
            self.metrics().posted(posted);
            let rows = new_rows(&posted.ingested.tables);
            self.state().usage.count_rows(rows);
        }
    }

    /// Refuses rows of a tenant that has used up its quotas. Its objects are measured from time to time, and its rows
    /// counted: the request that reaches a quota is the last one that is taken.
    ///
    /// # Errors
    /// 403 `quota_reached`; the lake cannot be read.
    pub(crate) async fn check_rows_quota(&self) -> Result<(), AppError> {
        let quotas = self.state().quotas();
        if !quotas.limits_rows() {
            return Ok(());
        }
        let usage = self.usage().await?;
        quotas.check_rows(usage.storage_bytes, usage.rows_today)
    }

    /// Counts the rows of a body for the quota of the tenant, until the result is dropped: from when they are committed,
    /// they are counted as they were taken.
    ///
    /// # Errors
    /// 403 `quota_reached`, if others have reached it meanwhile; the lake cannot be read.
    pub(crate) async fn begin_rows(
        &self,
        body: &Path,
        charset: Option<DeclaredCharset>,
    ) -> Result<Option<PendingRows>, AppError> {
        let Some(most) = self.state().quotas().rows_per_day else {
            return Ok(None);
        };
        let body = body.to_owned();
        let counting = tokio::task::spawn_blocking(move || count_rows(&body, charset, most));
        let rows = counting.await.unwrap_or(most);
        let _turn = self.state().beginning.lock().await;
        self.check_rows_quota().await?;
        Ok(Some(self.state().usage.begin(rows)))
    }

    /// What the tenant uses.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(crate) async fn usage(&self) -> Result<Usage, AppError> {
        let now = self.now();
        let tenants = self.tenants().served.tenants();
        let measure = || tenants.usage(self.tenant(), now);
        self.state().usage.get(now, measure).await
    }

    /// Compacts tables that are due, unless a compaction is running.
    pub(crate) async fn compact_if_due(&self) {
        let tenant = &self.tenant;
        let Ok(_lock) = tenant.compacting.try_lock() else {
            return;
        };
        let compacted = compact_beside(self.workspace(), self.now(), &tenant.writing).await;
        match compacted {
            Ok(tables) => {
                for done in tables {
                    tracing::info!(table = done.table, rows = done.rows, "compacted");
                }
            }
            // The tables are unchanged; the next commit tries again.
            Err(error) => tracing::warn!(%error, "compaction failed"),
        }
    }
}
