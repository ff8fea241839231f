//! Reads what a file says, strictly: a fault names its key and the way out, and never quotes a
//! value of an unexpected kind, which may be a secret in the wrong place.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A key, such as `scheme[0].signature.from`, and what is wrong with it.
pub(super) type Fault = (String, String);

/// Reads a table that stands at `key`.
///
/// # Errors
/// The first key that cannot be read, and the way out.
pub(super) fn read<T: DeserializeOwned>(table: &Value, key: &str) -> Result<T, Fault> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let inside = match error.path().to_string().as_str() {
            "." => key.to_owned(),
            path => dotted(key, path),
        };
        in_our_words(inside, &error.into_inner().to_string())
    })
}

/// A key in the table at `path`.
pub(super) fn dotted(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// Serde knows the kind of fault by its text only.
fn in_our_words(key: String, message: &str) -> Fault {
    let listed = |text: &str| {
        text.replace("one of ", "")
            .replace("` or `", ", ")
            .replace('`', "")
    };
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    if let Some(name) = message.strip_prefix("missing field ") {
        let missing = dotted(&key, name.trim_matches('`'));
        return (missing, "is missing".to_owned());
    }
    let message = match found.split([' ', ':']).take(2).collect::<Vec<_>>()[..] {
        ["unknown", "field"] => unknown(&key, &listed(expected)),
        ["unknown", "variant"] => format!("must be one of {}", listed(expected)),
        ["invalid", "type" | "value"] => format!("expected {}", described(expected)),
        _ => message.to_owned(),
    };
    (key, message)
}

fn unknown(key: &str, known: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let likeness = |known: &&str| strsim::jaro_winkler(name, known);
    let near = known.split(", ").filter(|known| likeness(known) > 0.84);
    let nearest = near.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) => format!("unknown key; did you mean \"{nearest}\"?"),
        None => format!("unknown key; known here are {known}"),
    }
}

/// What was expected, as people who write TOML call it.
fn described(expected: &str) -> &str {
    match expected {
        "a string" | "string or map" => "a text in double quotes",
        "a boolean" => "true or false",
        "u16" | "u32" => "a whole number that is not negative",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Scheme;

    /// What a scheme says, the key at fault, and a part of the message.
    const FAULTS: &[(&str, &str, &str)] = &[
        ("", "kind", "is missing"),
        ("kind = 'canary'", "kind", "must be one of none, token"),
        ("kind = 4711", "kind", "expected a text in double quotes"),
        (
            "kind = 'mac'\nzzz = 'canary'",
            "zzz",
            "known here are kind, variant",
        ),
        (
            "kind = 'mac'\nsignature = 'canary'",
            "signature",
            "expected a table",
        ),
        (
            "kind = 'mac'\nleeway_seconds = -4711",
            "leeway_seconds",
            "a whole number",
        ),
        (
            "kind = 'mac'\nfetch = { form = 'jwks' }",
            "fetch.url",
            "is missing",
        ),
        (
            "kind = 'mac'\nsignature.from = ['header:a', 4711]",
            "signature.from[1]",
            "expected a text in double quotes",
        ),
        (
            "kind = 'each'\ninner = { kind = 'mac', signature = { encodng = 'canary' } }",
            "inner.signature.encodng",
            "did you mean \"encoding\"?",
        ),
    ];

    #[test]
    fn a_fault_names_the_innermost_key_and_quotes_no_value() {
        for (text, key, message) in FAULTS {
            let table: toml::Table = text.parse().unwrap();
            let table = serde_json::to_value(table).unwrap();
            let (found, said) = read::<Scheme>(&table, "scheme[0]").unwrap_err();
            assert_eq!(found, format!("scheme[0].{key}"), "{said}");
            assert!(said.contains(message), "{said}");
            assert!(!said.contains("canary") && !said.contains("4711"), "{said}");
        }
        let (key, said) = read::<Scheme>(&Value::from("canary"), "scheme").unwrap_err();
        assert_eq!((&*key, &*said), ("scheme", "expected a table"));
    }
}
