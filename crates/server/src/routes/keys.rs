//! API keys.

use axum::Json;
use axum::http::StatusCode;
use rollbook_app::AppError;
use rollbook_app::access::{Authenticator, Bounds, IssuedKey, KeyInfo, KeyPrefix, NewKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::scalars::{
    Key, KeyRight, KeyRole, Label, Length, Over, Prefix, StatusOfKey, Tenant, Time,
};
use crate::http::extract::{Body, PathParam};
use crate::problem::Problem;
use crate::state::Server;

/// A new API key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "warehouse export", "role": "analyst", "expires": "90d"}))]
pub(crate) struct NewApiKey {
    /// A name for people.
    name: Label,
    role: KeyRole,
    /// Rights beyond those of the role.
    #[schema(max_items = 14)]
    rights: Option<Vec<KeyRight>>,
    /// The tenants that it is for; the served one by default.
    #[schema(max_items = 100)]
    tenants: Option<Vec<Tenant>>,
    /// Bound to these segments: nothing else is visible.
    #[schema(max_items = 100)]
    segments: Option<Vec<Key>>,
    /// Bound to segments with one of these tags.
    #[schema(max_items = 100)]
    tags: Option<Vec<Label>>,
    /// Bound to segments of these channels.
    #[schema(max_items = 100)]
    channels: Option<Vec<Over>>,
    /// Bound to these columns of persons: others are masked.
    #[schema(max_items = 100)]
    columns: Option<Vec<Label>>,
    /// For a trial: the rows that it sends and gets in an hour are limited.
    trial: Option<bool>,
    /// When it ends, counted from now; never by default.
    expires: Option<Length>,
}

/// An API key, without its token.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKey {
    /// The part of its token between the two `_`.
    prefix: Prefix,
    name: String,
    role: KeyRole,
    /// Rights beyond those of the role.
    rights: Vec<KeyRight>,
    tenants: Vec<Tenant>,
    /// Bound to these segments; not bound if empty, like the three lists below.
    segments: Vec<Key>,
    tags: Vec<String>,
    channels: Vec<Over>,
    columns: Vec<String>,
    /// Whether its rows are limited.
    trial: bool,
    status: StatusOfKey,
    created_at: Time,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
    /// When the token before the last rotation ends, if it has not ended yet.
    overlap_until: Option<Time>,
    /// When a server answered a request with it, up to a minute late.
    last_used_at: Option<Time>,
}

/// An API key with its token, which is shown only this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedApiKey {
    /// Whoever has it has the rights of the key.
    #[schema(pattern = "^rbk_[a-z0-9]{10}_[0-9a-f]{64}$")]
    token: String,
    #[serde(flatten)]
    key: ApiKey,
}

impl From<KeyInfo> for ApiKey {
    fn from(key: KeyInfo) -> Self {
        use crate::api::scalars::Scalar;
        Self {
            prefix: Scalar(key.prefix),
            name: key.name,
            role: Scalar(key.role),
            rights: key.rights.into_iter().map(Scalar).collect(),
            tenants: key.tenants.into_iter().map(Scalar).collect(),
            segments: key.bounds.segments.into_iter().map(Scalar).collect(),
            tags: key.bounds.tags,
            channels: key.bounds.channels.into_iter().map(Scalar).collect(),
            columns: key.bounds.columns,
            trial: key.trial,
            status: Scalar(key.status),
            created_at: Scalar(key.created_at),
            expires_at: key.expires_at.map(Scalar),
            revoked_at: key.revoked_at.map(Scalar),
            overlap_until: key.overlap_until.map(Scalar),
            last_used_at: key.last_used_at.map(Scalar),
        }
    }
}

impl From<IssuedKey> for IssuedApiKey {
    fn from(issued: IssuedKey) -> Self {
        let (token, key) = (issued.token, issued.key.into());
        Self { token, key }
    }
}

/// An optional list as a list.
fn listed<T, U>(list: Option<Vec<T>>, of: fn(T) -> U) -> Vec<U> {
    list.into_iter().flatten().map(of).collect()
}

/// The authenticator; requests about keys are answered by the server itself, which has one.
pub(super) fn authenticator(server: &Server) -> Result<&Authenticator, Problem> {
    server.authenticator().ok_or_else(Problem::internal)
}

/// Lists the API keys of the caller's tenants
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "server",
    responses((status = 200, body = Vec<ApiKey>)))]
pub(super) async fn list(Authorized(server): Authorized) -> Result<Json<Vec<ApiKey>>, Problem> {
    let keys = authenticator(&server)?.keys();
    let listed = keys.list(server.grant(), server.now()).await?;
    Ok(Json(listed.into_iter().map(ApiKey::from).collect()))
}

/// Creates an API key, with at most the rights and bounds of the caller
///
/// The first key of a lake is created by the command `api-key create`: from then on every request needs one.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "server", request_body = NewApiKey,
    responses((status = 201, body = IssuedApiKey)))]
pub(super) async fn create(
    Authorized(server): Authorized,
    Body(new): Body<NewApiKey>,
) -> Result<Told<(StatusCode, Json<IssuedApiKey>)>, Problem> {
    if server.grant().is_local() {
        return Err(AppError::FirstKey.into());
    }
    let served = || vec![server.workspace().tenant.clone()];
    let tenants = new
        .tenants
        .map(|all| all.into_iter().map(|one| one.0).collect());
    let new = NewKey {
        name: new.name.0.0,
        role: new.role.0,
        rights: new
            .rights
            .into_iter()
            .flatten()
            .map(|right| right.0)
            .collect(),
        tenants: tenants
            .filter(|all: &Vec<_>| !all.is_empty())
            .unwrap_or_else(served),
        bounds: Bounds {
            segments: listed(new.segments, |key| key.0),
            tags: listed(new.tags, |tag| tag.0.0),
            channels: listed(new.channels, |channel| channel.0),
            columns: listed(new.columns, |column| column.0.0),
        },
        trial: new.trial.unwrap_or(false),
        expires: new.expires.map(|span| span.0),
    };
    let keys = authenticator(&server)?.keys();
    let issued = keys.create(&new, server.grant(), server.now()).await?;
    let told = Answered {
        key: Some(issued.key.prefix.to_string()),
        ..Answered::default()
    };
    Ok(Told(told, (StatusCode::CREATED, Json(issued.into()))))
}

/// Revokes an API key for good, on all servers of the lake within a second
#[utoipa::path(delete, path = "/v1/keys/{prefix}", operation_id = "revoke_key", tag = "server",
    params(("prefix" = inline(Prefix), Path)),
    responses((status = 204, description = "Revoked")))]
pub(super) async fn revoke(
    Authorized(server): Authorized,
    PathParam(prefix): PathParam<KeyPrefix>,
) -> Result<StatusCode, Problem> {
    let keys = authenticator(&server)?.keys();
    keys.revoke(&prefix, server.grant(), server.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
