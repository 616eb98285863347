//! Health, readiness and metrics.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rollbook_app::readiness::UNREADABLE;
use rollbook_app::{data, segments};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::problem::Problem;
use crate::state::metrics::current::CurrentState;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The lake can be read and written, and its master key is there.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    /// The newest snapshot; 0 before the first ingest.
    snapshot: u64,
}

/// Checks that the process answers
#[utoipa::path(get, path = "/healthz", operation_id = "show_health", tag = "server", responses((status = 200, body = Alive)))]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Checks that the lake can be read and written, and that its master key is there
///
/// Writing and the master key are checked every five seconds at most. The reason of a 503 names no tenant.
#[utoipa::path(get, path = "/readyz", operation_id = "show_readiness", tag = "server",
    responses((status = 200, body = Ready)))]
pub(super) async fn readyz(Authorized(server): Authorized) -> Result<Json<Ready>, Problem> {
    server.check_readiness().await.map_err(not_ready)?;
    let newest = data::newest_snapshot(server.workspace()).await;
    let snapshot = newest.map_err(|error| {
        tracing::warn!(error = %error.without_values(), "not ready");
        not_ready(UNREADABLE)
    })?;
    server.state().note_snapshot(snapshot);
    let (status, snapshot) = ("ready", snapshot.0);
    Ok(Json(Ready { status, snapshot }))
}

fn not_ready(reason: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason)
        .hint("the server log has the details")
}

/// Metrics of the server, for Prometheus
///
/// Those of segments, providers and data are of the caller's tenants, at most 100.
#[utoipa::path(get, path = "/metrics", operation_id = "show_metrics", tag = "server",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(Authorized(server): Authorized) -> Response {
    let (current, now) = (CurrentState::new(), server.now());
    // Metrics of the process are available even if the lake cannot be read.
    server.record_load(&current);
    // For the next time: a lake that does not answer must not keep the metrics back.
    let checked = server.clone();
    tokio::spawn(async move { checked.check_readiness().await });
    for tenant in server.all_of_caller().await {
        let (name, state) = (tenant.tenant(), tenant.state());
        current.data(name, state.snapshot(), state.wal.unfolded());
        current.cache(tenant.workspace().cache_stats().await);
        if let Ok(all) = segments::health(tenant.workspace(), now).await {
            current.segments(name, &all);
        }
        if let Ok(watermarks) = data::watermarks(tenant.workspace()).await {
            current.providers(name, &watermarks, now);
        }
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = server.metrics().text(&current);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
