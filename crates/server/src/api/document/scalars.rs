//! Inlines scalars in the document, so that each parameter and field shows its pattern and bounds.

use serde_json::{Map, Value, json};

use super::SCHEMAS;

/// Replaces references to scalars by their schemas, and adds the format of integers.
pub(super) fn inline(document: &mut Value) {
    let mut scalars = Map::new();
    if let Some(schemas) = document.pointer_mut(SCHEMAS).and_then(Value::as_object_mut) {
        // Enums keep their names, because code generators make types of them.
        let is_plain = |schema: &Value| {
            let ty = schema["type"].as_str().unwrap_or_default();
            ["string", "integer", "number"].contains(&ty) && schema["enum"].is_null()
        };
        let all = std::mem::take(schemas);
        for (name, schema) in all {
            match is_plain(&schema) {
                true => scalars.insert(name, schema),
                false => schemas.insert(name, schema),
            };
        }
    }
    walk(document, &scalars);
    for parameter in parameters(document) {
        not_null(&mut parameter["schema"]);
    }
}

fn parameters(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter();
    let paths = paths
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut);
    let operations = paths.flat_map(Map::values_mut);
    let lists = operations.filter_map(|operation| operation.get_mut("parameters")?.as_array_mut());
    lists.flatten()
}

/// Optional parameters can be left out, but not null.
fn not_null(schema: &mut Value) {
    if let Some([one, other]) = schema["type"].as_array().map(Vec::as_slice) {
        let one = if one == "null" { other } else { one };
        schema["type"] = one.clone();
    }
}

fn walk(value: &mut Value, scalars: &Map<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, scalars)),
        Value::Object(object) => {
            replace_reference(object, scalars);
            object.values_mut().for_each(|item| walk(item, scalars));
            merge_null(object);
            add_format(object);
        }
        _ => {}
    }
}

/// Replaces a reference to a scalar by its schema, keeping properties beside the reference.
fn replace_reference(object: &mut Map<String, Value>, scalars: &Map<String, Value>) {
    let name = object.get("$ref").and_then(Value::as_str);
    let name = name.and_then(|name| name.strip_prefix("#/components/schemas/"));
    if let Some(Value::Object(scalar)) = name.and_then(|name| scalars.get(name)) {
        object.remove("$ref");
        for (key, value) in scalar {
            object.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Turns `oneOf` null and a scalar into a nullable scalar.
fn merge_null(object: &mut Map<String, Value>) {
    let of = object.get("oneOf").and_then(Value::as_array);
    let Some([one, other]) = of.map(Vec::as_slice) else {
        return;
    };
    let null = json!({ "type": "null" });
    let scalar = match (*one == null, *other == null) {
        (true, false) => other,
        (false, true) => one,
        _ => return,
    };
    let Value::Object(scalar) = scalar else {
        return;
    };
    let is_scalar = scalar.get("type").is_some_and(Value::is_string)
        && !scalar.contains_key("enum")
        && !scalar.contains_key("properties");
    if !is_scalar {
        return;
    }
    let mut scalar = scalar.clone();
    scalar["type"] = json!([scalar["type"], "null"]);
    object.remove("oneOf");
    for (key, value) in scalar {
        object.entry(key).or_insert(value);
    }
}

/// Marks integers as 64-bit: many client generators default to 32.
fn add_format(object: &mut Map<String, Value>) {
    let is_integer = match object.get("type") {
        Some(Value::String(ty)) => ty == "integer",
        Some(Value::Array(types)) => types.contains(&json!("integer")),
        _ => false,
    };
    if is_integer {
        object.entry("format").or_insert_with(|| json!("int64"));
    }
}
