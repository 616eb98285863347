//! Readiness of the server, checked every few seconds at most, however often it is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rollbook_app::readiness::{self, UNREADABLE};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Server;

/// How long an outcome counts.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a check may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The reason if a check takes longer.
const SLOW: &str = "the lake does not answer";

/// The last outcome, and when it was determined.
type Checked = Option<(Instant, Result<(), &'static str>)>;

/// The last outcome; requests that arrive during a check wait for its outcome.
#[derive(Clone, Default)]
pub(super) struct Readiness(Arc<Mutex<Checked>>);

impl Server {
    /// Whether the lake can be read and written and its master key is there.
    ///
    /// # Errors
    /// The reason, which names no tenant.
    pub(crate) async fn check_readiness(&self) -> Result<(), &'static str> {
        let mut checked = Arc::clone(&self.inner.readiness.0).lock_owned().await;
        let before = *checked;
        if let Some((at, outcome)) = before
            && at.elapsed() < INTERVAL
        {
            return outcome;
        }
        // In a task of its own: callers who disconnect must not start another check each.
        let server = self.with_all_rights();
        let checking = tokio::spawn(async move {
            let outcome = server.probe().await;
            if before.is_some_and(|(_, before)| before.is_err()) && outcome.is_ok() {
                tracing::info!("ready again");
            }
            server.metrics().ready.set(i64::from(outcome.is_ok()));
            *checked = Some((Instant::now(), outcome));
            outcome
        });
        checking.await.unwrap_or(Err(UNREADABLE))
    }

    async fn probe(&self) -> Result<(), &'static str> {
        let probing = self
            .run_blocking(|server| async move { Ok(readiness::check(server.workspace()).await) });
        match timeout(LIMIT, probing).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(not_ready))) => {
                let (reason, error) = (not_ready.reason, not_ready.source.without_values());
                tracing::warn!(reason, %error, "not ready");
                Err(reason)
            }
            Ok(Err(_)) => Err(UNREADABLE),
            Err(_) => {
                tracing::warn!(reason = SLOW, "not ready");
                Err(SLOW)
            }
        }
    }
}
