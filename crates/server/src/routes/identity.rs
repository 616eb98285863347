//! Identity resolution: counts, reviews, decisions, erasure, lookup.

use axum::Json;
use axum::extract::RawQuery;
use rollbook_app::identity::{self, Decider, DecisionRequest, PersonLookup};
use serde::Deserialize;
use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::access::Authorized;
use crate::answered::{Answered, Told};
use crate::api::answers::{Followed, Forgotten, Found, Reviews, Stats};
use crate::api::scalars::{Entry, Id, Identifier, Label, plain};
use crate::http::extract::{Body, PLUS_HINT, PathParam, QueryParams};
use crate::problem::Problem;
use crate::state::Server;

/// Counts records and persons
#[utoipa::path(get, path = "/v1/identity/stats", operation_id = "show_identity_stats", tag = "identity",
    responses((status = 200, body = Stats)))]
pub(super) async fn stats(Authorized(server): Authorized) -> Result<Json<Stats>, Problem> {
    let now = server.now();
    let stats =
        server.compute(move |server| async move { identity::stats(server.workspace(), now).await });
    Ok(Json(stats.await?.try_into()?))
}

/// Lists the records that wait for a decision
#[utoipa::path(get, path = "/v1/identity/reviews", operation_id = "list_reviews", tag = "identity",
    responses((status = 200, body = Reviews)))]
pub(super) async fn reviews(Authorized(server): Authorized) -> Result<Json<Reviews>, Problem> {
    let waiting =
        server.compute(|server| async move { identity::reviews(server.workspace()).await });
    Ok(Json(waiting.await?.into()))
}

/// The decision about a record: one of `same`, `different` and `later`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdict {
    /// It belongs to this person.
    same: Option<Identifier>,
    /// It belongs to none of the candidates.
    different: Option<bool>,
    /// Postpone it: it is listed after the others.
    later: Option<bool>,
    /// Who decides.
    by: Option<Label>,
    /// Only return the effect, and change nothing.
    dry_run: Option<bool>,
}

impl PartialSchema for Verdict {
    fn schema() -> RefOr<Schema> {
        let variant = |name: &str, value: RefOr<Schema>| {
            let flag = ObjectBuilder::new().schema_type(Type::Boolean);
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .property(name, value)
                .required(name)
                .property("by", Label::schema())
                .property("dry_run", flag)
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let yes = || -> RefOr<Schema> {
            let yes = ObjectBuilder::new().schema_type(Type::Boolean);
            Schema::from(yes.enum_values(Some([true]))).into()
        };
        let schema = OneOfBuilder::new()
            .description(Some(
                "The record belongs to a person (`same`) or to none of the candidates (`different`), or the \
                 decision is postponed (`later`); `by` names who decides, `dry_run` changes nothing",
            ))
            .item(variant("same", Id::schema()))
            .item(variant("different", yes()))
            .item(variant("later", yes()))
            .examples([json!({"different": true, "by": "kim"})]);
        schema.into()
    }
}

impl ToSchema for Verdict {}

/// Decides which person a record belongs to
#[utoipa::path(post, path = "/v1/identity/reviews/{identity_id}", operation_id = "decide_review", tag = "identity",
    request_body = Verdict, params(("identity_id" = inline(Id), Path)),
    responses((status = 200, body = Followed)))]
pub(super) async fn review(
    Authorized(server): Authorized,
    PathParam(identity_id): PathParam<Identifier>,
    Body(verdict): Body<Verdict>,
) -> Result<Json<Followed>, Problem> {
    let is = |flag: Option<bool>| flag.unwrap_or(false);
    let identity_id = identity_id.as_i64();
    let wanted = match (verdict.same, is(verdict.different), is(verdict.later)) {
        (Some(person), false, false) => DecisionRequest::Same(identity_id, person.as_i64()),
        (None, true, false) => DecisionRequest::Different(identity_id),
        (None, false, true) => DecisionRequest::Later(identity_id),
        _ => {
            let detail = "give one of `same` with a person, `different`: true and `later`: true";
            return Err(Problem::malformed("invalid_verdict", detail.to_owned()));
        }
    };
    decide(&server, wanted, verdict.by, verdict.dry_run).await
}

/// Two persons to merge
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"a": 1, "b": 2, "by": "kim", "dry_run": true}))]
pub(crate) struct Merge {
    /// One person.
    a: Id,
    /// The other person.
    #[schema(value_type = Id, example = 2)]
    b: Id,
    /// Who decides.
    by: Option<Label>,
    /// Only return the effect, and change nothing.
    dry_run: Option<bool>,
}

/// Merges two persons
#[utoipa::path(post, path = "/v1/identity/merges", operation_id = "merge_persons", tag = "identity", request_body = Merge,
    responses((status = 200, body = Followed)))]
