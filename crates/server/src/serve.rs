//! The server: listening, serving, and a graceful stop.

use std::future::Future;
use std::net::SocketAddr;

use rollbook_app::AppError;
use tokio::net::TcpListener;
use tower_http::normalize_path::NormalizePath;

use crate::{
    http::connections,
    router::router,
    state::{Options, Server},
    tasks,
};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is reachable from other machines, and the server does not encrypt connections yet.
    #[error(
        "`{address}` can be reached from other machines, and connections are not encrypted yet: listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback {
        /// The requested address.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// A server that is bound to its address and does not answer yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Binds a loopback address; others are refused until connections are encrypted.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`]; [`ServeError::Listen`] if the address is in use or not available.
    pub async fn on(address: SocketAddr) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback { address });
        }
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The bound address, with the assigned port if port 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves; running requests then get some time to finish.
    ///
    /// # Errors
    /// The location of the lake is invalid.
    pub async fn serve(
        self,
        options: Options,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), AppError> {
        let server = Server::new(options)?;
        let grace_period = server.limits().grace_period;
        let (stop_sender, stop_receiver) = tokio::sync::oneshot::channel();
        let stopping = async move {
            stop.await;
            // The receiver is gone if the server has failed already.
            let _ = stop_sender.send(());
        };
        let folding = tokio::spawn(tasks::wal::keep_folding(server.clone()));
        let refreshing = tokio::spawn(tasks::refreshes::keep_refreshing(server.clone()));
        let signing_keys = server.clone();
        tokio::spawn(async move { signing_keys.fetch_signing_keys().await });
        if let Some(workers) = server.workers().cloned() {
            tokio::spawn(async move { workers.keep_one_idle().await });
        }
        let limits = *server.limits();
        let service = NormalizePath::trim_trailing_slash(router(server));
        let serving = connections::serve(self.listener, service, limits, stopping);
        let waiting = async move {
            match stop_receiver.await {
                Ok(()) => tokio::time::sleep(grace_period).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = serving => {},
            () = waiting => {},
        }
        // Entries left in the log are durable, and the next server folds them.
        folding.abort();
        refreshing.abort();
        Ok(())
    }
}
