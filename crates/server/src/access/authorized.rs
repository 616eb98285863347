//! The server as the caller of a request may use it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rollbook_app::access::Grant;

use crate::problem::Problem;
use crate::state::Server;

/// The server with the rights of the caller. Handlers take this, and never the state itself, which has all rights.
pub(crate) struct Authorized(pub(crate) Server);

impl FromRequestParts<Server> for Authorized {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
        match parts.extensions.get::<Grant>() {
            Some(grant) => Ok(Self(server.with_grant(grant))),
            None => {
                tracing::error!("a request was not checked");
                Err(Problem::internal())
            }
        }
    }
}
