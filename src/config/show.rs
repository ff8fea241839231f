//! The configuration as it came together, for people, and its schema, for editors.

use std::fmt::Write;

use figment::Figment;
use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::faults::Faults;
use super::layers::{self, Inputs};
use super::raw::Raw;
use super::units::{FilePath, parse_size, parse_span};

/// Every setting in force as `key = value`, with where it was set; secrets are not shown. It shows
/// also what [`super::Config::load`] would refuse.
///
/// # Errors
/// When the file cannot be read.
pub fn show(inputs: &Inputs) -> Result<String, Faults> {
    Ok(shown(&layers::stack(inputs)?))
}

pub(super) fn shown(figment: &Figment) -> String {
    let table: Dict = figment.extract().unwrap_or_default();
    let mut lines = Vec::new();
    let shown = Shown { root: schema() };
    shown.collect(&table, &shown.root, "", &mut lines);
    let width = lines
        .iter()
        .map(|(key, value)| key.len() + value.len() + 3)
        .max()
        .unwrap_or(0)
        .min(60);
    let mut text = String::new();
    for (key, value) in lines {
        let setting = format!("{key} = {value}");
        let origin = layers::origin(figment, &key).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{setting:width$}  # {origin}");
    }
    text
}

/// The schema of the configuration, which says what may be shown: a value under a key that it does
/// not know, or of a shape that it does not expect, may be a secret in the wrong place.
struct Shown {
    root: Json,
}

impl Shown {
    fn collect(&self, table: &Dict, schema: &Json, path: &str, lines: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let full = layers::dotted(path, key);
            let expected = layers::child(&self.root, schema, key);
            match (value, expected) {
                (Value::Dict(_, inner), Some(expected))
                    if !inner.is_empty() && layers::is_table(expected) =>
                {
                    self.collect(inner, expected, &full, lines);
                }
                _ => lines.push((full, self.value(value, expected).to_string())),
            }
        }
    }

    fn value(&self, value: &Value, expected: Option<&Json>) -> Json {
        let hidden = || Json::from("***");
        let Some(expected) = expected else {
            return hidden();
        };
        let items = expected
            .get("items")
            .map(|items| layers::follow(&self.root, items));
        let of_tables = items.is_some_and(layers::is_table);
        if expected.get("writeOnly").is_some() {
            return hidden();
        }
        match (value, items) {
            (Value::Array(_, list), Some(items)) => list
                .iter()
                .map(|item| self.value(item, Some(items)))
                .collect(),
            (Value::Dict(_, table), _) if layers::is_table(expected) => {
                let shown = table.iter().map(|(key, value)| {
                    let expected = layers::child(&self.root, expected, key);
                    (key.clone(), self.value(value, expected))
                });
                Json::Object(shown.collect())
            }
            (Value::Array(..) | Value::Dict(..), _) => hidden(),
            _ if of_tables || layers::is_table(expected) => hidden(),
            (Value::String(_, text), _) => {
                text_shown(text, expected).map_or_else(hidden, Json::from)
            }
            (Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..), _) => {
                serde_json::to_value(value).unwrap_or(Json::Null)
            }
        }
    }
}

/// The text without what may be a secret in it.
fn text_shown(text: &str, expected: &Json) -> Option<String> {
    if expected.get("format").and_then(Json::as_str) == Some("path") {
        return FilePath(text.to_owned()).shown().map(ToOwned::to_owned);
    }
    if !is_of_its_form(text, expected) {
        return None;
    }
    // user:password@ in front of a host
    let login = text.find("://").zip(text.rfind('@'));
    Some(match login {
        Some((scheme, at)) if scheme < at => {
            let (before, rest) = (text.get(..scheme)?, text.get(at..)?);
            format!("{before}://***{rest}")
        }
        Some(_) | None => text.to_owned(),
    })
}

/// Whether a text can be what stands here: anything else may be a secret that slipped by a line.
fn is_of_its_form(text: &str, expected: &Json) -> bool {
    let is = |key: &str, value: &str| expected.get(key).and_then(Json::as_str) == Some(value);
    if is("format", "date-time") {
        return text.parse::<jiff::Timestamp>().is_ok();
    }
    if expected.get("pattern").is_some() {
        return parse_span(text).is_some() || parse_size(text).is_some();
    }
    if is("type", "integer") {
        return text.parse::<u64>().is_ok();
    }
    !is("type", "boolean") || text.parse::<bool>().is_ok()
}

/// A JSON Schema (draft 2020-12) of the configuration file.
#[must_use]
pub fn schema() -> Json {
    schemars::schema_for!(Raw).to_value()
}
