//! The handshake of an encrypted connection, within its time limit.

use std::io;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::shared::Shared;
use super::timeout::WriteTimeout;
use crate::limits::ServeLimits;
use crate::network::tls::Certificate;
use crate::problem::Problem;

/// Bytes of an unencrypted request that are read before it is refused.
const READ_BYTES: usize = 16 << 10;

/// Encrypts a connection; `None` if the caller does not complete the handshake.
pub(super) async fn encrypted(
    certificate: &Certificate,
    stream: &Shared,
    io: WriteTimeout<Shared>,
    limits: &ServeLimits,
) -> Option<TlsStream<WriteTimeout<Shared>>> {
    let handshake = async {
        match stream.first_byte().await? {
            // A method of HTTP: the records of TLS begin with small numbers.
            Some(first) if first.is_ascii_uppercase() => {
                refuse_unencrypted(io).await?;
                Ok(None)
            }
            Some(_) => certificate.acceptor().accept(io).await.map(Some),
            None => Ok(None),
        }
    };
    let failed: io::Error = match timeout(limits.handshake_time, handshake).await {
        Ok(Ok(encrypted)) => return encrypted,
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    // Any caller can cause as many of these as they like.
    tracing::debug!(error = %failed, "a connection was not encrypted");
    None
}

/// Answers a request that is not encrypted with what to do instead.
async fn refuse_unencrypted(mut io: WriteTimeout<Shared>) -> io::Result<()> {
    // What is not read when a connection is closed makes the system discard the answer.
    let mut request = vec![0; READ_BYTES];
    let _ = io.read(&mut request).await?;
    let problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "not_encrypted",
        "connections to this server are encrypted",
    )
    .hint("use `https://` instead of `http://`");
    let body = serde_json::to_string(&problem)?;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    io.write_all(answer.as_bytes()).await?;
    io.shutdown().await
}
