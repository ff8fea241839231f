//! The JSON Schema of provider files says what the reader says.

use std::path::Path;
use std::process::Command;

use hookgate::config::schema as config_schema;
use hookgate::providers::Provider;
use serde_json::{Value as Json, json};

use crate::validator::validate;

/// Every shipped file, with its name.
fn shipped() -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/providers");
    let files = std::fs::read_dir(folder).expect("the shipped files");
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("a file");
        let table: toml::Table = text.parse().expect("TOML");
        serde_json::to_value(table).expect("a table")
    };
    files
        .map(|file| file.expect("an entry").path())
        .map(|path| (path.display().to_string(), read(&path)))
        .collect()
}

#[test]
fn every_shipped_provider_file_fits_the_schema() {
    let (schema, files) = (Provider::schema(), shipped());
    assert!(files.len() > 100, "{}", files.len());
    for (name, file) in files {
        assert_eq!(validate(&schema, &file), [""; 0], "{name}");
    }
}

/// Every table of a file with one key too many; in the three that are free, keys are the author's.
fn with_a_stranger(value: &Json, key: &str) -> Vec<Json> {
    let mut made = Vec::new();
    match value {
        Json::Object(table) => {
            for (key, inner) in table {
                made.extend(with_a_stranger(inner, key).into_iter().map(|inner| {
                    let mut table = table.clone();
                    table.insert(key.clone(), inner);
                    Json::Object(table)
                }));
            }
            if !["headers", "json", "evidence"].contains(&key) {
                let mut table = table.clone();
                table.insert("zzz".to_owned(), json!("a"));
                made.push(Json::Object(table));
            }
        }
        Json::Array(list) if key != "json" => {
            for (at, inner) in list.iter().enumerate() {
                made.extend(with_a_stranger(inner, key).into_iter().map(|inner| {
                    let mut list = list.clone();
                    list.splice(at..=at, [inner]);
                    Json::Array(list)
                }));
            }
        }
        Json::Array(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    made
}

#[test]
fn a_key_too_many_breaks_the_schema_at_every_level() {
    let schema = Provider::schema();
    let mut count = 0;
    for name in ["adyen", "asana", "twilio", "fusionauth", "hubspot", "zoom"] {
        let ends = format!("/{name}.toml");
        let files = shipped();
        let file = files.iter().find(|(path, _)| path.ends_with(&ends));
        let (_, file) = file.expect("a shipped file");
        for wrong in with_a_stranger(file, "") {
            count += 1;
            let broken = validate(&schema, &wrong);
            assert!(!broken.is_empty(), "{wrong:#}");
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn what_the_reader_refuses_for_its_type_breaks_the_schema() {
    let schema = Provider::schema();
    let good = json!({ "title": "a", "docs": "b", "scheme": [{ "kind": "none" }] });
    assert_eq!(validate(&schema, &good), [""; 0]);
    for (pointer, value) in [
        ("", json!({ "title": "a", "docs": "b" })),
        ("/title", json!(1)),
        ("/scheme", json!({ "kind": "none" })),
        ("/scheme/0", json!({})),
        ("/scheme/0/kind", json!("hmac")),
        ("/scheme/0", json!({ "kind": "mac", "algorithm": "md5" })),
        ("/scheme/0", json!({ "kind": "mac", "content": 1 })),
        (
            "/scheme/0",
            json!({ "kind": "mac", "signature": { "from": { "a": 1 } } }),
        ),
        (
            "/scheme/0",
            json!({ "kind": "mac", "timestamp": { "unit": "seconds" } }),
        ),
        (
            "/scheme/0",
            json!({ "kind": "mac", "timestamp": { "tolerance_seconds": -1 } }),
        ),
        ("/scheme/0", json!({ "kind": "jwt", "algorithms": "HS256" })),
        (
            "/scheme/0",
            json!({ "kind": "jwt", "check": [{ "equals": "a" }] }),
        ),
        (
            "/scheme/0",
            json!({ "kind": "each", "inner": { "kind": "macs" } }),
        ),
        (
            "/scheme/0",
            json!({ "kind": "asym", "fetch": { "form": "jwks" } }),
        ),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).expect("a place") = value;
        assert!(!validate(&schema, &wrong).is_empty(), "{wrong}");
        let text = toml::to_string(&wrong).expect("TOML");
        assert!(Provider::from_toml("wrong", &text).is_err(), "{text}");
    }
}

#[test]
fn schemes_in_the_configuration_have_the_same_schema() {
    let (config, file) = (config_schema(), Provider::schema());
    let scheme = "/$defs/Source/properties/scheme";
    let (own, shared) = (config.pointer(scheme), file.pointer("/$defs/Scheme"));
    let properties = |schema: Option<&Json>| schema.and_then(|s| s.get("properties").cloned());
    assert_eq!(properties(own), properties(shared));
    assert!(properties(own).is_some());
    for name in [
        "Scheme",
        "SignatureRule",
        "Check",
        "FetchRule",
        "TimestampRule",
        "KeyForm",
    ] {
        let pointer = format!("/$defs/{name}");
        assert!(file.pointer(&pointer).is_some(), "{name}");
        assert_eq!(config.pointer(&pointer), file.pointer(&pointer), "{name}");
    }
}

#[test]
fn the_program_prints_the_schema_and_every_key_is_described() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    let output = program.args(["providers", "--schema"]).output();
    let printed = output.expect("the program runs").stdout;
    let printed: Json = serde_json::from_slice(&printed).expect("JSON");
    assert_eq!(printed, Provider::schema());
    let definitions = printed["$defs"].as_object().expect("definitions");
    for (name, table) in definitions.iter().chain([(&"file".to_owned(), &printed)]) {
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            let said = property["description"].as_str().unwrap_or_default();
            assert!(said.len() > 8, "{name}.{key}");
        }
    }
}
