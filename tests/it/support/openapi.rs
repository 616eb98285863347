//! Checks that an answer conforms to the OpenAPI document.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::server::Answer;

/// The same for all servers of this program.
static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// Panics if the document does not describe an answer: its status, its content type, the code of a problem,
/// the shape of JSON.
pub(crate) fn check(
    document: impl FnOnce() -> Option<Value>,
    method: &str,
    path: &str,
    answer: &Answer,
) {
    let document = match DOCUMENT.get() {
        Some(document) => document,
        None => match document() {
            Some(document) => DOCUMENT.get_or_init(|| document),
            // A server that is killed by its test.
            None => return,
        },
    };
    let path = path.split('?').next().unwrap_or(path);
    // A slash at the end changes nothing.
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(operation) = operation(document, method, path) else {
        return;
    };
    let what = format!("{method} {path}: {}", answer.status);
    let described = &operation["responses"][answer.status.to_string()];
    let said = String::from_utf8_lossy(&answer.body);
    assert!(
        described.is_object(),
        "{what} is not in the document: {said}"
    );
    let kind = answer.header("content-type");
    let kind = kind.split(';').next().unwrap_or_default();
    let content = described["content"].as_object();
    let Some(media) = content.and_then(|content| content.get(kind)) else {
        assert!(
            content.is_none() && kind.is_empty(),
            "{what} is not `{kind}` in the document"
        );
        return;
    };
    if kind.ends_with("json") && !kind.contains("ndjson") {
        let complaint = against(document, &media["schema"], &answer.json());
        assert!(
            complaint.is_none(),
            "{what}: {}: {said}",
            complaint.unwrap_or_default()
        );
    }
}

/// The operation of a path and a method.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
        template.len() == parts.len() && template.iter().zip(&parts).all(same)
    };
    let found = document["paths"].as_object()?.iter();
    let found = found.filter(|(template, _)| fits(template));
    let (_, item) = found.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(method.to_lowercase())
}

/// The place where a value violates a schema; `None` if it conforms. An unknown keyword is refused, so that
/// nothing is skipped.
pub(crate) fn against(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let Some(schema) = schema.as_object() else {
        return Some(format!("no schema: {schema}"));
    };
    schema
        .iter()
        .find_map(|(keyword, said)| of_keyword(document, schema, keyword, said, value))
}

fn of_keyword(
    document: &Value,
    schema: &Map<String, Value>,
    keyword: &str,
    said: &Value,
    value: &Value,
) -> Option<String> {
    let fails = |is_so: bool| (!is_so).then(|| format!("`{value}` is not {keyword} {said}"));
    let all = |value: &Value| against(document, said, value);
    match keyword {
        // Texts are not looked into here; schemathesis does.
        "description" | "example" | "examples" | "default" | "title" | "format" | "pattern"
        | "propertyNames" => None,
        "$ref" => {
            let name = said.as_str()?.trim_start_matches('#');
            against(document, document.pointer(name)?, value)
        }
        "type" => fails(match said {
            Value::Array(types) => types.iter().any(|ty| is_of(ty, value)),
            ty => is_of(ty, value),
        }),
        "enum" => fails(said.as_array()?.contains(value)),
        "const" => fails(said == value),
        "minimum" => fails(
            value
                .as_f64()
                .is_none_or(|value| Some(value) >= said.as_f64()),
        ),
        "maximum" => fails(
            value
                .as_f64()
                .is_none_or(|value| Some(value) <= said.as_f64()),
        ),
        "maxLength" | "minLength" | "maxItems" | "minItems" => None,
        "oneOf" => {
            let fitting = said.as_array()?.iter();
            let fitting = fitting.filter(|one| against(document, one, value).is_none());
            fails(fitting.count() == 1)
        }
        "anyOf" => {
            let mut any = said.as_array()?.iter();
            fails(any.any(|one| against(document, one, value).is_none()))
        }
        "allOf" => said
            .as_array()?
            .iter()
            .find_map(|one| against(document, one, value)),
        "not" => fails(all(value).is_some()),
        "items" if said == &json!(false) => None,
        "items" => value.as_array()?.iter().find_map(all),
        "prefixItems" => {
            let pairs = said.as_array()?.iter().zip(value.as_array()?);
            let complaint = pairs.map(|(said, value)| against(document, said, value));
            complaint.flatten().next()
        }
        "required" => {
            let names = said.as_array()?.iter();
            let missing =
                names.filter(|name| value.get(name.as_str().unwrap_or_default()).is_none());
            fails(missing.count() == 0 || !value.is_object())
        }
        "properties" => {
            let named = said.as_object()?.iter();
            named
                .filter_map(|(name, said)| against(document, said, value.get(name)?))
                .next()
        }
        "additionalProperties" => {
            let named = schema.get("properties").and_then(Value::as_object);
            let is_named = |name: &String| named.is_some_and(|named| named.contains_key(name));
            let mut others = value
                .as_object()?
                .iter()
                .filter(|(name, _)| !is_named(name));
            match said {
                Value::Bool(are_allowed) => fails(*are_allowed || others.next().is_none()),
                _ => others.find_map(|(_, value)| all(value)),
            }
        }
        other => Some(format!("`{other}` is no keyword that is known here")),
    }
}

fn is_of(ty: &Value, value: &Value) -> bool {
    match ty.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn schema_check_refuses_undocumented_values() {
    let document = json!({"components": {"schemas": {"Key": {"type": "string", "enum": ["a"]}}}});
    let schema = json!({
        "type": "object",
        "required": ["key"],
        "properties": {"key": {"$ref": "#/components/schemas/Key"}, "n": {"type": ["integer", "null"]}},
        "additionalProperties": {"type": "boolean"},
    });
    for fitting in [
        json!({"key": "a"}),
        json!({"key": "a", "n": null, "more": true}),
    ] {
        assert_eq!(against(&document, &schema, &fitting), None, "{fitting}");
    }
    for other in [
        json!([]),
        json!({}),
        json!({"key": "b"}),
        json!({"key": "a", "n": 1.5}),
        json!({"key": "a", "more": 1}),
    ] {
        assert!(against(&document, &schema, &other).is_some(), "{other}");
    }
    let unknown = json!({"contains": {}});
    assert!(against(&document, &unknown, &json!([])).is_some());
}
