//! Who makes a request, and over which way.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::network::{Peer, ProxyNetwork, Transport, client_address};

/// Attaches the address of the client to a request, and how it came.
pub(crate) async fn identify_client(
    State(proxies): State<Arc<[ProxyNetwork]>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(peer) = request.extensions().get::<Peer>().copied() {
        let address = client_address(peer.address, request.headers(), &proxies);
        let transport = Transport::of(peer, &proxies);
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(transport);
    }
    next.run(request).await
}
