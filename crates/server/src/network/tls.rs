//! TLS: the certificate of the server, which is read again when its files change.

mod files;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub(crate) use files::Stamp;
pub use files::{TlsError, TlsFiles};

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The certificate that new connections are encrypted with.
pub(crate) struct Certificate {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Certificate")
            .field(&self.files)
            .finish()
    }
}

impl Certificate {
    /// Reads the files, with what they looked like just before.
    ///
    /// # Errors
    /// [`TlsError`] says which file is wrong.
    pub(crate) fn load(files: TlsFiles) -> Result<(Self, Stamp), TlsError> {
        let stamp = files.stamp();
        let config = RwLock::new(Arc::new(files.read()?));
        Ok((Self { files, config }, stamp))
    }

    /// Accepts connections with the newest certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// Reads the files whenever they have changed, without end.
    pub(crate) async fn keep_current(self: Arc<Self>, loaded: Stamp) {
        let mut watch = Watch {
            loaded,
            refused: None,
        };
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let itself = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                itself.look(&mut watch);
                watch
            });
            watch = match looked.await {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(%error, "the certificate is not watched any more");
                    return;
                }
            };
        }
    }

    /// Reads the files if they have changed.
    fn look(&self, watch: &mut Watch) {
        let stamp = self.files.stamp();
        if stamp == watch.loaded {
            watch.refused = None;
            return;
        }
        match &mut watch.refused {
            Some(refused) if refused.stamp == stamp => refused.report(),
            _ => match self.files.read() {
                Ok(config) => {
                    let mut current = self.config.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(config);
                    drop(current);
                    tracing::info!("the certificate was read again");
                    watch.loaded = stamp;
                    watch.refused = None;
                }
                Err(error) => {
                    let is_reported = false;
                    watch.refused = Some(Refused {
                        stamp,
                        error,
                        is_reported,
                    });
                }
            },
        }
    }
}

/// What is known of the files.
struct Watch {
    /// What they looked like when they were read for the certificate in use.
    loaded: Stamp,
    /// The newest change that could not be used.
    refused: Option<Refused>,
}

/// A change of the files that could not be used.
struct Refused {
    stamp: Stamp,
    error: TlsError,
    is_reported: bool,
}

impl Refused {
    /// Logs it once. It is called when the files have not changed for an interval: until then, the second of them may
    /// still have to be written.
    fn report(&mut self) {
        if !self.is_reported {
            self.is_reported = true;
            let error = &self.error;
            tracing::warn!(%error, "the new certificate cannot be used; the one before stays in use");
        }
    }
}
