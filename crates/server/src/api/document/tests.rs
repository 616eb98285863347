//! The document is complete: every answer has a type, every input has bounds, every error its codes.

use std::collections::BTreeSet;

use rollbook_app::segments::RESERVED_KEYS;
use serde_json::{Map, Value};

use super::{document as document_of, text};
use crate::api::document::refusals;
use crate::routes;

fn document() -> Value {
    document_of(routes::all().get_openapi())
}

/// Every operation, with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap().iter();
            item.map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

/// All schemas within a value, each with its path.
fn schemas<'a>(path: &str, value: &'a Value, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    match value {
        Value::Object(object) => {
            found.push((path.to_owned(), object));
            for (key, inner) in object {
                // Examples are values, not schemas.
                if !["example", "examples", "default", "enum"].contains(&key.as_str()) {
                    schemas(&format!("{path}/{key}"), inner, found);
                }
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                schemas(&format!("{path}/{at}"), inner, found);
            }
        }
        _ => {}
    }
}

#[test]
fn no_object_is_free_form() {
    let document = document();
    let mut found = Vec::new();
    schemas("", &document["paths"], &mut found);
    schemas("", &document["components"], &mut found);
    for (path, schema) in found {
        if schema.get("type").is_some_and(|ty| ty == "object") {
            let has = |key: &str| schema.get(key).is_some_and(Value::is_object);
            assert!(
                has("properties") || has("additionalProperties"),
                "{path} is free-form"
            );
        }
        if schema.get("type").is_some_and(|ty| ty == "array") {
            assert!(
                schema.contains_key("items") || schema.contains_key("prefixItems"),
                "{path} is a list of anything"
            );
        }
        if let Some(Value::Object(content)) = schema.get("content") {
            for (kind, media) in content {
                let schema = media["schema"].as_object();
                assert!(
                    schema.is_some_and(|schema| !schema.is_empty()),
                    "{path} {kind}"
                );
            }
        }
    }
}

#[test]
fn every_reference_resolves() {
    let document = document();
    let mut found = Vec::new();
    schemas("", &document, &mut found);
    let names: BTreeSet<&str> = found
        .iter()
        .filter_map(|(_, schema)| schema.get("$ref")?.as_str())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(
            document.pointer(name.trim_start_matches('#')).is_some(),
            "{name}"
        );
    }
}

#[test]
fn every_operation_has_a_unique_id_and_error_codes() {
    let document = document();
    let mut names = BTreeSet::new();
    for (what, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{what}: `{name}` is not unique");
        assert!(refusals::knows(name), "{what}: `{name}` has no errors");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let content = answer["content"].as_object();
            let kinds: Vec<_> = content
                .into_iter()
                .flatten()
                .map(|(kind, _)| kind)
                .collect();
            let is_problem = status.starts_with(['4', '5']) && status != "414";
            let is_described = match is_problem {
                true => kinds == ["application/problem+json"],
                false => !kinds.iter().any(|kind| kind.contains("problem")),
            };
            assert!(is_described, "{what} {status}: {kinds:?}");
            if is_problem {
                let problem = &answer["content"]["application/problem+json"]["schema"];
                let codes = problem["properties"]["code"]["enum"].as_array().unwrap();
                assert!(!codes.is_empty(), "{what} {status} has no codes");
            }
        }
        let has = |status: &str| !operation["responses"][status].is_null();
        let has_body = operation["requestBody"].is_object();
        let has_parameters = operation["parameters"].is_array();
        for status in ["405", "421", "500", "503"] {
            assert!(has(status), "{what}: {status}");
        }
        assert_eq!(has("413") && has("415") && has("408"), has_body, "{what}");
        assert!(has("400") || !(has_body || has_parameters), "{what}: 400");
    }
}

#[test]
fn every_parameter_is_bounded_and_has_an_example() {
    let document = document();
    for (what, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let schema = &parameter["schema"];
            let has = |key: &str| !schema[key].is_null();
            let is_bounded = match schema["type"].as_str() {
                // `by` is free text.
                Some("string") => {
                    has("enum") || has("maxLength") && (has("pattern") || name == "by")
                }
                Some("integer" | "number") => has("minimum") && has("maximum"),
                Some("boolean") => true,
                _ => false,
            };
            assert!(is_bounded, "{what}: `{name}` is {schema}");
            let has_example = has("examples")
                || has("example")
                || has("enum")
                || schema["type"] == "boolean"
                || !parameter["example"].is_null();
            // A person is found by one of three: an example of each would make a request with all.
            let is_instead = what == "get /v1/persons" && ["phone", "external"].contains(&name);
            assert!(has_example || is_instead, "{what}: `{name}` has no example");
        }
    }
}

#[test]
fn every_text_of_a_body_is_bounded() {
    let document = document();
    for (what, operation) in operations(&document) {
        let Some(content) = operation["requestBody"]["content"].as_object() else {
            continue;
        };
        let Some(media) = content.get("application/json") else {
            continue;
        };
        let name = media["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(name.trim_start_matches('#')).unwrap();
        let mut found = Vec::new();
        schemas(name, schema, &mut found);
        let mut count = 0;
        for (path, schema) in found {
            let is_text = schema.get("type").is_some_and(|ty| {
                ty == "string"
                    || ty
                        .as_array()
                        .is_some_and(|types| types.contains(&"string".into()))
            });
            if is_text {
                count += 1;
                let is_bounded = schema.contains_key("maxLength") || schema.contains_key("enum");
                assert!(is_bounded, "{what}: {path} has no bound");
            }
        }
        assert!(count > 0 || what.contains("merges"), "{what}");
    }
}

#[test]
fn new_segments_cannot_have_reserved_keys() {
    let document = document();
    let words: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .filter_map(|path| path.strip_prefix("/v1/segments/")?.split('/').next())
        .filter(|word| !word.starts_with('{'))
        .collect();
    assert_eq!(words, BTreeSet::from(RESERVED_KEYS));
    let not = &document["components"]["schemas"]["NewSegment"]["properties"]["key"]["not"];
    assert_eq!(not["enum"].as_array().unwrap().len(), RESERVED_KEYS.len());
}

#[test]
fn properties_have_the_order_of_their_declaration() {
    let document = text(routes::all().get_openapi());
    let check = |schema: &str, names: &[&str]| {
        let (_, schema) = document
            .get()
            .split_once(&format!("\"{schema}\":"))
            .unwrap();
        let (_, properties) = schema.split_once("\"properties\":").unwrap();
        let place = |name: &&str| properties.find(&format!("\"{name}\":")).unwrap();
        let places: Vec<usize> = names.iter().map(place).collect();
        assert!(places.is_sorted(), "{names:?} are at {places:?}");
    };
    check(
        "Reach",
        &[
            "matched",
            "addressed",
            "consented",
            "not_suppressed",
            "not_held_out",
            "deliverable",
        ],
    );
    check("Impact", &["before", "after", "entered", "left"]);
    check(
        "People",
        &[
            "display_name",
            "email",
            "gdpr_consent",
            "city",
            "job_title",
            "total_spent",
        ],
    );
}
