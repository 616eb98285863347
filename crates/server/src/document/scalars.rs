//! Scalars of the document where they are used, instead of under names: each parameter and field
//! shows its own pattern and bounds.

use serde_json::{Map, Value, json};

use super::SCHEMAS;

/// Puts scalars where they are named, and gives every integer its size.
pub(super) fn put_in_place(document: &mut Value) {
    let mut scalars = Map::new();
    if let Some(schemas) = document.pointer_mut(SCHEMAS).and_then(Value::as_object_mut) {
        // What has a list of values keeps its name: generated code makes a type of it.
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

/// What may be left out is not null where it is there.
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
            replaced(object, scalars);
            object.values_mut().for_each(|item| walk(item, scalars));
            or_null(object);
            sized(object);
        }
        _ => {}
    }
}

/// A reference to a scalar becomes the scalar, with what is said beside it.
fn replaced(object: &mut Map<String, Value>, scalars: &Map<String, Value>) {
    let name = object.get("$ref").and_then(Value::as_str);
    let name = name.and_then(|name| name.strip_prefix("#/components/schemas/"));
    if let Some(Value::Object(scalar)) = name.and_then(|name| scalars.get(name)) {
        object.remove("$ref");
        for (key, value) in scalar {
            object.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// One of null and a scalar becomes a scalar that may be null.
fn or_null(object: &mut Map<String, Value>) {
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

/// Integers have 64 bits where nothing else is said: many clients take 32 otherwise.
fn sized(object: &mut Map<String, Value>) {
    let is_integer = match object.get("type") {
        Some(Value::String(ty)) => ty == "integer",
        Some(Value::Array(types)) => types.contains(&json!("integer")),
        _ => false,
    };
    if is_integer {
        object.entry("format").or_insert_with(|| json!("int64"));
    }
}
