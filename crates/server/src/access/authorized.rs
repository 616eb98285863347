//! The server as the caller of a request may use it.

use crate::problem::Problem;
use crate::state::Server;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The server for the tenant of a request, with the rights of its caller. Handlers take this, and never the state
/// itself, which has all rights.
#[derive(Clone)]
pub(crate) struct Authorized(pub(crate) Server);

impl FromRequestParts<Server> for Authorized {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self, Problem> {
        match parts.extensions.get::<Self>() {
            Some(authorized) => Ok(authorized.clone()),
            None => {
                tracing::error!("a request was not checked");
                Err(Problem::internal())
            }
        }
    }
}
