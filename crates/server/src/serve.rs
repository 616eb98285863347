//! The server: listening, serving, and a graceful stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use rollbook_app::AppError;
use tokio::net::TcpListener;
use tower_http::normalize_path::NormalizePath;

use crate::{
    access,
    http::connections::{self, Site},
    network::tls::{Certificate, Stamp},
    network::{NetworkOptions, ProxyNetwork, TlsError},
    router::router,
    state::{Options, Server},
    tasks,
};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is reachable from other machines, and neither the server nor a proxy encrypts connections.
    #[error(
        "`{address}` can be reached from other machines, and nothing would encrypt their connections"
    )]
    NotEncrypted {
        /// The requested address.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    certificate: Option<(Arc<Certificate>, Stamp)>,
    proxies: Arc<[ProxyNetwork]>,
}

impl Listening {
    /// Binds an address; one beyond loopback only if connections are encrypted.
    ///
    /// # Errors
    /// [`ServeError::NotEncrypted`]; [`ServeError::Tls`] if the certificate cannot be used; [`ServeError::Listen`] if
    /// the address is in use or not available.
    pub async fn on(address: SocketAddr, network: NetworkOptions) -> Result<Self, ServeError> {
        let NetworkOptions {
            tls,
            trusted_proxies,
        } = network;
        if !is_loopback(address) && tls.is_none() && trusted_proxies.is_empty() {
            return Err(ServeError::NotEncrypted { address });
        }
        let certificate = tls.map(Certificate::load).transpose()?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            certificate: certificate.map(|(certificate, stamp)| (Arc::new(certificate), stamp)),
            proxies: trusted_proxies.into(),
        })
    }

    /// Whether programs of other machines can call, directly or over a proxy: then everybody needs a key.
    pub fn is_exposed(&self) -> bool {
        !is_loopback(self.address) || !self.proxies.is_empty()
    }

    /// The bound address with its scheme, and the assigned port if port 0 was requested.
    pub fn url(&self) -> String {
        let scheme = match self.certificate {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
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
        let server = Server::new(options, self.is_exposed())?;
        let grace_period = server.limits().grace_period;
        let (stop_sender, stop_receiver) = tokio::sync::oneshot::channel();
        let stopping = async move {
            stop.await;
            // The receiver is gone if the server has failed already.
            let _ = stop_sender.send(());
        };
        let stopped = server.clone();
        let serving_tenants = tokio::spawn(tasks::tenants::keep_tenants(server.clone()));
        let measuring = tokio::spawn(tasks::memory::keep_measuring(server.clone()));
        let forgetting = tokio::spawn(tasks::callers::keep_forgetting(server.clone()));
        let (certificate, watching) = match self.certificate {
            Some((certificate, loaded)) => {
                let watching = Arc::clone(&certificate).keep_current(loaded);
                (Some(certificate), Some(tokio::spawn(watching)))
            }
            None => (None, None),
        };
        let signing_keys = server.clone();
        tokio::spawn(async move { signing_keys.fetch_signing_keys().await });
        if let Some(workers) = server.workers().cloned() {
            tokio::spawn(async move { workers.keep_one_idle().await });
        }
        let limits = *server.limits();
        let site = Site {
            service: NormalizePath::trim_trailing_slash(router(server, self.proxies)),
            certificate,
            limits,
        };
        let serving = connections::serve(self.listener, site, stopping);
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
        serving_tenants.abort();
        forgetting.abort();
        measuring.abort();
        if let Some(watching) = watching {
            watching.abort();
        }
        access::end_audit(&stopped).await;
        Ok(())
    }
}

/// Whether only programs of this machine can reach an address.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
