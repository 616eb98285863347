//! All routes, with the OpenAPI document that describes them.

mod segment_queries;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::answers::People;
use crate::api::scalars::Cell;
use crate::problem::Problem;
use crate::state::Server;

mod attribution;
mod audit;
mod health;
mod identity;
mod ingest;
mod keys;
mod members;
mod persons;
mod scores;
mod segments;
mod session;
mod sql;
mod tables;
mod tenants;
mod traits;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rollbook",
        description = "Segments, scores and attribution over your customers' data. Errors are \
            `application/problem+json` with `code`, `detail` and `hint`. The header `x-rollbook-tenant` \
            names a tenant of the caller, who needs it if they have several: any other is answered with 404 \
            `unknown_tenant`, whether or not it exists."
    ),
    components(schemas(Problem, People, Cell)),
    tags(
        (name = "data", description = "Ingest and queries"),
        (name = "segments", description = "Segments and their members"),
        (name = "identity", description = "Which records belong to one person"),
        (name = "scores", description = "Predictions: who will buy, who will churn"),
        (name = "attribution", description = "Which channels led to revenue"),
        (name = "server", description = "State of the server"),
    )
)]
struct Document;

/// All routes and their document.
pub(crate) fn all() -> OpenApiRouter<Server> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(ingest::post_rows))
        .routes(routes!(sql::answer))
        .routes(routes!(segments::list, segments::create))
        .routes(routes!(segments::show, segments::replace, segments::remove))
        .routes(routes!(segments::preview))
        .routes(routes!(segments::refresh))
        .routes(routes!(segments::refresh_all))
        .routes(routes!(members::page))
        .routes(routes!(segment_queries::count))
        .routes(routes!(segment_queries::changes))
        .routes(routes!(segment_queries::history))
        .routes(routes!(segment_queries::reach))
        .routes(routes!(segment_queries::calendar))
        .routes(routes!(segment_queries::near_miss))
        .routes(routes!(segment_queries::explain))
        .routes(routes!(segment_queries::impact))
        .routes(routes!(segment_queries::overlap))
        .routes(routes!(attribution::run))
        .routes(routes!(scores::list))
        .routes(routes!(identity::find))
        .routes(routes!(persons::show, identity::erase))
        .routes(routes!(persons::timeline))
        .routes(routes!(identity::stats))
        .routes(routes!(identity::reviews))
        .routes(routes!(identity::review))
        .routes(routes!(identity::merge))
        .routes(routes!(identity::undo))
        .routes(routes!(tables::sizes))
        .routes(routes!(tables::schema))
        .routes(routes!(traits::list))
        .routes(routes!(audit::list))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::delete))
        .routes(routes!(session::start, session::end))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}
