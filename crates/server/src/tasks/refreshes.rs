//! Scheduled refreshes of segments: after ingest, at intervals, and again after failures.

use std::time::Duration;

use rollbook_app::segments;
use rollbook_model::SegmentKey;

use crate::isolation;
use crate::problem::Problem;
use crate::state::Server;

/// Interval between checks: small commits within it are covered by one refresh.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Refreshes due segments for as long as the server runs.
pub(crate) async fn keep_refreshing(server: Server) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        match refresh_due(&server).await {
            Ok(outcomes) => {
                if !outcomes.is_empty() {
                    // Precomputes the freshness for the next request.
                    let _ = segments::health(server.workspace(), server.now()).await;
                }
                for outcome in outcomes {
                    let key = &outcome.segment;
                    match &outcome.result {
                        Ok(done) => tracing::info!(
                            segment = %key,
                            count = done.refreshed.count,
                            entered = done.entered,
                            left = done.left,
                            "segment refreshed"
                        ),
                        Err(error) => {
                            let error = error.without_values();
                            tracing::warn!(segment = %key, %error, "segment not refreshed");
                        }
                    }
                }
            }
            // Existing memberships stay; the next check tries again.
            Err(problem) => tracing::warn!(?problem, "segments not refreshed"),
        }
    }
}

/// Refreshes due segments: those with a bounded cost in this process, others in workers.
async fn refresh_due(server: &Server) -> Result<Vec<segments::Outcome>, Problem> {
    let now = server.now();
    let due = server.run_blocking(move |server| async move {
        let due = match segments::due(server.workspace(), now).await {
            // There is no lake before the first ingest.
            Err(error) if error.is_no_lake() => Vec::new(),
            other => other?,
        };
        let (keys, texts): (Vec<_>, Vec<_>) = due.into_iter().unzip();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let bounded = match texts.is_empty() || server.workers().is_none() {
            true => vec![true; keys.len()],
            false => segments::have_bounded_cost(server.workspace(), &texts).await?,
        };
        Ok(keys.into_iter().zip(bounded).collect::<Vec<_>>())
    });
    let (here, isolated): (Vec<_>, Vec<_>) = due
        .await?
        .into_iter()
        .partition(|(_, is_bounded)| *is_bounded);
    let here: Vec<SegmentKey> = here.into_iter().map(|(key, _)| key).collect();
    let mut outcomes = Vec::new();
    if !here.is_empty() {
        let refreshed = server.compute(move |server| async move {
            segments::refresh(server.workspace(), &here, now, now, false).await
        });
        outcomes = refreshed.await?;
    }
    for (key, _) in isolated {
        if let Some(workers) = server.workers() {
            match isolation::refresh(server, workers, &key).await {
                Ok(()) => tracing::info!(segment = %key, "segment refreshed"),
                Err(error) => tracing::warn!(segment = %key, %error, "segment not refreshed"),
            }
        }
    }
    Ok(outcomes)
}
