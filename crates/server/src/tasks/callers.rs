//! Forgets callers who have not called for a while, so that their number does not grow without end.

use std::time::Duration;

use crate::state::Server;

const INTERVAL: Duration = Duration::from_secs(10);

/// Forgets idle callers, without end.
pub(crate) async fn keep_forgetting(server: Server) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        server.call_limits().forget_idle();
    }
}
