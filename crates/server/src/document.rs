//! The document of the API, as it is sent: what the routes say of themselves, with every refusal
//! that can come and plain scalars where they stand.

mod refusals;
mod scalars;

use rollbook_app::segments::RESERVED_KEYS;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// Where schemas lie that have a name.
const SCHEMAS: &str = "/components/schemas";

/// The document of all routes.
pub(crate) fn whole(described: &OpenApi) -> Value {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    if let Some(paths) = document["paths"].as_object_mut() {
        let operations = paths.values_mut().filter_map(Value::as_object_mut);
        for operation in operations.flat_map(Map::values_mut) {
            refusals::add(operation);
        }
    }
    scalars::put_in_place(&mut document);
    // A segment that is new must not be called as a route is; older lakes may have one.
    let key = format!("{SCHEMAS}/NewSegment/properties/key");
    if let Some(key) = document.pointer_mut(&key) {
        key["not"] = json!({ "enum": RESERVED_KEYS });
    }
    document
}

#[cfg(test)]
mod tests;
