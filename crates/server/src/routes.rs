//! Every route, with the document that describes it.

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answers::People;
use crate::problem::Problem;
use crate::scalars::Cell;
use crate::state::Server;

mod asking;
mod attribution;
mod health;
mod identity;
mod ingest;
mod members;
mod persons;
mod scores;
mod segments;
mod sql;
mod tables;
mod traits;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rollbook",
        description = "Segments, scores and attribution over your customers' data. Errors are \
            `application/problem+json` with `code`, `detail` and `hint`."
    ),
    components(schemas(Problem, People, Cell)),
    tags(
        (name = "data", description = "Rows in, questions answered"),
        (name = "segments", description = "Who belongs"),
        (name = "identity", description = "Which records are one human being"),
        (name = "scores", description = "Who will buy, who will leave"),
        (name = "attribution", description = "What the money came from"),
        (name = "server", description = "How the server is"),
    )
)]
struct Document;

/// The routes and their document.
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
        .routes(routes!(asking::count))
        .routes(routes!(asking::changes))
        .routes(routes!(asking::history))
        .routes(routes!(asking::reach))
        .routes(routes!(asking::calendar))
        .routes(routes!(asking::near_miss))
        .routes(routes!(asking::explain))
        .routes(routes!(asking::impact))
        .routes(routes!(asking::overlap))
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
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}
