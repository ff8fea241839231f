//! The layers of the configuration, lowest first: built-in defaults, file, environment, flags.
//!
//! Environment values stay text, so that a secret made of digits keeps its leading zero; the types
//! in `units` read from text.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::faults::{Fault, Faults};
use crate::planted::{Bug, planted};
use crate::secret::SecretText;

/// The commented defaults, which are also the lowest layer.
pub const DEFAULTS: &str = include_str!("../../config/hookgate.toml");

/// What the names of settings in the environment begin with.
pub(super) const PREFIX: &str = "HOOKGATE__";

const ENVIRONMENT: &str = "environment";
const COMMAND_LINE: &str = "command line";

/// Where the configuration comes from, beside the built-in defaults.
#[derive(Clone, Default)]
pub struct Inputs {
    /// A TOML file that must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; only `HOOKGATE__...` are looked at, and what OpenTelemetry calls its own.
    pub environment: Vec<(String, SecretText)>,
    /// Dotted keys and their values from the command line.
    pub flags: Vec<(String, String)>,
}

/// Names only: the values may be secrets.
impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if planted(Bug::SecretInDebug) {
            let value = |(name, text): &(String, SecretText)| format!("{name}={}", &**text);
            return f
                .debug_list()
                .entries(self.environment.iter().map(value))
                .finish();
        }
        let environment = self.environment.iter().map(|(name, _)| name);
        let flags = self.flags.iter().map(|(name, _)| name);
        f.debug_struct("Inputs")
            .field("file", &self.file)
            .field("environment", &environment.collect::<Vec<_>>())
            .field("flags", &flags.collect::<Vec<_>>())
            .finish()
    }
}

/// A file, read once: it may be a pipe.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) table: toml::Table,
}

impl File {
    fn read(path: &Path) -> Result<Self, Faults> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| file_fault(path, &error.to_string()))?;
        Self::parse(path, &text)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Faults> {
        let table = text.parse::<toml::Table>();
        let table = table.map_err(|error| file_fault(path, &without_source_text(&error, text)))?;
        let path = path.to_owned();
        Ok(Self { path, table })
    }
}

impl Provider for File {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", &*self.path)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let table = Value::serialize(&self.table)?.into_dict();
        Ok(Profile::Default.collect(table.unwrap_or_default()))
    }
}

/// Text values under dotted keys.
struct Texts {
    name: &'static str,
    values: Vec<(Vec<String>, SecretText)>,
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
            }
        }
    }
}

/// Stacks the layers.
///
/// # Errors
/// When the file is missing or is not TOML.
pub(super) fn stack(inputs: &Inputs) -> Result<Figment, Faults> {
    let file = inputs.file.as_deref().map(File::read).transpose()?;
    Ok(stacked(file, inputs))
}

/// Stacks the layers, with what the file holds.
pub(super) fn stacked(file: Option<File>, inputs: &Inputs) -> Figment {
    use figment::providers::{Format, Toml};
    let mut figment = Figment::from(Toml::string(DEFAULTS));
    if let Some(file) = file {
        figment = figment.merge(file);
    }
    let environment = inputs.environment.iter().filter_map(|(name, text)| {
        let keys = name.strip_prefix(PREFIX)?.split("__");
        let keys: Vec<_> = keys.map(str::to_ascii_lowercase).collect();
        Some((keys, text.clone()))
    });
    // A value where others set a table comes last, so that it is found and refused.
    let mut environment: Vec<_> = environment.collect();
    environment.sort_by_key(|(keys, _)| std::cmp::Reverse(keys.len()));
    let flags = inputs.flags.iter().map(|(key, text)| {
        (
            key.split('.').map(ToOwned::to_owned).collect(),
            text.as_str().into(),
        )
    });
    figment
        .merge(Texts {
            name: ENVIRONMENT,
            values: environment,
        })
        .merge(Texts {
            name: COMMAND_LINE,
            values: flags.collect(),
        })
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

/// Where the value of a dotted key was set, in words. What is missing, or is part of a list, was
/// set, or not, where the table or list around it was.
pub(super) fn origin(figment: &Figment, key: &str) -> Option<String> {
    let mut place = key;
    loop {
        if let Some(metadata) = figment.find_metadata(place) {
            let is_table = matches!(figment.find_value(place), Ok(Value::Dict(..)));
            return in_words(metadata, place, is_table, place == key);
        }
        place = place.rsplit_once(['.', '['])?.0;
    }
}

fn in_words(metadata: &Metadata, key: &str, is_table: bool, is_set: bool) -> Option<String> {
    Some(match (&*metadata.name, &metadata.source) {
        (ENVIRONMENT, _) if is_table => {
            format!("environment variables {}...", variable(&dotted(key, "")))
        }
        (ENVIRONMENT, _) => format!("environment variable {}", variable(key)),
        (COMMAND_LINE, _) => "command line".to_owned(),
        (_, Some(figment::Source::File(file))) => file.display().to_string(),
        _ if is_set => "default".to_owned(),
        _ => return None,
    })
}

/// The environment variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Takes out, and reports, every key that the schema does not know and every value that should
/// have been a table.
pub(super) fn refuse_unknown(
    figment: &Figment,
    table: &mut Dict,
    schema: &Json,
    faults: &mut Faults,
) {
    let mut walk = Walk {
        figment,
        root: schema,
        faults,
    };
    walk.table(table, schema, "");
}

/// A walk over the settings along the schema.
struct Walk<'a> {
    figment: &'a Figment,
    root: &'a Json,
    faults: &'a mut Faults,
}

