//! The configuration as it came together, for people, and its schema, for editors.

use std::fmt::Write;

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::faults::Faults;
use super::layers::{self, Inputs};
use super::raw::Raw;

/// Keys whose values nobody may see again.
const SECRET_KEYS: [&str; 4] = ["secret", "token", "sign_secret", "value"];

/// Every setting in force as `key = value`, with where it was set; secrets are not shown. It shows
/// also what [`super::Config::load`] would refuse.
///
/// # Errors
/// When the file cannot be read.
pub fn show(inputs: &Inputs) -> Result<String, Faults> {
    let figment = layers::stack(inputs)?;
    let table: Dict = figment.extract().unwrap_or_default();
    let mut lines = Vec::new();
    collect(&table, "", &mut lines);
    let width = lines
        .iter()
        .map(|(key, value)| key.len() + value.len() + 3)
        .max()
        .unwrap_or(0)
        .min(60);
    let mut text = String::new();
    for (key, value) in lines {
        let setting = format!("{key} = {value}");
        let origin = layers::origin(&figment, &key).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{setting:width$}  # {origin}");
    }
    Ok(text)
}

fn collect(table: &Dict, path: &str, lines: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => collect(inner, &full, lines),
            Value::Dict(..)
            | Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Array(..) => lines.push((full, shown(key, value).to_string())),
        }
    }
}

/// The value, without what is secret in it.
fn shown(key: &str, value: &Value) -> Json {
    // `secrets` given as text holds values among files: it is not taken apart here.
    let is_text_list = key == "secrets" && value.as_str().is_some();
    if SECRET_KEYS.contains(&key) || is_text_list {
        return Json::from("***");
    }
    match value {
        Value::Array(_, items) => items.iter().map(|item| shown("", item)).collect(),
        Value::Dict(_, table) => table
            .iter()
            .map(|(key, value)| (key.clone(), shown(key, value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Empty(..) => serde_json::to_value(value).unwrap_or(Json::Null),
    }
}

/// A JSON Schema (draft 2020-12) of the configuration file.
#[must_use]
pub fn schema() -> Json {
    schemars::schema_for!(Raw).to_value()
}
