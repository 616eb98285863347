//! Measures memory, so that what is used without being reserved leaves less to be reserved.

use std::time::Duration;

use crate::state::Server;

const INTERVAL: Duration = Duration::from_millis(50);

/// Measures the memory of the server and its workers, without end.
pub(crate) async fn keep_measuring(server: Server) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        server.measure_memory();
    }
}
