//! Committing queued requests: those that arrive during a commit share the next one.

use rollbook_app::ingest::idempotency::post_all;

use crate::problem::Problem;
use crate::state::Server;
use crate::tasks::wal::fold_now;

/// Requests per commit at most.
const MAX_REQUESTS: usize = 256;

/// Waits for the lock, then commits and answers all queued requests. If none is queued, another task has
/// answered them.
pub(crate) async fn commit_queued(server: Server) {
    if answer_queued(&server).await {
        // Other requests go on: compaction takes the lock only for its own commits.
        server.compact_if_due().await;
    }
}

/// Returns false if no request was queued.
async fn answer_queued(server: &Server) -> bool {
    let _writer = server.state().lock_writing().await;
    let waiting = server.state().commit_queue.take(MAX_REQUESTS);
    if waiting.is_empty() {
        return false;
    }
    let (posts, answers): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .map(|one| (one.post, (one.answer, one.folder)))
        .unzip();
    let work = |server: Server| async move { Ok(post_all(server.workspace(), posts).await) };
    // Entries acknowledged before these requests are committed first.
    let posted = match fold_now(server).await {
        Ok(()) => server.compute(work).await,
        Err(problem) => Err(problem),
    };
    // Sending fails if the caller disconnected; the rows are committed anyway.
    match posted {
        Ok(posted) => {
            for ((answer, _folder), posted) in answers.into_iter().zip(posted) {
                if let Ok(posted) = &posted {
                    server.count_posted(posted);
                }
                let _ = answer.send(posted.map_err(Problem::from));
            }
        }
        Err(problem) => {
            for (answer, _folder) in answers {
                let _ = answer.send(Err(problem.clone()));
            }
        }
    }
    true
}
