//! Posts that wait for the next commit. Those that come while one is under way share the next.

use rollbook_app::idempotency::post_all;

use crate::journal::fold_waiting;
use crate::problem::Problem;
use crate::state::Server;

/// Requests that share a commit at most.
const REQUESTS_AT_ONCE: usize = 256;

/// Waits for the turn to commit, and then answers all who wait by then. So posts that come while
/// a commit is under way share the next one; who finds nobody waiting was answered by another.
pub(crate) async fn take_turn(server: Server) {
    if answer_waiting(&server).await {
        // Others go on meanwhile: it is a task of its own, and commits when it is its turn.
        server.tidy_up().await;
    }
}

/// False where nobody waited.
async fn answer_waiting(server: &Server) -> bool {
    let _writer = server.writer().await;
    let waiting = server.queue().take(REQUESTS_AT_ONCE);
    if waiting.is_empty() {
        return false;
    }
    let (posts, answers): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .map(|one| (one.post, (one.answer, one.folder)))
        .unzip();
    let work = |server: Server| async move { Ok(post_all(server.workspace(), posts).await) };
    // What was acknowledged before comes before.
    let posted = match fold_waiting(server).await {
        Ok(()) => server.compute(work).await,
        Err(problem) => Err(problem),
    };
    // Who has hung up meanwhile hears nothing; the rows are taken in all the same.
    match posted {
        Ok(posted) => {
            for ((answer, _folder), posted) in answers.into_iter().zip(posted) {
                if let Ok(posted) = &posted {
                    server.metrics().posted(posted);
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