pub(super) async fn merge(
    Authorized(server): Authorized,
    Body(merge): Body<Merge>,
) -> Result<Json<Followed>, Problem> {
    let wanted = DecisionRequest::Merge(merge.a.0.as_i64(), merge.b.0.as_i64());
    decide(&server, wanted, merge.by, merge.dry_run).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecidedBy {
    /// Who decides.
    #[param(inline)]
    by: Option<Label>,
}

/// Undoes a decision
#[utoipa::path(delete, path = "/v1/identity/merges/{entry}", operation_id = "undo_decision", tag = "identity",
    params(("entry" = inline(Entry), Path), DecidedBy),
    responses((status = 200, body = Followed)))]
pub(super) async fn undo(
    Authorized(server): Authorized,
    PathParam(entry): PathParam<String>,
    QueryParams(decided): QueryParams<DecidedBy>,
) -> Result<Json<Followed>, Problem> {
    decide(&server, DecisionRequest::Undo(entry), decided.by, None).await
}

async fn decide(
    server: &Server,
    wanted: DecisionRequest,
    by: Option<Label>,
    dry_run: Option<bool>,
) -> Result<Json<Followed>, Problem> {
    let decider = Decider {
        by: plain(by).unwrap_or_else(|| "api".to_owned()),
        at: server.now(),
        dry_run: dry_run.unwrap_or(false),
    };
    let followed = server.compute(move |server| async move {
        identity::decide(server.workspace(), &wanted, &decider).await
    });
    Ok(Json(followed.await?.into()))
}

/// Erases a person for good
#[utoipa::path(delete, path = "/v1/persons/{person_id}", operation_id = "erase_person", tag = "identity",
    params(("person_id" = inline(Id), Path, example = 3), DecidedBy),
    responses((status = 200, body = Forgotten)))]
pub(super) async fn erase(
    Authorized(server): Authorized,
    PathParam(person_id): PathParam<Identifier>,
    QueryParams(decided): QueryParams<DecidedBy>,
) -> Result<Json<Forgotten>, Problem> {
    let decider = Decider {
        by: plain(decided.by).unwrap_or_else(|| "api".to_owned()),
        at: server.now(),
        dry_run: false,
    };
    let forgotten = server.compute(move |server| async move {
        identity::erase(server.workspace(), person_id.as_i64(), &decider).await
    });
    Ok(Json(forgotten.await?.into()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupParams {
    /// An e-mail address. `+` is a blank in a query: write `%2B`.
    #[param(
        example = "ann@example.com",
        min_length = 3,
        max_length = 320,
        pattern = "^[^@\\s]+@[^@\\s]+$"
    )]
    email: Option<String>,
    /// A phone number. `+` is a blank in a query: write `%2B`.
    #[param(
        pattern = "^\\+?[0-9][0-9 ()./-]{2,30}$",
        min_length = 3,
        max_length = 32
    )]
    phone: Option<String>,
    /// A record, as PROVIDER:ID.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,63}:.{1,255}$", max_length = 320)]
    external: Option<String>,
}

/// Whether a text has exactly one `@` with text on both sides, and no white space.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !text.contains(char::is_whitespace)
        && text.chars().count() <= 320
}

/// Finds the persons who have a record with a value
#[utoipa::path(get, path = "/v1/persons", operation_id = "find_persons", tag = "identity", params(LookupParams),
    responses((status = 200, body = Found)))]
pub(super) async fn find(
    Authorized(server): Authorized,
    RawQuery(query): RawQuery,
    QueryParams(by): QueryParams<LookupParams>,
) -> Result<Told<Json<Found>>, Problem> {
    let has_plus = query.is_some_and(|query| query.contains('+'));
    let lost_plus = |text: &Option<String>, blank: fn(&str) -> bool| {
        has_plus && text.as_deref().is_some_and(blank)
    };
    // An e-mail address has no blank, and a phone number does not begin with one.
    if lost_plus(&by.email, |text| text.contains(' '))
        || lost_plus(&by.phone, |text| text.starts_with(' '))
    {
        let detail = "the value has a blank where the query string had a `+`";
        return Err(Problem::malformed("invalid_search", detail).hint(PLUS_HINT));
    }
    let lookup = match (by.email, by.phone, by.external) {
        (Some(email), None, None) if !is_address(&email) => {
            let detail = format!("`{email}` is not an e-mail address");
            return Err(Problem::malformed("invalid_search", detail));
        }
        (Some(email), None, None) => PersonLookup::Email(email),
        (None, Some(phone), None) if phone.chars().filter(|one| one.is_numeric()).count() < 3 => {
            let detail = format!("`{phone}` is not a phone number: it has fewer than three digits");
            return Err(Problem::malformed("invalid_search", detail));
        }
        (None, Some(phone), None) => PersonLookup::Phone(phone),
        (None, None, Some(external)) => {
            external
                .parse()
                .map_err(|error: identity::InvalidRecordName| {
                    Problem::malformed("invalid_record", error.to_string())
                })?
        }
        _ => {
            let detail = "give one of `email`, `phone` and `external`";
            return Err(Problem::malformed("invalid_search", detail.to_owned()));
        }
    };
    let now = server.now();
    let found = server.compute(move |server| async move {
        identity::find(server.workspace(), &lookup, now).await
    });
    let persons = found.await?;
    Ok(Told(Answered::rows(persons.len()), Json(Found { persons })))
}
