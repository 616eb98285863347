//! The OpenAPI document: the routes as utoipa describes them, completed with error codes and inline scalars.

mod order;
mod refusals;
mod scalars;

use rollbook_app::segments::RESERVED_KEYS;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// The cookie that has the token of a session.
pub(crate) const SESSION_COOKIE: &str = "rollbook_session";
/// JSON pointer to the named schemas.
const SCHEMAS: &str = "/components/schemas";

/// The document of all routes as text, with properties in the order of their declaration.
pub(crate) fn text(described: &OpenApi) -> Box<RawValue> {
    let value = &document(described);
    let declared = serde_json::to_string(described).expect("the document has text keys only");
    let like = serde_json::from_str(&declared).expect("the document was just written");
    let ordered = order::InOrder {
        value,
        like: Some(&like),
    };
    serde_json::value::to_raw_value(&ordered).expect("the document has text keys only")
}

/// The document of all routes.
fn document(described: &OpenApi) -> Value {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    if let Some(paths) = document["paths"].as_object_mut() {
        let operations = paths.values_mut().filter_map(Value::as_object_mut);
        for operation in operations.flat_map(Map::values_mut) {
            refusals::add(operation);
            let name = operation["operationId"].as_str().unwrap_or_default();
            if refusals::OPEN.contains(&name) {
                operation["security"] = json!([]);
            }
        }
    }
    document["security"] = json!([{ "api_key": [] }, { "session": [] }]);
    document["components"]["securitySchemes"]["api_key"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `rbk_…`, or a JWT of the issuer whose tokens the server accepts (`--jwks`). A \
            server without `--jwks` in whose lake no key was ever created needs none, and serves programs of its own \
            machine only.",
    });
    document["components"]["securitySchemes"]["session"] = json!({
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A session that `POST /v1/session` started. It does not count beside an `authorization` header. \
            A request that changes something has to say that a page of this server made it: `sec-fetch-site` or \
            `origin`.",
    });
    scalars::inline(&mut document);
    // A new segment must not have a key that is a word of a route; segments of older lakes may.
    let key = format!("{SCHEMAS}/NewSegment/properties/key");
    if let Some(key) = document.pointer_mut(&key) {
        key["not"] = json!({ "enum": RESERVED_KEYS });
    }
    document
}

#[cfg(test)]
mod tests;
