//! The shapes of the configuration, as written. Every setting is optional here: the defaults are
//! a layer of their own, and [`super::resolve`] turns the whole into a `Config` or all its faults.

use std::collections::BTreeMap;

use figment::error::Kind;
use figment::value::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::units::{FilePath, Flag, Int, Size, Span, TextList};
use crate::providers::Scheme;
use crate::secret::SecretText;

/// Whatever stands there. (`Value` has a method of the same name as the trait's.)
fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    <Value as Deserialize>::deserialize(deserializer)
}

/// One setting: absent, read, or given in a form that cannot be read (kept as the reason).
///
/// Reading never fails as a whole, so that all faults are found in one go.
#[derive(Clone, Debug)]
pub(super) struct Leaf<T>(pub(super) Option<Result<T, String>>);

impl<T> Default for Leaf<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Leaf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = any(deserializer)?;
        Ok(Self(Some(
            value.deserialize().map_err(|error| in_words(&error.kind)),
        )))
    }
}

/// What is wrong, without the value that was found: it may be a secret in the wrong place.
fn in_words(kind: &Kind) -> String {
    if let Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) = kind {
        return if expected.contains("string") {
            "write a text in double quotes".to_owned()
        } else {
            format!("expected {expected}")
        };
    }
    kind.to_string()
}

impl<T: JsonSchema> JsonSchema for Leaf<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match any(deserializer)? {
            Value::String(_, text) => Ok(text.into()),
            // The usual message would quote what was found.
            Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..)
            | Value::Array(..) => Err(serde::de::Error::custom(
                "a secret is text: put it in double quotes",
            )),
        }
    }
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Parts of a scheme, read by `providers`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct SchemeTable(pub(super) serde_json::Map<String, serde_json::Value>);

impl JsonSchema for SchemeTable {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SchemeTable".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Every part can be left out: what is set goes over the provider's own scheme.
        let mut schema = Scheme::json_schema(generator);
        schema.remove("required");
        schema.remove("description");
        schema
    }
}

macro_rules! shape {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, serde::Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $($(#[$field_meta])* pub(super) $field: $type,)* }
    };
}

shape!(
    /// Settings of hookgate
    Raw {
        /// Directory with provider files of your own
        providers_dir: Leaf<String>,
        server: Server,
        app: App,
        store: Store,
        admin: Admin,
        ops: Ops,
        log: Log,
        sources: BTreeMap<String, Source>,
    }
);
shape!(Server {
    listen: Leaf<TextList>,
    public_url: Leaf<String>,
    tls: Tls,
    trusted_proxies: Leaf<TextList>,
    body_max: Leaf<Size>,
    ack_deadline: Leaf<Span>,
    connections_max: Leaf<Int>,
    connections_per_peer_max: Leaf<Int>,
    bodies_in_flight_max: Leaf<Size>,
    rejections_per_peer: Rate,
    drain: Drain,
    grace: Leaf<Span>,
});
shape!(Drain { accept_for: Leaf<Span>, });
shape!(Tls { certificate: Leaf<String>, key: Leaf<String>, });
shape!(Rate { per_second: Leaf<Int>, burst: Leaf<Int>, });
shape!(App {
    url: Leaf<String>,
    allow_remote: Leaf<Flag>,
    timeout: Leaf<Span>,
    concurrency: Leaf<Int>,
    retry: Retry,
    dead_letter_on: Leaf<StatusList>,
    sign_secret: Leaf<SecretText>,
});
shape!(Retry { first: Leaf<Span>, max: Leaf<Span>, give_up_after: Leaf<Span>, });
shape!(Store {
    kind: Leaf<String>,
    path: Leaf<String>,
    bytes_max: Leaf<Size>,
    low_space: Leaf<Size>,
    allow_volatile: Leaf<Flag>,
    keep: Keep,
});
shape!(Keep { delivered: Leaf<Span>, dead: Leaf<Span>, ids: Leaf<Span>, });
shape!(Admin {
    listen: Leaf<TextList>,
    token_file: Leaf<FilePath>,
    read_token_file: Leaf<FilePath>,
});
shape!(Ops { listen: Leaf<TextList>, });
shape!(Log { format: Leaf<String>, level: Leaf<String>, });
shape!(Source {
    provider: Leaf<String>,
    variant: Leaf<String>,
    path: Leaf<String>,
    secret: Leaf<SecretText>,
    secret_file: Leaf<FilePath>,
    secrets: Leaf<SecretList>,
    capture: Leaf<Flag>,
    confirm: Leaf<Flag>,
    allow_shared_secret: Leaf<Flag>,
    mode: Leaf<String>,
    ack: Leaf<String>,
    ack_timeout: Leaf<Span>,
    tolerance: Leaf<Span>,
    body_max: Leaf<Size>,
    dedup: Dedup,
    rate: Rate,
    app_path: Leaf<String>,
    // Some are credentials, such as Plaid's client_secret.
    values: BTreeMap<String, Leaf<SecretText>>,
    unsigned: Leaf<Flag>,
    token: Leaf<SecretText>,
    token_file: Leaf<FilePath>,
    token_in: Leaf<String>,
    allow_from: Leaf<TextList>,
    scheme: Leaf<SchemeTable>,
});
shape!(Dedup { window: Leaf<Span>, key: Leaf<TextList>, });

/// HTTP statuses.
#[derive(Clone, Debug)]
pub(super) struct StatusList(pub(super) Vec<u16>);

impl<'de> Deserialize<'de> for StatusList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let way_out =
            || D::Error::custom("write a list of HTTP statuses from 300 to 599, such as [410]");
        let given = match any(deserializer)? {
            Value::String(_, text) => text
                .split(',')
                .map(|part| part.trim().parse().ok())
                .collect::<Option<Vec<u16>>>(),
            Value::Array(_, list) => list
                .iter()
                .map(|status| status.deserialize().ok())
                .collect(),
            Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..) => None,
        };
        let list = given.ok_or_else(way_out)?;
        if list.iter().all(|status| (300..600).contains(status)) {
            Ok(Self(list))
        } else {
            Err(way_out())
        }
    }
}

