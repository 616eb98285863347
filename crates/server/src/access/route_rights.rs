//! The rights that each route needs: the one table of the server.

use rollbook_app::access::Right;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it is answered without a key, and names no tenant.
    NoKey,
    /// A key with all these rights.
    Rights(&'static [Right]),
}

/// Any caller who proves who they are.
const CALLER: Needs = Needs::Rights(&[]);
const READ: Needs = Needs::Rights(&[Right::Read]);
const MEMBERS: Needs = Needs::Rights(&[Right::Members]);
const SEGMENTS_WRITE: Needs = Needs::Rights(&[Right::SegmentsWrite]);
const REFRESH: Needs = Needs::Rights(&[Right::Refresh]);
const SQL: Needs = Needs::Rights(&[Right::Sql]);
const INGEST: Needs = Needs::Rights(&[Right::Ingest]);
const IDENTITY: Needs = Needs::Rights(&[Right::Identity]);
const METRICS: Needs = Needs::Rights(&[Right::Metrics]);
const AUDIT: Needs = Needs::Rights(&[Right::Audit]);
const KEYS: Needs = Needs::Rights(&[Right::Keys]);
const PII: Needs = Needs::Rights(&[Right::Pii]);
const TENANTS: Needs = Needs::Rights(&[Right::Tenants]);
const ERASE: Needs = Needs::Rights(&[Right::Erase]);

/// Every route: method, path as in the OpenAPI document, and what it needs. A route that is not here is refused.
///
/// Some requests need more by their parameters: `stream=true` the right `export`, and everything that reads a
/// personal column the right `pii`.
pub(super) const ROUTES: [(&str, &str, Needs); 47] = [
    ("GET", "/healthz", Needs::NoKey),
    ("GET", "/readyz", Needs::NoKey),
    ("GET", "/openapi.json", Needs::NoKey),
    ("GET", "/metrics", METRICS),
    ("POST", "/v1/ingest/{provider}/{source}", INGEST),
    ("POST", "/v1/sql", SQL),
    ("GET", "/v1/segments", READ),
    ("POST", "/v1/segments", SEGMENTS_WRITE),
    ("GET", "/v1/segments/{key}", READ),
    ("PUT", "/v1/segments/{key}", SEGMENTS_WRITE),
    ("DELETE", "/v1/segments/{key}", SEGMENTS_WRITE),
    ("POST", "/v1/segments/preview", MEMBERS),
    ("POST", "/v1/segments/refresh", REFRESH),
    ("POST", "/v1/segments/{key}/refresh", REFRESH),
    ("GET", "/v1/segments/{key}/members", MEMBERS),
    ("GET", "/v1/segments/{key}/count", READ),
    ("GET", "/v1/segments/{key}/changes", MEMBERS),
    ("GET", "/v1/segments/{key}/history", READ),
    ("GET", "/v1/segments/{key}/reach", READ),
    ("GET", "/v1/segments/{key}/calendar", READ),
    ("GET", "/v1/segments/{key}/near-miss", MEMBERS),
    ("GET", "/v1/segments/{key}/explain/{person_id}", MEMBERS),
    ("POST", "/v1/segments/{key}/impact", MEMBERS),
    ("GET", "/v1/segments/overlap", READ),
    ("POST", "/v1/attribution/runs", READ),
    ("GET", "/v1/scores/{kind}", MEMBERS),
    ("GET", "/v1/persons", MEMBERS),
    ("GET", "/v1/persons/{person_id}", PII),
    ("DELETE", "/v1/persons/{person_id}", ERASE),
    ("GET", "/v1/persons/{person_id}/timeline", MEMBERS),
    ("GET", "/v1/identity/stats", READ),
    ("GET", "/v1/identity/reviews", IDENTITY),
    ("POST", "/v1/identity/reviews/{identity_id}", IDENTITY),
    ("POST", "/v1/identity/merges", IDENTITY),
    ("DELETE", "/v1/identity/merges/{entry}", IDENTITY),
    ("GET", "/v1/tables", READ),
    ("GET", "/v1/schema", READ),
    ("GET", "/v1/traits", READ),
    ("GET", "/v1/audit", AUDIT),
    ("GET", "/v1/keys", KEYS),
    ("POST", "/v1/keys", KEYS),
    ("DELETE", "/v1/keys/{prefix}", KEYS),
    ("GET", "/v1/tenants", CALLER),
    ("POST", "/v1/tenants", TENANTS),
    ("DELETE", "/v1/tenants/{tenant}", TENANTS),
    ("POST", "/v1/session", CALLER),
    ("DELETE", "/v1/session", CALLER),
];

/// Whether a route is about no tenant in particular, so that callers with several need not name one.
pub(super) fn is_of_no_tenant(path: &str) -> bool {
    path.starts_with("/v1/tenants") || matches!(path, "/metrics" | "/v1/session")
}

/// What a route needs; `None` if the table lacks it.
pub(super) fn needs(method: &str, path: &str) -> Option<Needs> {
    let mut routes = ROUTES.into_iter();
    let found = routes.find(|(of, route, _)| *of == method && *route == path);
    found.map(|(.., needs)| needs)
}

/// The methods of a path; none if the table lacks it.
pub(super) fn methods(path: &str) -> Vec<&'static str> {
    let routes = ROUTES.into_iter().filter(|(_, route, _)| *route == path);
    let mut methods = Vec::new();
    for (method, ..) in routes {
        methods.push(method);
        // HEAD is answered as GET without its body.
        methods.extend((method == "GET").then_some("HEAD"));
    }
    methods
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{Needs, ROUTES, methods, needs};
    use crate::routes;

    /// The routes of the server, as the document describes them.
    fn described() -> Vec<(String, Value)> {
        let (_, document) = routes::all().split_for_parts();
        let text = crate::api::document::text(&document);
        let document: Value = serde_json::from_str(text.get()).unwrap();
        let mut found = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let route = format!("{} {path}", method.to_uppercase());
                found.push((route, operation.clone()));
            }
        }
        found
    }

    #[test]
    fn table_has_exactly_the_routes_of_the_server() {
        let described: BTreeSet<String> = described().into_iter().map(|(route, _)| route).collect();
        let mut listed: BTreeSet<String> = BTreeSet::new();
        for (method, path, _) in ROUTES {
            assert!(listed.insert(format!("{method} {path}")), "{method} {path}");
        }
        // The document does not describe itself.
        assert!(listed.remove("GET /openapi.json"));
        assert_eq!(listed, described);
    }

    #[test]
    fn document_says_which_routes_need_a_key() {
        for (route, operation) in described() {
            let (method, path) = route.split_once(' ').unwrap();
            let is_open = needs(method, path) == Some(Needs::NoKey);
            assert_eq!(operation["security"].is_array(), is_open, "{route}");
            assert_eq!(operation["responses"]["401"].is_null(), is_open, "{route}");
        }
    }

    #[test]
    fn unlisted_routes_need_nobody_knows_what() {
        assert_eq!(needs("GET", "/v1/secrets"), None);
        assert_eq!(needs("PATCH", "/v1/segments"), None);
        assert!(methods("/v1/secrets").is_empty());
        assert_eq!(methods("/v1/segments"), ["GET", "HEAD", "POST"]);
    }
}
