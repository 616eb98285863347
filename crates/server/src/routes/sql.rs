//! Running an SQL query.

use axum::Json;
use rollbook_app::{AppError, data, rows};
use rollbook_model::{SnapshotNumber, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::scalars::{Cell, Moment, Snapshot, Time, snapshot};
use crate::http::extract::Body;
use crate::problem::Problem;

/// One query.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "query": "select channel, count(*) as activities from activities group by channel order by channel",
    "as_of": "2026-01-01T00:00:00Z"
}))]
pub(crate) struct SqlQuestion {
    /// One `select`.
    #[schema(
        min_length = 1,
        max_length = 100000,
        example = "select count(*) as orders from orders"
    )]
    query: String,
    /// The moment to query as of; now by default.
    as_of: Option<Moment>,
    /// The snapshot of the data; the newest by default.
    #[schema(value_type = Option<Snapshot>)]
    #[serde(default, deserialize_with = "snapshot")]
    snapshot: Option<SnapshotNumber>,
}

/// The result of a query.
#[derive(Serialize, ToSchema)]
pub(crate) struct SqlRows {
    columns: Vec<String>,
    /// One object per row: integers as numbers, decimals as text, times in RFC 3339.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Cell>>)]
    rows: Box<RawValue>,
    /// Whether rows beyond the limit were cut.
    truncated: bool,
    /// The snapshot of the data.
    #[schema(value_type = u64)]
    snapshot: SnapshotNumber,
    #[schema(value_type = Time)]
    as_of: Timestamp,
}

/// Runs one read-only query within limits
#[utoipa::path(post, path = "/v1/sql", operation_id = "run_sql", tag = "data", request_body = SqlQuestion,
    responses((status = 200, body = SqlRows)))]
pub(super) async fn answer(
    Authorized(server): Authorized,
    Body(question): Body<SqlQuestion>,
) -> Result<Told<Json<SqlRows>>, Problem> {
    let as_of = server.moment(question.as_of).await?;
    let answered = server.compute(move |server| async move {
        let (answer, snapshot) = data::answer(
            server.workspace(),
            &question.query,
            as_of,
            question.snapshot,
        )
        .await?;
        let columns = answer.schema.fields().iter();
        let columns = columns.map(|field| field.name().clone()).collect();
        let count = answer.batches.iter().map(|batch| batch.num_rows()).sum();
        let rows = SqlRows {
            columns,
            rows: raw(&answer.batches)?,
            truncated: answer.truncated,
            snapshot,
            as_of,
        };
        Ok((count, rows))
    });
    let (count, rows) = answered.await?;
    Ok(Told(Answered::rows(count), Json(rows)))
}

fn raw(batches: &[rollbook_app::RecordBatch]) -> Result<Box<RawValue>, AppError> {
    let json = rows::json(batches).map_err(|source| AppError::Rows { source })?;
    let text = String::from_utf8_lossy(&json).into_owned();
    Ok(RawValue::from_string(text).unwrap_or_else(|_| {
        serde_json::value::to_raw_value(&Value::Array(Vec::new())).expect("an empty list is JSON")
    }))
}
