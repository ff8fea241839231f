//! Every configuration file that is shipped is valid, and the schema, the commented defaults and
//! the README speak of the same keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hookgate::config::{Config, DEFAULTS, Inputs, schema};
use serde_json::Value as Json;

use crate::validator::{dotted, follow, validate};
use crate::{Place, WHSEC};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn schema_and_commented_defaults_know_the_same_keys() {
    let mut in_file = BTreeSet::new();
    keys(&parsed(&uncommented(|_| true)), "", &mut in_file);
    let mut in_schema = BTreeSet::new();
    let root = schema();
    schema_keys(&root, &root, "", &mut in_schema);
    // `scheme` is a language of its own, described by the provider files.
    let is_whole = |key: &String| !key.starts_with("sources.NAME.scheme.");
    in_schema.retain(is_whole);
    in_file.retain(is_whole);
    assert_eq!(in_file, in_schema);
    assert!(in_file.len() > 50, "{}", in_file.len());
}

#[test]
fn every_commented_setting_of_the_defaults_is_valid() {
    let place = Place::new();
    let commented: Vec<_> = DEFAULTS.lines().filter_map(setting).collect();
    assert!(commented.len() > 20, "{}", commented.len());
    for line in commented {
        let text = in_context(&place, line);
        let table = parsed(&text);
        assert_eq!(validate(&schema(), &table), Vec::<String>::new(), "{text}");
        let loaded = load(&place.write(&text));
        assert_eq!(loaded, Ok(()), "{text}");
    }
}

#[test]
fn every_shipped_file_is_valid() {
    let place = Place::new();
    let mut files = vec![PathBuf::from(ROOT).join("config/hookgate.toml")];
    for place in ["examples", "config/kubernetes"] {
        for folder in std::fs::read_dir(Path::new(ROOT).join(place)).expect("a folder") {
            let file = folder.expect("an entry").path().join("hookgate.toml");
            files.extend(file.is_file().then_some(file));
        }
    }
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a shipped file");
        let table = parsed(&text);
        assert_eq!(
            validate(&schema(), &table),
            Vec::<String>::new(),
            "{}",
            file.display()
        );
        let text = with_secret_files(&place, &text);
        assert_eq!(load(&place.write(&text)), Ok(()), "{}", file.display());
    }
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md");
    let section = readme
        .split("\n## Configuration")
        .nth(1)
        .expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let mut listed = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split(" | ");
        let key = cells.next().expect("a key").trim_matches(['|', ' ', '`']);
        let default = cells.next().expect("a default").trim_matches([' ', '`']);
        assert!(
            cells.next().is_some_and(|meaning| meaning.len() > 8),
            "{line}"
        );
        listed.insert(key.to_owned(), default.to_owned());
    }
    let mut in_file = BTreeSet::new();
    keys(&parsed(&uncommented(|_| true)), "", &mut in_file);
    // The table speaks of whole settings of the three whose parts belong together.
    let shortened = |key: &String| {
        let whole = [
            "sources.NAME.secrets",
            "sources.NAME.values",
            "sources.NAME.scheme",
        ];
        let whole = whole.into_iter().find(|whole| key.starts_with(*whole));
        whole.map_or(key.clone(), ToOwned::to_owned)
    };
    let in_file: BTreeSet<_> = in_file.iter().map(shortened).collect();
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), in_file);

    let defaults = parsed(DEFAULTS);
    for (key, default) in listed {
        let pointer = format!("/{}", key.replace('.', "/"));
        match defaults.pointer(&pointer) {
            Some(value) => assert_eq!(default, value.to_string(), "{key}"),
            None => assert!(!default.starts_with(['"', '[']), "{key}: {default}"),
        }
    }
}

fn load(file: &Path) -> Result<(), String> {
    let inputs = Inputs {
        file: Some(file.to_owned()),
        ..Inputs::default()
    };
    Config::load(&inputs)
        .map(drop)
        .map_err(|faults| faults.to_string())
}

fn parsed(text: &str) -> Json {
    let table: toml::Table = text.parse().expect("TOML");
    serde_json::to_value(table).expect("a table")
}

/// A commented line of the defaults that would set something, without its comment sign.
fn setting(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let key = line.split(" = ").next()?;
    let is_key = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_key && line.contains(" = ") || line.starts_with("[sources.")).then_some(line)
}

