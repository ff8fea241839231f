//! The layers of the configuration, lowest first: built-in defaults, file, environment, flags.
//!
//! Environment values stay text, so that a secret made of digits keeps its leading zero; the types
//! in `units` read from text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value as Json;

use super::faults::{Fault, Faults};

/// The commented defaults, which are also the lowest layer.
pub const DEFAULTS: &str = include_str!("../../config/hookgate.toml");

const ENVIRONMENT: &str = "environment";
const COMMAND_LINE: &str = "command line";

/// Where the configuration comes from, beside the built-in defaults.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// A TOML file that must exist.
    pub file: Option<PathBuf>,
    /// All environment variables; only `HOOKGATE__...` are looked at.
    pub environment: Vec<(String, String)>,
    /// Dotted keys and their values from the command line.
    pub flags: Vec<(String, String)>,
}

/// Text values under dotted keys.
struct Texts {
    name: &'static str,
    values: Vec<(Vec<String>, String)>,
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut root = Dict::new();
        for (path, text) in &self.values {
            insert(&mut root, path, text);
        }
        Ok(Profile::Default.collect(root))
    }
}

fn insert(table: &mut Dict, path: &[String], text: &str) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), Value::String(Tag::Default, text.to_owned()));
        }
        [key, rest @ ..] => {
            let empty = || Value::Dict(Tag::Default, Dict::new());
            let entry = table.entry(key.clone()).or_insert_with(empty);
            if let Value::Dict(_, inner) = entry {
                insert(inner, rest, text);
            } else {
                // A value and a table under the same key: the deeper one wins and is then checked.
                let mut inner = Dict::new();
                insert(&mut inner, rest, text);
                *entry = Value::Dict(Tag::Default, inner);
            }
        }
    }
}

/// Stacks the layers.
///
/// # Errors
/// When the file is missing or is not TOML.
pub(super) fn stack(inputs: &Inputs) -> Result<Figment, Faults> {
    use figment::providers::{Format, Toml};
    let mut figment = Figment::from(Toml::string(DEFAULTS));
    if let Some(file) = &inputs.file {
        let text =
            std::fs::read_to_string(file).map_err(|error| file_fault(file, &error.to_string()))?;
        if let Err(error) = text.parse::<toml::Table>() {
            return Err(file_fault(file, &without_source_text(&error, &text)));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let environment = inputs.environment.iter().filter_map(|(name, text)| {
        let keys = name.strip_prefix("HOOKGATE__")?.split("__");
        Some((keys.map(str::to_ascii_lowercase).collect(), text.clone()))
    });
    let flags = inputs.flags.iter().map(|(key, text)| {
        (
            key.split('.').map(ToOwned::to_owned).collect(),
            text.clone(),
        )
    });
    Ok(figment
        .merge(Texts {
            name: ENVIRONMENT,
            values: environment.collect(),
        })
        .merge(Texts {
            name: COMMAND_LINE,
            values: flags.collect(),
        }))
}

fn file_fault(file: &Path, message: &str) -> Faults {
    let origin = Some(file.display().to_string());
    Faults(vec![Fault {
        key: String::new(),
        origin,
        message: message.to_owned(),
    }])
}

/// Line, column and reason; the offending line itself may hold a secret.
fn without_source_text(error: &toml::de::Error, text: &str) -> String {
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    format!(
        "line {line}, column {column}: {}",
        error.message().replace('\n', " ")
    )
}

/// Where the value of a dotted key was set, in words.
pub(super) fn origin(figment: &Figment, key: &str) -> Option<String> {
    let metadata = figment.find_metadata(key)?;
    Some(match &*metadata.name {
        ENVIRONMENT => format!(
            "environment variable HOOKGATE__{}",
            key.to_ascii_uppercase().replace('.', "__")
        ),
        COMMAND_LINE => "command line".to_owned(),
        _ => match &metadata.source {
            Some(figment::Source::File(file)) => file.display().to_string(),
            Some(_) | None => "default".to_owned(),
        },
    })
}

/// Takes out, and reports, every key that the schema does not know and every value that should
/// have been a table.
pub(super) fn refuse_unknown(
    figment: &Figment,
    table: &mut Dict,
    schema: &Json,
    faults: &mut Faults,
) {
    walk(figment, table, schema, schema, "", faults);
}

fn walk(
    figment: &Figment,
    table: &mut Dict,
    root: &Json,
    schema: &Json,
    path: &str,
    faults: &mut Faults,
) {
    let known: BTreeSet<&str> = schema
        .get("properties")
        .and_then(Json::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    table.retain(|key, value| {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let property = schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        let any = schema
            .get("additionalProperties")
            .filter(|schema| schema.is_object());
        let mut refuse = |message: String| {
            let origin = origin(figment, &full);
            faults.0.push(Fault {
                key: full.clone(),
                origin,
                message,
            });
            false
        };
        let Some(expected) = property.or(any) else {
            return refuse(unknown_key(key, &known, path));
        };
        let expected = follow(root, expected);
        if expected.get("type").and_then(Json::as_str) != Some("object") {
            return true;
        }
        match value {
            Value::Dict(_, inner) => {
                if expected.get("additionalProperties") != Some(&Json::Bool(true)) {
                    walk(figment, inner, root, expected, &full, faults);
                }
                true
            }
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Array(..) => refuse(format!(
                "expected a table: write [{full}] or {key} = {{ ... }}"
            )),
        }
    });
}

fn follow<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|pointer| root.pointer(pointer.trim_start_matches('#')))
        .unwrap_or(schema)
}

fn unknown_key(key: &str, known: &BTreeSet<&str>, path: &str) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(key.len()) / 3);
    match nearest {
        Some((_, candidate)) => format!("unknown key; did you mean \"{candidate}\"?"),
        None if path.is_empty() => format!("unknown key; the tables are {}", list(known)),
        None => format!("unknown key; known here are {}", list(known)),
    }
}

fn list(known: &BTreeSet<&str>) -> String {
    known.iter().copied().collect::<Vec<_>>().join(", ")
}
