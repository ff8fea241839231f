//! A judge of JSON Schema, as much of it as ours use.

use serde_json::Value as Json;

/// What a value breaks of a schema.
pub(crate) fn validate(schema: &Json, value: &Json) -> Vec<String> {
    let mut broken = Vec::new();
    check(schema, schema, value, "", &mut broken);
    broken
}

fn check(root: &Json, schema: &Json, value: &Json, path: &str, broken: &mut Vec<String>) {
    let one_of = |schema: &Json| {
        let either = schema.get("anyOf").or_else(|| schema.get("oneOf"));
        either.and_then(Json::as_array).cloned()
    };
    if let Some(either) = one_of(schema).or_else(|| one_of(follow(root, schema))) {
        let fits = |one: &&Json| {
            let mut broken = Vec::new();
            check(root, one, value, path, &mut broken);
            broken.is_empty()
        };
        if !either.iter().any(|one| fits(&one)) {
            broken.push(format!("{path}: fits nothing of {either:?}"));
        }
        return;
    }
    let schema = follow(root, schema);
    if schema.get("const").is_some_and(|only| only != value) {
        broken.push(format!("{path}: {value} is another text"));
    }
    for key in schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        if key.as_str().is_some_and(|key| value.get(key).is_none()) {
            broken.push(format!("{path}: {key} is missing"));
        }
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => false,
    };
    let fits = match schema.get("type") {
        None => true,
        Some(Json::String(name)) => is(name),
        Some(names) => names
            .as_array()
            .is_some_and(|names| names.iter().filter_map(Json::as_str).any(is)),
    };
    if !fits {
        broken.push(format!("{path}: {value} is not {}", schema["type"]));
    }
    if let Some(allowed) = schema.get("enum").and_then(Json::as_array)
        && !allowed.contains(value)
    {
        broken.push(format!("{path}: {value} is not one of {allowed:?}"));
    }
    if let (Some(least), Some(number)) =
        (schema.get("minimum").and_then(Json::as_i64), value.as_i64())
        && number < least
    {
        broken.push(format!("{path}: {number} is less than {least}"));
    }
    if let (Some(_), Some(text)) = (schema.get("pattern"), value.as_str())
        && !text.starts_with(|c: char| c.is_ascii_digit())
    {
        broken.push(format!("{path}: {text:?} has no number"));
    }
    check_inside(root, schema, value, path, broken);
}

/// The entries of a table or a list.
fn check_inside(root: &Json, schema: &Json, value: &Json, path: &str, broken: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = dotted(path, key);
        let property = schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        match (property, schema.get("additionalProperties")) {
            (Some(property), _) => check(root, property, value, &path, broken),
            (None, Some(any)) if any.is_object() => check(root, any, value, &path, broken),
            (None, None | Some(Json::Bool(true))) => {}
            (None, _) => broken.push(format!("{path}: unknown")),
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(root, items, item, &format!("{path}[{index}]"), broken);
        }
    }
}

/// The schema that a reference, or an optional one, leads to.
pub(crate) fn follow<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let either = schema.get("anyOf").and_then(Json::as_array);
    let schema = either
        .and_then(|either| either.iter().find(|one| one.get("$ref").is_some()))
        .unwrap_or(schema);
    let pointer = schema.get("$ref").and_then(Json::as_str);
    pointer
        .and_then(|pointer| root.pointer(pointer.trim_start_matches('#')))
        .unwrap_or(schema)
}

pub(crate) fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
