//! Network: how connections are encrypted, whose request comes over which of them, and what ends with an answer.

mod client;
pub(crate) mod guarded_body;
mod proxies;
pub(crate) mod tls;

pub(crate) use client::{ClientAddress, Peer, Transport, client_address};
pub use proxies::{InvalidProxyNetwork, ProxyNetwork};
pub use tls::{TlsError, TlsFiles};

/// How a server is reached from outside.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// The certificate of the server and its key; `None` if connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Proxies whose connections carry the requests of others.
    pub trusted_proxies: Vec<ProxyNetwork>,
}
