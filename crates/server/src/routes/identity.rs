//! Who is whom: counts, records that wait, and decisions.

use axum::Json;
use axum::extract::{RawQuery, State};
use rollbook_app::identity::{self, Decider, Sought, Wanted};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Asked, Body, Named, PLUS};
use crate::problem::Problem;
use crate::routes::asking::{Answered, json};
use crate::server::Server;

/// How many records are how many persons
#[utoipa::path(get, path = "/v1/identity/stats", tag = "identity",
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn stats(State(server): State<Server>) -> Answered {
    let now = server.now();
    let stats =
        server.compute(move |server| async move { identity::stats(server.place(), now).await });
    json(&stats.await?)
}

/// The records that several persons could have
#[utoipa::path(get, path = "/v1/identity/reviews", tag = "identity",
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn reviews(State(server): State<Server>) -> Answered {
    let waiting = server.compute(|server| async move { identity::waiting(server.place()).await });
    json(&serde_json::json!({ "reviews": waiting.await? }))
}

/// Whose a record is that waits: `same`, or nobody's whom it points to
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"different": true, "by": "kim"}))]
pub(crate) struct Verdict {
    /// The person whose it is.
    same: Option<i64>,
    /// It is of none of those.
    different: Option<bool>,
    /// It is looked at after the others.
    later: Option<bool>,
    /// Who decides.
    by: Option<String>,
    /// Only say what would follow.
    dry_run: Option<bool>,
}

/// Decide whose a record is
#[utoipa::path(post, path = "/v1/identity/reviews/{identity_id}", tag = "identity",
    request_body = Verdict, params(("identity_id" = i64, Path, example = 1)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn review(
    State(server): State<Server>,
    Named(identity_id): Named<i64>,
    Body(verdict): Body<Verdict>,
) -> Answered {
    let is = |said: Option<bool>| said.unwrap_or(false);
    let wanted = match (verdict.same, is(verdict.different), is(verdict.later)) {
        (Some(person), false, false) => Wanted::Same(identity_id, person),
        (None, true, false) => Wanted::Different(identity_id),
        (None, false, true) => Wanted::Later(identity_id),
        _ => {
            let detail = "give one of `same` with a person, `different`: true and `later`: true";
            return Err(Problem::malformed("invalid_verdict", detail.to_owned()));
        }
    };
    decide(&server, wanted, verdict.by, verdict.dry_run).await
}

/// Two persons who are one
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"a": 1, "b": 2, "by": "kim", "dry_run": true}))]
pub(crate) struct Merge {
    /// One.
    a: i64,
    /// The other.
    b: i64,
    /// Who decides.
    by: Option<String>,
    /// Only say what would follow.
    dry_run: Option<bool>,
}

/// Make two persons one
#[utoipa::path(post, path = "/v1/identity/merges", tag = "identity", request_body = Merge,
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn merge(State(server): State<Server>, Body(merge): Body<Merge>) -> Answered {
    let wanted = Wanted::Merge(merge.a, merge.b);
    decide(&server, wanted, merge.by, merge.dry_run).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakingBack {
    /// Who does it.
    by: Option<String>,
}

/// Take a decision back
#[utoipa::path(delete, path = "/v1/identity/merges/{entry}", tag = "identity",
    params(("entry" = String, Path, example = "01a1ffda-3712-7255-8c62-cab5ec60ca5d"), TakingBack),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn undo(
    State(server): State<Server>,
    Named(entry): Named<String>,
    Asked(taking): Asked<TakingBack>,
) -> Answered {
    decide(&server, Wanted::Undo(entry), taking.by, None).await
}

async fn decide(
    server: &Server,
    wanted: Wanted,
    by: Option<String>,
    dry_run: Option<bool>,
) -> Answered {
    let decider = Decider {
        by: by.unwrap_or_else(|| "api".to_owned()),
        at: server.now(),
        dry_run: dry_run.unwrap_or(false),
    };
    let followed = server.compute(move |server| async move {
        identity::decide(server.place(), &wanted, &decider).await
    });
    json(&followed.await?)
}

/// Forget a person for good
#[utoipa::path(delete, path = "/v1/persons/{person_id}", tag = "identity",
    params(("person_id" = i64, Path, example = 3), TakingBack),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn erase(
    State(server): State<Server>,
    Named(person_id): Named<i64>,
    Asked(taking): Asked<TakingBack>,
) -> Answered {
    let decider = Decider {
        by: taking.by.unwrap_or_else(|| "api".to_owned()),
        at: server.now(),
        dry_run: false,
    };
    let forgotten = server.compute(move |server| async move {
        identity::erase(server.place(), person_id, &decider).await
    });
    json(&forgotten.await?)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    /// An e-mail address.
    #[param(example = "ann@example.com")]
    email: Option<String>,
    /// A phone number.
    phone: Option<String>,
    /// A record, as PROVIDER:ID.
    external: Option<String>,
}

/// The persons who have a record with a value
#[utoipa::path(get, path = "/v1/persons", tag = "identity", params(By),
    responses((status = 200, body = Object), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn find(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    Asked(by): Asked<By>,
) -> Answered {
    let has_plus = query.is_some_and(|query| query.contains('+'));
    let lost = |text: &Option<String>, blank: fn(&str) -> bool| {
        has_plus && text.as_deref().is_some_and(blank)
    };
    // No address has a blank in it, and no number begins with one.
    if lost(&by.email, |text| text.contains(' ')) || lost(&by.phone, |text| text.starts_with(' ')) {
        let detail = "the value has a blank where there was a `+`";
        return Err(Problem::malformed("invalid_search", detail).hint(PLUS));
    }
    let sought = match (by.email, by.phone, by.external) {
        (Some(email), None, None) => Sought::Email(email),
        (None, Some(phone), None) => Sought::Phone(phone),
        (None, None, Some(external)) => {
            external.parse().map_err(|error: identity::InvalidRecord| {
                Problem::malformed("invalid_record", error.to_string())
            })?
        }
        _ => {
            let detail = "give one of `email`, `phone` and `external`";
            return Err(Problem::malformed("invalid_search", detail.to_owned()));
        }
    };
    let now = server.now();
    let found = server
        .compute(move |server| async move { identity::find(server.place(), &sought, now).await });
    Ok(Json(serde_json::json!({ "persons": found.await? })))
}
