//! The files of a certificate and its key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};

/// The only protocol that is spoken over TLS, as ALPN names it.
const PROTOCOL: &[u8] = b"http/1.1";

/// The PEM files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key, without a passphrase.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not PEM. What is wrong is left out, since it may quote a key.
    #[error("`{}` is damaged: it is no complete PEM file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate in the file.
    #[error("there is no certificate in `{}`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file, or only one with a passphrase.
    #[error("there is no private key in `{}`, or only one that needs a passphrase", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is that of another certificate.
    #[error("the key in `{}` is not that of the first certificate in `{}`", key.display(), certificate.display())]
    OtherKey {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Certificate or key are of an unsupported kind.
    #[error("`{}` with `{}` cannot be used: {source}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What TLS says.
        source: rustls::Error,
    },
}

/// What the two files look like from outside; `None` for one that is not there.
pub(crate) type Stamp = [Option<FileStamp>; 2];

/// What a file looks like from outside: it changes with the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Another file under the same name has another one.
    identity: u64,
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let identity = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            identity,
        })
    }
}

impl TlsFiles {
    /// What the files look like now.
    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| FileStamp::of(path))
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = self.chain()?;
        let key = self.private_key()?;
        let unusable = |source| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        };
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions();
        let builder = versions.map_err(unusable)?.with_no_client_auth();
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::OtherKey {
                        certificate: self.certificate.clone(),
                        key: self.key.clone(),
                    }
                }
                error => unusable(error),
            })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = || self.certificate.clone();
        let content = content(&self.certificate)?;
        let found = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
        match found {
            Ok(chain) if chain.is_empty() => Err(TlsError::NoCertificate { path: path() }),
            Ok(chain) => Ok(chain),
            Err(_) => Err(TlsError::Damaged { path: path() }),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = self.key.clone();
        let found = PrivateKeyDer::from_pem_slice(&content(&self.key)?);
        found.map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { path },
            _ => TlsError::Damaged { path },
        })
    }
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}
