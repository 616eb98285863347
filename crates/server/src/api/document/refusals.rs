//! Errors of each operation: statuses and the codes of each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Statuses, each with codes.
type Refusals = &'static [(u16, &'static [&'static str])];

/// Errors of the middleware.
const ANY: Refusals = &[
    (400, &["invalid_host"]),
    (403, &["cross_site"]),
    (405, &["method_not_allowed"]),
    (421, &["foreign_host"]),
    (500, &["internal"]),
    (503, &["busy"]),
    (504, &["too_slow"]),
];
/// Errors of the check of rights; of all operations except those in [`OPEN`].
const ACCESS: Refusals = &[
    (401, &["unauthenticated", "invalid_token"]),
    (400, &["tenant_needed"]),
    (403, &["forbidden", "not_encrypted", "tenant_suspended"]),
    (404, &["unknown_tenant"]),
    (500, &["lake_unavailable"]),
    (503, &["audit_unavailable"]),
];
/// Errors of the limits of calls; of all operations except [`UNLIMITED`].
const LIMITED: Refusals = &[(429, &["rate_limited"])];
/// The operation that anybody may call without limit.
const UNLIMITED: &str = "show_health";
/// Operations that need no key.
pub(super) const OPEN: [&str; 2] = ["show_health", "show_readiness"];
const QUERY: Refusals = &[(400, &["invalid_query"])];
const PATH: Refusals = &[(400, &["invalid_path"])];
const BODY: Refusals = &[
    (400, &["invalid_body", "body_broken_off"]),
    (408, &["body_too_slow"]),
    (413, &["body_too_large"]),
    (415, &["not_json", "unknown_charset", "unknown_packing"]),
];
const LAKE: Refusals = &[
    (404, &["no_lake"]),
    (500, &["lake_unavailable"]),
    (507, &["disk_full", "read_only_disk"]),
];
/// Errors of writes, which may create the lake.
const WRITES: Refusals = &[
    (409, &["occupied", "invalid_name"]),
    (500, &["lake_unavailable"]),
    (503, &["lake_busy"]),
    (507, &["disk_full", "read_only_disk"]),
];
const SNAPSHOT: Refusals = &[
    (404, &["unknown_snapshot", "expired_snapshot"]),
    (410, &["removed_snapshot"]),
];
const SEGMENT: Refusals = &[(404, &["unknown_segment"])];
const MEMBERS: Refusals = &[(409, &["segment_not_refreshed"])];
const PAGES: Refusals = &[
    (400, &["invalid_page_token"]),
    (410, &["expired_page_token"]),
];
const PERSON: Refusals = &[(404, &["unknown_person"]), (410, &["became_another"])];
/// Errors of any query.
const ENGINE: Refusals = &[
    (403, &["needs_pii"]),
    (
        422,
        &[
            "invalid_time",
            "memory_exhausted",
            "disk_exhausted",
            "time_exhausted",
        ],
    ),
];
const SQL: Refusals = &[(
    422,
    &[
        "empty_sql",
        "sql_syntax",
        "unknown_column",
        "ambiguous_column",
        "unknown_table",
        "unknown_function",
        "not_read_only",
        "more_than_one_statement",
        "sql_too_complex",
        "invalid_sql",
    ],
)];
const CRITERIA: Refusals = &[(
    422,
    &[
        "empty_criteria",
        "unknown_segment_named",
        "named_segment_failed",
        "segments_in_circle",
    ],
)];
const CLAUSES: Refusals = &[(422, &["not_a_condition"])];
const DECISION: Refusals = &[
    (
        404,
        &[
            "unknown_person",
            "unknown_record",
            "not_waiting",
            "unknown_decision",
        ],
    ),
    (409, &["is_blocked"]),
    (422, &["same_person", "only_record", "cannot_ingest"]),
];
const QUOTA: Refusals = &[(403, &["quota_reached"])];
const ROWS: Refusals = &[
    (
        400,
        &[
            "invalid_idempotency_key",
            "invalid_prefer",
            "body_broken_off",
            "invalid_body",
        ],
    ),
    (404, &["unknown_provider", "unknown_source"]),
    (408, &["body_too_slow"]),
    (413, &["body_too_large"]),
    (
        415,
        &["unknown_format", "unknown_charset", "unknown_packing"],
    ),
    (
        422,
        &[
            "missing_source",
            "cannot_ingest",
            "unreadable_file",
            "too_many_refused",
            "idempotency_key_reused",
        ],
    ),
    (503, &["journal_full"]),
];

/// The errors of an operation; `None` if there is no such operation.
fn of(operation: &str) -> Option<Vec<Refusals>> {
    let refusals: &[Refusals] = match operation {
        "show_health" | "show_metrics" | "show_schema" => &[],
        "show_readiness" => &[&[(503, &["not_ready"])]],
        "list_tables" | "list_traits" => &[LAKE, ENGINE],
        "ingest_rows" => &[PATH, ROWS, QUOTA, WRITES, ENGINE, SQL],
        "run_sql" => &[BODY, LAKE, SNAPSHOT, ENGINE, SQL],
        "list_segments" => &[LAKE, ENGINE],
        "create_segment" => &[
            BODY,
            WRITES,
            ENGINE,
            SQL,
            CRITERIA,
            MEMBERS,
            QUOTA,
            &[(409, &["segment_exists"]), (422, &["reserved_key"])],
        ],
        "put_segment" => &[
            PATH,
            BODY,
            WRITES,
            ENGINE,
            SQL,
            CRITERIA,
            MEMBERS,
            QUOTA,
            &[(422, &["reserved_key"])],
        ],
        "show_segment" => &[PATH, LAKE, SEGMENT, ENGINE],
        "delete_segment" => &[PATH, LAKE, WRITES, SEGMENT],
        "preview_criteria" => &[BODY, LAKE, ENGINE, SQL, CRITERIA, MEMBERS],
        "refresh_segments" => &[BODY, LAKE, WRITES, ENGINE, SQL],
        "refresh_segment" => &[
            PATH, BODY, LAKE, WRITES, SEGMENT, ENGINE, SQL, CRITERIA, MEMBERS,
        ],
        "list_members" => &[
            PATH,
            QUERY,
            LAKE,
            SEGMENT,
            MEMBERS,
            PAGES,
            SNAPSHOT,
            ENGINE,
            &[
                (400, &["invalid_limit", "invalid_name", "invalid_stream"]),
                (406, &["not_acceptable"]),
                (422, &["unknown_column", "invalid_sql"]),
            ],
        ],
        "count_members" => &[PATH, LAKE, SEGMENT, MEMBERS, SNAPSHOT, ENGINE],
        "list_changes" => &[
            PATH,
            QUERY,
            LAKE,
            SEGMENT,
            &[(400, &["invalid_since"]), (410, &["removed_snapshot"])],
        ],
        "list_history" => &[PATH, LAKE, SEGMENT],
        "show_reach" => &[PATH, QUERY, LAKE, SEGMENT, MEMBERS, ENGINE],
        "show_calendar" => &[
            PATH,
            QUERY,
            LAKE,
            SEGMENT,
            MEMBERS,
            ENGINE,
            SQL,
            CRITERIA,
            &[(400, &["invalid_days"])],
        ],
        "list_near_misses" => &[
            PATH, QUERY, LAKE, SEGMENT, MEMBERS, ENGINE, SQL, CRITERIA, CLAUSES,
        ],
        "explain_member" => &[PATH, QUERY, LAKE, SEGMENT, MEMBERS, ENGINE, SQL, CRITERIA],
        "preview_impact" => &[PATH, BODY, LAKE, SEGMENT, MEMBERS, ENGINE, SQL, CRITERIA],
        "show_overlap" => &[QUERY, LAKE, SEGMENT, MEMBERS, &[(400, &["invalid_name"])]],
        "run_attribution" => &[
            BODY,
            LAKE,
            ENGINE,
            &[(
                422,
                &[
                    "unknown_model",
                    "repeated_model",
                    "unknown_by",
                    "invalid_lookback",
                    "invalid_half_life",
                    "empty_time",
                    "invalid_sql",
                ],
            )],
        ],
        "list_scores" => &[
            PATH,
            QUERY,
            LAKE,
            PAGES,
            ENGINE,
            &[
                (400, &["invalid_limit", "invalid_min"]),
                (409, &["not_scored", "not_trained"]),
            ],
        ],
        "find_persons" => &[
            QUERY,
            LAKE,
            ENGINE,
            &[(400, &["invalid_search", "invalid_record"])],
        ],
        "show_person" => &[PATH, QUERY, LAKE, PERSON, ENGINE],
        "list_timeline" => &[
            PATH,
            QUERY,
            LAKE,
            SNAPSHOT,
            PERSON,
            ENGINE,
            &[(400, &["invalid_page_token", "invalid_limit"])],
        ],
        "erase_person" => &[
            PATH,
            QUERY,
            LAKE,
            WRITES,
            PERSON,
            ENGINE,
            &[(409, &["legal_hold"]), (422, &["cannot_ingest"])],
        ],
        "list_acts" => &[QUERY, LAKE, &[(400, &["invalid_limit"])]],
        "list_keys" => &[],
        "create_key" => &[
            BODY,
            WRITES,
            &[
                (409, &["first_key"]),
                (422, &["invalid_key_name", "invalid_bounds"]),
            ],
        ],
        "revoke_key" => &[
            PATH,
            WRITES,
            &[(404, &["unknown_key"]), (503, &["key_busy"])],
        ],
        "list_tenants" => &[],
        "create_tenant" => &[
            BODY,
            WRITES,
            &[(409, &["first_key", "tenant_exists", "tenant_deleted"])],
        ],
        "delete_tenant" => &[PATH, WRITES, &[(503, &["tenant_busy"])]],
        "start_session" => &[WRITES, &[(409, &["no_login"])]],
        "end_session" => &[WRITES],
        "show_identity_stats" | "list_reviews" => &[LAKE, ENGINE],
        "decide_review" => &[
            PATH,
            BODY,
            LAKE,
            WRITES,
            DECISION,
            ENGINE,
            &[(400, &["invalid_verdict"])],
        ],
        "merge_persons" => &[BODY, LAKE, WRITES, DECISION, ENGINE],
        "undo_decision" => &[PATH, QUERY, LAKE, WRITES, DECISION, ENGINE],
        _ => return None,
    };
    let access = (!OPEN.contains(&operation)).then_some(ACCESS);
    let limited = (operation != UNLIMITED).then_some(LIMITED);
    let always = [ANY].into_iter().chain(access).chain(limited);
    Some(refusals.iter().copied().chain(always).collect())
}

/// Adds its errors to an operation of the document.
pub(super) fn add(operation: &mut Value) {
    let name = operation["operationId"].as_str().unwrap_or_default();
    let mut statuses: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for (status, codes) in of(name).into_iter().flatten().flatten() {
        statuses.entry(*status).or_default().extend(*codes);
    }
    for (status, codes) in statuses {
        operation["responses"][status.to_string()] = response(status, &codes);
    }
    if operation["parameters"].is_array() {
        // Sent by hyper, without a body.
        let too_long = json!({ "description": "The URL is longer than 65,534 bytes" });
        operation["responses"]["414"] = too_long;
    }
}

fn response(status: u16, codes: &BTreeSet<&str>) -> Value {
    let named: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let schema = json!({
        "$ref": "#/components/schemas/Problem",
        "properties": { "code": { "enum": codes }, "status": { "const": status } },
    });
    let mut response = json!({
        "description": format!("{}: {}", meaning(status), named.join(", ")),
        "content": { "application/problem+json": { "schema": schema } },
    });
    if status == 429 {
        response["headers"]["retry-after"] = json!({
            "description": "Seconds until the next call is possible",
            "schema": { "type": "integer", "minimum": 1 },
        });
    }
    response
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be parsed",
        401 => "The request has no valid API key, JWT or session",
        403 => "The caller lacks a right, or the tenant may not",
        404 => "The request names something that does not exist",
        405 => "The route does not support the method",
        406 => "The answer is not available in any accepted format",
        408 => "The body was not received in time",
        409 => "The request conflicts with the state of the lake",
        410 => "The request names something that was removed",
        413 => "The body is too large",
        415 => "The content type, encoding or compression of the body is not supported",
        421 => "The request is for another host",
        422 => "The request can be parsed, but not executed",
        429 => "The caller makes too many calls; `retry-after` says when the next one is possible",
        503 => "The server is busy or not ready; try again",
        504 => "There was no answer in time",
        507 => "The storage of the lake is full or read-only",
        _ => "Internal error; the server log has the details",
    }
}

#[cfg(test)]
pub(super) fn knows(operation: &str) -> bool {
    of(operation).is_some()
}