impl JsonSchema for StatusList {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusList".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": "integer", "minimum": 300, "maximum": 599 } })
    }
}

/// One of several secrets of a source.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretEntry {
    pub(super) file: Option<FilePath>,
    pub(super) value: Option<SecretText>,
    /// An RFC 3339 instant after which this secret no longer verifies
    pub(super) not_after: Option<Instant>,
}

/// RFC 3339 text, or a TOML date-time.
#[derive(Clone, Debug)]
pub(super) struct Instant(pub(super) jiff::Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = any(deserializer)?;
        // TOML's own date-time arrives as a table with this one key.
        let text = value
            .find_ref("$__toml_private_datetime")
            .unwrap_or(&value)
            .as_str();
        text.and_then(|text| text.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::custom(
                    "write an instant with its zone, such as \"2026-12-31T00:00:00Z\"",
                )
            })
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// `secrets = [...]`; in the environment the same list as text. What is wrong with one entry does
/// not hide the others.
#[derive(Clone, Debug)]
pub(super) struct SecretList(pub(super) Vec<Result<SecretEntry, String>>);

impl<'de> Deserialize<'de> for SecretList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WAY_OUT: &str = "write a list such as [{ file = \"...\" }, { value = \"...\" }]";
        let entry = |entry: &Value| match entry {
            Value::Dict(..) => entry.deserialize().map_err(|error| in_words(&error.kind)),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Array(..) => Err("write { file = \"...\" } or { value = \"...\" }".to_owned()),
        };
        let value = any(deserializer)?;
        // The parser's own message would quote the text, and with it the secrets.
        let parsed = value.as_str().map(|text| {
            let wrapped = format!("secrets = {text}").parse::<toml::Table>().ok()?;
            Value::serialize(wrapped.get("secrets")?).ok()
        });
        let list = parsed.map_or(Some(value), |parsed| parsed);
        match list.and_then(Value::into_array) {
            Some(list) => Ok(Self(list.iter().map(entry).collect())),
            None => Err(serde::de::Error::custom(WAY_OUT)),
        }
    }
}

impl JsonSchema for SecretList {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretList".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<SecretEntry>::json_schema(generator)
    }
}
