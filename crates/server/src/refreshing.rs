//! Segments are computed by themselves: after rows came in, when a pause is over, and again after
//! they failed.

use std::time::Duration;

use rollbook_app::segments;

use crate::server::Server;

/// The pause between two looks: small commits that come in it are gathered into one refresh.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks for segments that are due, for as long as the server runs.
pub(crate) async fn keep_refreshing(server: Server) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = server.now();
        let done = server.work(move |server| async move {
            match segments::refresh_due(server.place(), now).await {
                // Before the first rows there is no lake.
                Err(error) if error.is_no_lake() => Ok(Vec::new()),
                other => other,
            }
        });
        match done.await {
            Ok(outcomes) => {
                if !outcomes.is_empty() {
                    // Whoever asks next is told at once whether they are still up to date.
                    let _ = segments::health(server.place(), server.now()).await;
                }
                for outcome in outcomes {
                    let key = &outcome.segment;
                    match &outcome.result {
                        Ok(done) => tracing::info!(
                            segment = %key,
                            count = done.refreshed.count,
                            entered = done.entered,
                            left = done.left,
                            "computed"
                        ),
                        Err(error) => {
                            let error = error.without_values();
                            tracing::warn!(segment = %key, %error, "not computed");
                        }
                    }
                }
            }
            // Those that stood stand; the next look tries again.
            Err(problem) => tracing::warn!(?problem, "segments not computed"),
        }
    }
}
