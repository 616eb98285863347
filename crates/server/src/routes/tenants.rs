//! Tenants: those of the caller, and for whoever runs the server all of them.

use axum::Json;
use axum::http::StatusCode;
use rollbook_app::access::{Bounds, Grant, NewKey, Right, Role};
use rollbook_app::tenants::{TenantStatus, TenantWithUsage, Usage};
use rollbook_app::{AppError, Quotas};
use rollbook_model::TenantName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::{IssuedApiKey, authenticator};
use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::scalars::{Scalar, StatusOfTenant, Tenant, Time};
use crate::http::extract::{Body, PathParam};
use crate::problem::Problem;
use crate::state::Server;

/// What a tenant may use; null for no limit of its own.
#[derive(Serialize, Deserialize, ToSchema, Default)]
#[serde(default)]
pub(crate) struct TenantQuotas {
    /// Bytes of all its objects. Rows are refused while it is reached; it is measured every 30 seconds.
    #[schema(minimum = 1)]
    max_storage_bytes: Option<u64>,
    /// Rows that are ingested on one day, in UTC. The request that reaches it is the last one that is taken.
    #[schema(minimum = 1)]
    max_rows_per_day: Option<u64>,
    /// Requests that compute at the same time on one server; others wait.
    #[schema(minimum = 1)]
    max_queries: Option<u32>,
    /// Bytes of memory of one query.
    #[schema(minimum = 1)]
    max_query_bytes: Option<u64>,
    /// Segments.
    #[schema(minimum = 1)]
    max_segments: Option<u64>,
}

/// A new tenant.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"tenant": "acme", "max_segments": 100}))]
pub(crate) struct NewTenant {
    tenant: Tenant,
    #[serde(flatten)]
    quotas: TenantQuotas,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListedTenant {
    tenant: Tenant,
    status: StatusOfTenant,
    /// Null if it was not created by a command or a request, but by its first rows.
    created_at: Option<Time>,
    #[serde(flatten)]
    quotas: TenantQuotas,
    /// Bytes of all its objects.
    storage_bytes: u64,
    /// Rows that were accepted or quarantined since midnight, in UTC.
    rows_today: u64,
    /// Segments.
    segments: u64,
}

/// A tenant that was created, with a key for it.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedTenant {
    #[serde(flatten)]
    tenant: ListedTenant,
    /// A key with all rights in the tenant.
    first_key: IssuedApiKey,
}

impl From<TenantQuotas> for Quotas {
    fn from(quotas: TenantQuotas) -> Self {
        Self {
            storage_bytes: quotas.max_storage_bytes,
            rows_per_day: quotas.max_rows_per_day,
            queries: quotas.max_queries,
            memory_bytes: quotas.max_query_bytes,
            segments: quotas.max_segments,
        }
    }
}

impl From<Quotas> for TenantQuotas {
    fn from(quotas: Quotas) -> Self {
        Self {
            max_storage_bytes: quotas.storage_bytes,
            max_rows_per_day: quotas.rows_per_day,
            max_queries: quotas.queries,
            max_query_bytes: quotas.memory_bytes,
            max_segments: quotas.segments,
        }
    }
}

impl From<TenantWithUsage> for ListedTenant {
    fn from(TenantWithUsage { info, usage }: TenantWithUsage) -> Self {
        Self {
            tenant: Scalar(info.tenant),
            status: Scalar(info.status),
            created_at: info.created_at.map(Scalar),
            quotas: info.quotas.into(),
            storage_bytes: usage.storage_bytes,
            rows_today: usage.rows_today,
            segments: usage.segments,
        }
    }
}

/// Lists the caller's tenants that are served, with what they use
///
/// With the right `tenants`, all tenants of the lake, also suspended ones.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "list_tenants", tag = "server",
    responses((status = 200, body = Vec<ListedTenant>)))]
pub(super) async fn list(
    Authorized(server): Authorized,
) -> Result<Json<Vec<ListedTenant>>, Problem> {
    let (tenants, now) = (server.tenants().served.tenants(), server.now());
    let grant = server.grant();
    let listed = match grant.is_local() || !grant.rights.has(Right::Tenants) {
        true => of_caller(&server).await?,
        false => tenants.list_with_usage(now).await?,
    };
    Ok(Json(listed.into_iter().map(ListedTenant::from).collect()))
}

async fn of_caller(server: &Server) -> Result<Vec<TenantWithUsage>, AppError> {
    let mut listed = Vec::new();
    for own in server.all_of_caller().await {
        let info = own.tenants().served.tenants().info(own.tenant()).await?;
        let usage = own.usage().await?;
        listed.push(TenantWithUsage { info, usage });
    }
    Ok(listed)
}

/// Creates a tenant, with a key that has all rights in it
///
/// Its data are in a folder of their own, encrypted under a key of their own.
#[utoipa::path(post, path = "/v1/tenants", operation_id = "create_tenant", tag = "server",
    request_body = NewTenant, responses((status = 201, body = CreatedTenant)))]
pub(super) async fn create(
    Authorized(server): Authorized,
    Body(new): Body<NewTenant>,
) -> Result<Told<(StatusCode, Json<CreatedTenant>)>, Problem> {
    if server.grant().is_local() {
        return Err(AppError::FirstKey.into());
    }
    let (served, now) = (&server.tenants().served, server.now());
    let info = served
        .tenants()
        .create(&new.tenant.0, new.quotas.into(), now)
        .await?;
    let key = NewKey {
        name: format!("first admin of {}", info.tenant),
        role: Role::Admin,
        rights: Vec::new(),
        tenants: vec![info.tenant.clone()],
        expires: None,
        bounds: Bounds::default(),
        // A trial key creates only trial keys.
        trial: server.grant().trial_key().is_some(),
    };
    let keys = authenticator(&server)?.keys();
    let issued = keys.create(&key, &Grant::local(), now).await?;
    let told = Answered {
        key: Some(issued.key.prefix.to_string()),
        ..Answered::default()
    };
    let usage = Usage::default();
    let created = CreatedTenant {
        tenant: TenantWithUsage { info, usage }.into(),
        first_key: issued.into(),
    };
    Ok(Told(told, (StatusCode::CREATED, Json(created))))
}

/// Deletes a tenant for good: its keys first, so that no copy of its personal values can be read, then all its data
///
/// Its callers are refused within a second, and its name is not used again. Backups are not touched.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", operation_id = "delete_tenant", tag = "server",
    params(("tenant" = inline(Tenant), Path)),
    responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    Authorized(server): Authorized,
    PathParam(tenant): PathParam<TenantName>,
) -> Result<StatusCode, Problem> {
    // A task of its own, so that a caller who disconnects does not leave half of it.
    let deleting = tokio::spawn(async move {
        let served = &server.tenants().served;
        let info = served.tenants().info(&tenant).await?;
        if info.status == TenantStatus::Deleted {
            let tenant = tenant.to_string();
            return Err(AppError::UnknownTenant { tenant });
        }
        served.tenants().delete(&tenant).await?;
        served.forget().await;
        Ok(())
    });
    deleting.await.map_err(|_| Problem::internal())??;
    Ok(StatusCode::NO_CONTENT)
}