impl Walk<'_> {
    fn table(&mut self, table: &mut Dict, schema: &Json, path: &str) {
        table.retain(|key, value| {
            let full = dotted(path, key);
            let Some(expected) = child(self.root, schema, key) else {
                return self.refuse(&full, unknown_key(key, schema, path));
            };
            self.value(value, expected, &full)
        });
    }

    /// Whether the value stays.
    fn value(&mut self, value: &mut Value, expected: &Json, path: &str) -> bool {
        match value {
            Value::Dict(_, inner) if is_table(expected) => self.table(inner, expected, path),
            Value::Array(_, items) => {
                let of = expected.get("items").map(|items| follow(self.root, items));
                let Some(of) = of.filter(|of| is_table(of)) else {
                    return true;
                };
                for (index, item) in items.iter_mut().enumerate() {
                    if let Value::Dict(_, inner) = item {
                        self.table(inner, of, &format!("{path}[{index}]"));
                    }
                }
            }
            Value::Dict(..)
            | Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..) => {}
        }
        if is_table(expected) && value.as_dict().is_none() {
            let key = path.rsplit('.').next().unwrap_or(path);
            let message = format!(
                "expected a table: write [{path}], {key} = {{ ... }}, or {}... in the environment",
                variable(&dotted(path, ""))
            );
            return self.refuse(path, message);
        }
        true
    }

    fn refuse(&mut self, key: &str, message: String) -> bool {
        self.faults.0.push(Fault {
            key: key.to_owned(),
            origin: origin(self.figment, key),
            message,
        });
        false
    }
}

pub(super) fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

pub(super) fn is_table(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("object")
}

/// The schema of a key in a table, if the key may be there.
pub(super) fn child<'a>(root: &'a Json, table: &'a Json, key: &str) -> Option<&'a Json> {
    let named = table
        .get("properties")
        .and_then(|properties| properties.get(key));
    let any = table.get("additionalProperties");
    let found = named.or(any.filter(|schema| schema.is_object()))?;
    Some(follow(root, found))
}

/// The schema that a reference, or an optional one, leads to.
pub(super) fn follow<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let or_null = schema.get("anyOf").and_then(Json::as_array);
    let schema = or_null
        .and_then(|either| either.iter().find(|one| one.get("$ref").is_some()))
        .unwrap_or(schema);
    schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|pointer| root.pointer(pointer.trim_start_matches('#')))
        .unwrap_or(schema)
}

fn unknown_key(key: &str, table: &Json, path: &str) -> String {
    let properties = table.get("properties").and_then(Json::as_object);
    let known: Vec<_> = properties
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(key, known), known))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, nearest)) => format!("unknown key; did you mean \"{nearest}\"?"),
        None if path.is_empty() => format!("unknown key; at the top are {}", known.join(", ")),
        None => format!("unknown key; known here are {}", known.join(", ")),
    }
}