fn uncommented(wanted: impl Fn(&str) -> bool) -> String {
    let line = |line| setting(line).filter(|line| wanted(line)).unwrap_or(line);
    DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A configuration in which this line of the defaults makes sense.
fn in_context(place: &Place, line: &str) -> String {
    if !is_of_a_source(line) {
        let text = uncommented(|other| other == line);
        let text = text
            .replace("tls.crt", "{dir}/certificate.pem")
            .replace("tls.key", "{dir}/key.pem")
            .replace("\"providers\"", "\"{dir}/own\"")
            .replace("whsec_...", WHSEC);
        return with_secret_files(place, &text);
    }
    let key = line.split([' ', ']']).next().unwrap_or_default();
    let line = with_secret_files(place, &line.replace("whsec_...", WHSEC));
    let line = line.replace("\"/run/secrets/new\"", "\"{dir}/secret\"");
    let context = match key {
        "[sources.stripe" => "secret = \"a\"\nprovider = \"stripe\"",
        "provider" => "secret = \"a\"",
        "secret" | "secret_file" | "secrets" => "provider = \"stripe\"",
        "variant" => "provider = \"standard-webhooks\"\nsecret = \"{whsec}\"",
        "unsigned" => "provider = \"github\"\nsecret = \"a\"",
        "token" | "token_file" => "provider = \"sieve\"\nunsigned = true",
        "token_in" => "provider = \"sieve\"\nunsigned = true\ntoken = \"a\"",
        "values" => "provider = \"jigsawstack\"\nvariant = \"derived\"\nsecret = \"a\"",
        "ack_timeout" => "ack = \"handled\"\nprovider = \"stripe\"\nsecret = \"a\"",
        "scheme" => "provider = \"hmac\"\nsecret = \"a\"",
        _ => "provider = \"stripe\"\nsecret = \"a\"",
    };
    let context = context.replace("{whsec}", WHSEC);
    if key.starts_with('[') {
        return format!("{line}\n{context}");
    }
    format!("[sources.stripe]\n{line}\n{context}")
}

fn is_of_a_source(line: &str) -> bool {
    let of_sources = DEFAULTS.split("# [sources.").nth(1).unwrap_or_default();
    line.starts_with('[') || of_sources.contains(line)
}

/// The text with files of the place instead of secret files that exist only where it is used.
fn with_secret_files(place: &Place, text: &str) -> String {
    let replaced = text.lines().map(|line| {
        let names_a_file = line.contains("secret_file = ") || line.contains("token_file = ");
        match line.split_once(" = ") {
            Some((key, _)) if names_a_file => format!("{key} = \"{{dir}}/secret\""),
            _ => line.to_owned(),
        }
    });
    place.fill(&replaced.collect::<Vec<_>>().join("\n"))
}

/// The dotted keys of a configuration, with NAME for a source's.
fn keys(value: &Json, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Json::Object(table) => {
            for (key, value) in table {
                let key = if path == "sources" { "NAME" } else { key };
                keys(value, &dotted(path, key), found);
            }
        }
        Json::Array(items) if items.iter().any(Json::is_object) => {
            for item in items {
                keys(item, &format!("{path}[]"), found);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            found.insert(path.to_owned());
        }
    }
}

fn schema_keys(root: &Json, schema: &Json, path: &str, found: &mut BTreeSet<String>) {
    let schema = follow(root, schema);
    let properties = schema.get("properties").and_then(Json::as_object);
    let any = schema
        .get("additionalProperties")
        .filter(|any| any.is_object());
    // A scheme can hold a scheme.
    let inner = |key: &str| path.contains(".scheme") && key == "inner";
    let properties_below = properties.into_iter().flatten();
    for (key, property) in properties_below.filter(|(key, _)| !inner(key)) {
        schema_keys(root, property, &dotted(path, key), found);
    }
    if let Some(any) = any {
        let name = if path == "sources" { "NAME" } else { "message" };
        schema_keys(root, any, &dotted(path, name), found);
    }
    let items = schema.get("items").map(|items| follow(root, items));
    if let Some(items) = items.filter(|items| items.get("properties").is_some()) {
        schema_keys(root, items, &format!("{path}[]"), found);
    } else if properties.is_none() && any.is_none() {
        found.insert(path.to_owned());
    }
}
