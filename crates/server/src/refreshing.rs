//! Segments are computed by themselves: after rows came in, when a pause is over, and again after
//! they failed.

use std::time::Duration;

use rollbook_app::segments;
use rollbook_model::SegmentKey;

use crate::apart;
use crate::problem::Problem;
use crate::state::Server;

/// The pause between two looks: small commits that come in it are gathered into one refresh.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks for segments that are due, for as long as the server runs.
pub(crate) async fn keep_refreshing(server: Server) {
    loop {
        tokio::time::sleep(PAUSE).await;
        match refresh_due(&server).await {
            Ok(outcomes) => {
                if !outcomes.is_empty() {
                    // Whoever asks next is told at once whether they are still up to date.
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

/// Computes what is due: here what costs as much as can be told, and everything else in processes of
/// its own.
async fn refresh_due(server: &Server) -> Result<Vec<segments::Outcome>, Problem> {
    let now = server.now();
    let due = server.work(move |server| async move {
        let due = match segments::due(server.workspace(), now).await {
            // Before the first rows there is no lake.
            Err(error) if error.is_no_lake() => Vec::new(),
            other => other?,
        };
        let (keys, texts): (Vec<_>, Vec<_>) = due.into_iter().unzip();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let tame = match texts.is_empty() || server.workers().is_none() {
            true => vec![true; keys.len()],
            false => segments::are_tame(server.workspace(), &texts).await?,
        };
        Ok(keys.into_iter().zip(tame).collect::<Vec<_>>())
    });
    let (here, apart): (Vec<_>, Vec<_>) = due.await?.into_iter().partition(|(_, is_tame)| *is_tame);
    let here: Vec<SegmentKey> = here.into_iter().map(|(key, _)| key).collect();
    let mut outcomes = Vec::new();
    if !here.is_empty() {
        let refreshed = server.work(move |server| async move {
            segments::refresh(server.workspace(), &here, now, now, false).await
        });
        outcomes = refreshed.await?;
    }
    for (key, _) in apart {
        if let Some(workers) = server.workers() {
            match apart::refresh(server, workers, &key).await {
                Ok(()) => tracing::info!(segment = %key, "computed"),
                Err(error) => tracing::warn!(segment = %key, %error, "not computed"),
            }
        }
    }
    Ok(outcomes)
}
