//! Write-ahead log: appending entries in groups, acknowledging them, and folding the log into snapshots.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollbook_app::data;
use rollbook_app::ingest::wal::{Folded, append, appended, fold, fold_policy};
use rollbook_app::{AppError, Entry};
use rollbook_model::config::JOURNAL_SECONDS;
use tokio::sync::oneshot;

use crate::problem::Problem;
use crate::state::Server;
use crate::state::wal_buffer::PendingEntry;

/// Time to collect entries that are appended together.
const GROUP_INTERVAL: Duration = Duration::from_millis(10);
/// Delay after folding has failed.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Appends an entry together with others that arrive at the same time; returns once it is durable.
pub(crate) async fn append_entry(server: &Server, entry: Entry) -> Result<(), Problem> {
    let (sender, acknowledged) = oneshot::channel();
    server.state().wal.push(PendingEntry {
        entry,
        acknowledge: sender,
    });
    // A separate task, so that a caller who disconnects does not abort it.
    tokio::spawn(append_pending(server.clone()));
    acknowledged.await.map_err(|_| Problem::internal())?
}

/// Appends all pending entries as one object. If none is pending, another task has appended them.
async fn append_pending(server: Server) {
    let wal = &server.state().wal;
    let mut next = wal.next.lock().await;
    if wal.is_empty() {
        return;
    }
    tokio::time::sleep(GROUP_INTERVAL).await;
    let (entries, waiting): (Vec<_>, Vec<_>) = wal
        .take()
        .into_iter()
        .map(|one| (one.entry, one.acknowledge))
        .unzip();
    let first = *next;
    let work = move |server: Server| async move {
        let number = match first {
            Some(number) => number,
            None => 1 + last_number(&server).await?,
        };
        let appended = append(server.workspace(), &entries, number).await?;
        Ok((number, appended.bytes))
    };
    let appended = server.run_blocking(work).await;
    if let Ok((number, bytes)) = appended {
        *next = Some(number + 1);
        wal.objects.fetch_add(1, Ordering::Relaxed);
        let before = wal.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= wal.limit.load(Ordering::Relaxed) {
            wal.is_due.notify_one();
        }
    }
    for one in waiting {
        // Sending fails if the caller disconnected; the rows are durable anyway.
        let _ = one.send(appended.as_ref().map(|_| ()).map_err(Clone::clone));
    }
}

async fn last_number(server: &Server) -> Result<u64, AppError> {
    let waiting = appended(server.workspace()).await?;
    Ok(waiting.last().map_or(0, |last| last.number()))
}

/// Folds the log for as long as the server runs: at an interval, and at once when it is large. Starts with
/// what an earlier server left.
pub(crate) async fn keep_folding(server: Server) {
    let mut every = Duration::from_secs(u64::from(JOURNAL_SECONDS));
    let wal = &server.state().wal;
    let result = server
        .run_blocking(|server| async move { data::newest_snapshot(server.workspace()).await });
    if let Ok(newest) = result.await {
        server.state().note_snapshot(newest);
    }
    // If that fails, the next append corrects the counters.
    let _ = count_unfolded(&server).await;
    loop {
        if wal.unfolded().0 > 0 {
            let lock = server.state().lock_writing().await;
            let folded = fold_now(&server).await;
            drop(lock);
            match folded {
                Ok(()) => server.compact_if_due().await,
                Err(_) => tokio::time::sleep(RETRY_DELAY).await,
            }
            let result =
                server.run_blocking(|server| async move { fold_policy(server.workspace()).await });
            if let Ok(policy) = result.await {
                every = policy.every;
                wal.limit.store(policy.bytes, Ordering::Relaxed);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = wal.is_due.notified() => {}
        }
    }
}

/// Folds the log now. The caller holds the lock for committing.
pub(crate) async fn fold_now(server: &Server) -> Result<(), Problem> {
    if server.state().wal.unfolded().0 == 0 {
        return Ok(());
    }
    let work = |server: Server| async move {
        let mappings = server.mappings().map(PathBuf::as_path);
        fold(server.workspace(), mappings, server.now()).await
    };
    let rows = server.state().wal.take_rows();
    let folded = server.run_blocking(work).await;
    count_unfolded(server).await?;
    let folded = match folded {
        Ok(folded) => folded,
        Err(problem) => {
            // They are still in the log.
            rows.into_iter()
                .for_each(|one| server.state().wal.keep(one));
            return Err(problem);
        }
    };
    let Folded { posted, refused } = folded;
    drop(rows);
    for one in &posted {
        server.count_posted(one);
    }
    if refused > 0 {
        tracing::warn!(refused, "acknowledged requests were rejected");
        server.metrics().refused.inc_by(refused);
    }
    Ok(())
}

/// Counts the objects of the log while nothing is appended.
async fn count_unfolded(server: &Server) -> Result<(), Problem> {
    let wal = &server.state().wal;
    let _append_lock = wal.next.lock().await;
    let result = server.run_blocking(|server| async move { appended(server.workspace()).await });
    let waiting = result.await?;
    let bytes = waiting.iter().map(|appended| appended.bytes).sum();
    wal.objects.store(waiting.len() as u64, Ordering::Relaxed);
    wal.bytes.store(bytes, Ordering::Relaxed);
    Ok(())
}
