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
    use serde_json::json;

    use super::*;
    use crate::providers::Scheme;

    #[test]
    fn a_fault_names_the_innermost_key_and_quotes_no_value() {
        let over = |key: &str, value: Value| {
            let mut scheme = json!({ "kind": "mac" });
            scheme[key] = value;
            scheme
        };
        for (scheme, key, message) in [
            (json!("canary"), "scheme[0]", "expected a table"),
            (json!({}), "scheme[0].kind", "is missing"),
            (
                over("kind", json!("canary")),
                "scheme[0].kind",
                "must be one of none, token",
            ),
            (
                over("kind", json!(4711)),
                "scheme[0].kind",
                "a text in double quotes",
            ),
            (
                over("algoritm", json!("canary")),
                "scheme[0].algoritm",
                "did you mean \"algorithm\"?",
            ),
            (
                over("zzz", json!("canary")),
                "scheme[0].zzz",
                "known here are kind, variant",
            ),
            (
                over("signature", json!("canary")),
                "scheme[0].signature",
                "expected a table",
            ),
            (
                over("signature", json!({ "from": ["header:a", 4711] })),
                "scheme[0].signature.from[1]",
                "a text in double quotes",
            ),
            (
                over("url_variants", json!("canary")),
                "scheme[0].url_variants",
                "true or false",
            ),
            (
                over("leeway_seconds", json!(-4711)),
                "scheme[0].leeway_seconds",
                "a whole number",
            ),
            (
                over(
                    "fetch",
                    json!({ "form": "canary", "url": "https://example.com" }),
                ),
                "scheme[0].fetch.form",
                "must be one of jwks, x509, plaid",
            ),
            (
                over("fetch", json!({ "form": "jwks" })),
                "scheme[0].fetch.url",
                "is missing",
            ),
            (
                over(
                    "inner",
                    json!({ "kind": "mac", "signature": { "encoding": "canary" } }),
                ),
                "scheme[0].inner.signature.encoding",
                "must be one of hex, base64, base64url",
            ),
            (
                over("check", json!([{ "from": "header:a", "equal": "canary" }])),
                "scheme[0].check[0].equal",
                "did you mean \"equals\"?",
            ),
        ] {
            let fault: Fault = read::<Scheme>(&scheme, "scheme[0]").unwrap_err();
            assert_eq!(fault.0, key, "{fault:?}");
            assert!(fault.1.contains(message), "{fault:?}");
            assert!(
                !fault.1.contains("canary") && !fault.1.contains("4711"),
                "{fault:?}"
            );
        }
    }
}
