//! Certificates of tests, and clients that trust one of them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::own_lake::OwnLake;

/// The files of a certificate beside a lake.
pub(crate) const CERTIFICATE: &str = "tls/cert.pem";
pub(crate) const KEY: &str = "tls/key.pem";

/// A certificate for `localhost` that vouches for itself, with its key.
pub(crate) struct TestCertificate {
    pub(crate) pem: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

impl TestCertificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    /// Writes the two files beside a lake.
    pub(crate) fn write(&self, lake: &OwnLake) {
        lake.write(CERTIFICATE, &self.pem);
        lake.write(KEY, &self.key);
    }
}

/// A connection that is encrypted and whose server is known.
pub(crate) struct TlsConnection(StreamOwned<ClientConnection, TcpStream>);

impl TlsConnection {
    /// Connects to a server that has this certificate.
    pub(crate) fn open(address: &str, trusted: &TestCertificate) -> io::Result<Self> {
        Self::with_protocols(address, trusted, &[])
    }

    /// The same, offering protocols by ALPN.
    pub(crate) fn with_protocols(
        address: &str,
        trusted: &TestCertificate,
        protocols: &[&str],
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        while client.is_handshaking() {
            client.complete_io(&mut stream)?;
        }
        Ok(Self(StreamOwned::new(client, stream)))
    }

    /// The protocol that was agreed on.
    pub(crate) fn protocol(&self) -> Option<String> {
        let name = self.0.conn.alpn_protocol()?;
        Some(String::from_utf8(name.to_vec()).unwrap())
    }

    /// Sends a request and reads everything until the server ends the connection, as TLS ends it.
    pub(crate) fn last(mut self, request: &str) -> io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Sends a request and reads its answer, which has a length; the connection stays open.
    pub(crate) fn exchange(&mut self, request: &str) -> io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let head = String::from_utf8(answer).unwrap();
        let length = head.lines().find_map(|line| {
            let value = line.to_lowercase();
            value.strip_prefix("content-length: ")?.parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        Ok(head + &String::from_utf8_lossy(&body))
    }
}
