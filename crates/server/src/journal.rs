//! Posts that are acknowledged once they are in the journal, and its folding into snapshots.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollbook_app::wal::{Folded, append, appended, fold, newest, pace};
use rollbook_app::{AppError, Entry};
use rollbook_model::config::JOURNAL_SECONDS;
use tokio::sync::oneshot;

use crate::problem::Problem;
use crate::state::Server;
use crate::state::journal::Gathered;

/// Time in which entries gather before they are appended together.
const GATHERING: Duration = Duration::from_millis(10);
/// The pause after folding has failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Makes an entry durable together with others that come at the same time.
pub(crate) async fn acknowledge(server: &Server, entry: Entry) -> Result<(), Problem> {
    let (sender, acknowledged) = oneshot::channel();
    server.journal().push(Gathered {
        entry,
        acknowledge: sender,
    });
    // On a task of its own: a caller who hangs up must not stop it half way.
    tokio::spawn(append_gathered(server.clone()));
    acknowledged.await.map_err(|_| Problem::internal())?
}

/// Waits for the turn to append, and then for others to come; whoever finds nobody waiting was
/// appended by another.
async fn append_gathered(server: Server) {
    let journal = server.journal();
    let mut next = journal.next.lock().await;
    if journal.is_nobody_waiting() {
        return;
    }
    tokio::time::sleep(GATHERING).await;
    let (entries, waiting): (Vec<_>, Vec<_>) = journal
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
    let appended = server.work(work).await;
    if let Ok((number, bytes)) = appended {
        *next = Some(number + 1);
        journal.objects.fetch_add(1, Ordering::Relaxed);
        let before = journal.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= journal.limit.load(Ordering::Relaxed) {
            journal.is_due.notify_one();
        }
    }
    server.metrics().journal(journal.ahead());
    for one in waiting {
        // Who has hung up meanwhile hears nothing; the rows are durable all the same.
        let _ = one.send(appended.as_ref().map(|_| ()).map_err(Clone::clone));
    }
}

async fn last_number(server: &Server) -> Result<u64, AppError> {
    let waiting = appended(server.workspace()).await?;
    Ok(waiting.last().map_or(0, |last| last.number()))
}

/// Folds the journal again and again: after a while, and when enough waits. What an earlier server
/// left is folded first.
pub(crate) async fn keep_folding(server: Server) {
    let mut every = Duration::from_secs(u64::from(JOURNAL_SECONDS));
    let journal = server.journal();
    let asked = server.work(|server| async move { newest(server.workspace()).await });
    if let Ok(newest) = asked.await {
        server.metrics().snapshot.set(newest.0);
    }
    // If that fails, the next post that is appended makes up for it.
    let _ = count_waiting(&server).await;
    loop {
        if journal.ahead().0 > 0 {
            let turn = server.writer().await;
            let folded = fold_waiting(&server).await;
            drop(turn);
            match folded {
                Ok(()) => server.tidy_up().await,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            let asked = server.work(|server| async move { pace(server.workspace()).await });
            if let Ok(pace) = asked.await {
                every = pace.every;
                journal.limit.store(pace.bytes, Ordering::Relaxed);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = journal.is_due.notified() => {}
        }
    }
}

/// Takes what waits in the journal in; the caller has the turn to commit.
pub(crate) async fn fold_waiting(server: &Server) -> Result<(), Problem> {
    if server.journal().ahead().0 == 0 {
        return Ok(());
    }
    let work = |server: Server| async move {
        let mappings = server.mappings().map(PathBuf::as_path);
        fold(server.workspace(), mappings, server.now()).await
    };
    let folded = server.work(work).await;
    count_waiting(server).await?;
    let Folded { posted, refused } = folded?;
    for one in &posted {
        server.metrics().posted(one);
    }
    if refused > 0 {
        tracing::warn!(refused, "requests of the journal could not be taken in");
        server.metrics().refused.inc_by(refused);
    }
    Ok(())
}

/// Counts what waits, while nothing is being appended.
async fn count_waiting(server: &Server) -> Result<(), Problem> {
    let journal = server.journal();
    let _nobody_appends = journal.next.lock().await;
    let asked = server.work(|server| async move { appended(server.workspace()).await });
    let waiting = asked.await?;
    let bytes = waiting.iter().map(|appended| appended.bytes).sum();
    journal
        .objects
        .store(waiting.len() as u64, Ordering::Relaxed);
    journal.bytes.store(bytes, Ordering::Relaxed);
    server.metrics().journal(journal.ahead());
    Ok(())
}
