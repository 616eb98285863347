//! HTTP plumbing: connections, middleware, extractors, content negotiation.

pub(crate) mod accept;
pub(crate) mod bodies;
pub(crate) mod client;
pub(crate) mod connections;
pub(crate) mod etag;
pub(crate) mod extract;
pub(crate) mod middleware;
pub(crate) mod reservations;
mod sliced_body;
