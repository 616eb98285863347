//! Custom traits.

use axum::Json;
use rollbook_app::traits;
use rollbook_model::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::api::scalars::{Key, Time};
use crate::problem::Problem;

/// A custom trait: a column of `people` defined by the tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trait {
    #[schema(example = "vip_score")]
    name: String,
    /// The type of its values; null if it cannot be computed.
    #[serde(rename = "type")]
    #[schema(example = "integer")]
    ty: Option<String>,
    /// The value for persons without a row, as an SQL literal.
    #[schema(example = "0")]
    default: Option<String>,
    description: Option<String>,
    /// The segments whose criteria use it.
    #[schema(value_type = Vec<Key>)]
    segments: Vec<String>,
    /// Why it cannot be computed; null if it can.
    problem: Option<String>,
    #[schema(value_type = Time)]
    updated_at: Timestamp,
    /// One `select` that returns `person_id` and the value.
    sql: String,
}

/// Lists the custom traits
#[utoipa::path(get, path = "/v1/traits", operation_id = "list_traits", tag = "data",
    responses((status = 200, body = Vec<Trait>)))]
pub(super) async fn list(Authorized(server): Authorized) -> Result<Json<Vec<Trait>>, Problem> {
    let listed = traits::list(server.workspace(), server.now()).await?;
    let one = |one: traits::ListedTrait| Trait {
        name: one.name.to_string(),
        ty: one.ty,
        default: one.default,
        description: one.description,
        segments: one.segments.iter().map(ToString::to_string).collect(),
        problem: one.problem,
        updated_at: one.updated_at,
        sql: one.sql,
    };
    Ok(Json(listed.into_iter().map(one).collect()))
}
