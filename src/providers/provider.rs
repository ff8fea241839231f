//! One provider: what its file says, read strictly and checked for sense.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::AnswerJson;
use super::challenge::Challenge;
use super::one_or_many::OneOrMany;
use super::read::{Fault, dotted, read};
use super::scheme::{Kind, Scheme};
use super::signature::is_false;
use super::source::{Place, ValueSource};

/// A provider, as its file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name in `provider = "..."`: the file's name.
    #[serde(skip_deserializing, default)]
    pub id: String,
    /// The name that people know.
    pub title: String,
    /// The provider's documentation page.
    pub docs: String,
    /// The trade that it is in, such as `payments`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
    /// How sure the scheme is.
    #[serde(default)]
    pub status: Status,
    /// Where the operator finds the secret, in a sentence.
    #[serde(default)]
    pub secret: String,
    /// What an operator should know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the provider does when it gets no success answer.
    #[serde(default)]
    pub retry: String,
    /// How it signs; the first one's variant is used unless the source pins another.
    #[serde(rename = "scheme")]
    pub schemes: Vec<Scheme>,
    /// How its events are told apart and named.
    #[serde(default)]
    pub event: EventRule,
    /// The answer it needs.
    #[serde(default)]
    pub ack: AckRule,
    /// Handshakes that are answered without the app.
    #[serde(default, rename = "challenge", skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<Challenge>,
    /// Facts that are not confirmed, by key (`retry`, `event.id`): not to be printed as certain.
    #[serde(default)]
    pub evidence: BTreeMap<String, Evidence>,
    /// Events as the provider documents them, for `send`, the demo and tests.
    #[serde(default, rename = "sample")]
    pub samples: Vec<Sample>,
}

/// How sure a provider's scheme is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Read in the provider's documentation or code, or checked with its own examples.
    #[default]
    Confirmed,
    /// From one source that is not the provider itself.
    Likely,
}

/// How sure a fact is that is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// From memory, not read again in the provider's documentation.
    Recalled,
    /// Not documented: likely, from what similar providers do or a sample shows.
    Guess,
}

/// How events are told apart and named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// The sender's id of the event; the first of these that is present. Unless there is a `key`,
    /// it is what duplicates are detected by.
    #[serde(default)]
    pub id: OneOrMany<ValueSource>,
    /// The smallest set of values that tells two events apart, where no id alone does.
    #[serde(default)]
    pub key: Vec<ValueSource>,
    /// What tells events apart where neither id nor key is there.
    #[serde(default)]
    pub fallback: Fallback,
    /// The event type; the first of these that is present.
    #[serde(default, rename = "type")]
    pub kind: OneOrMany<ValueSource>,
}

/// What tells events apart where neither id nor key is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The body: the same one again is a repeat.
    #[default]
    Body,
    /// Nothing: different events can be alike to the byte, so every request is one of its own.
    Nothing,
}

/// The answer that a provider needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AckRule {
    /// The status that we answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Only that status counts as success; otherwise any 2xx does.
    #[serde(default)]
    pub exactly: bool,
    /// How long the provider waits for the answer.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// The text that it wants to read; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The JSON that it wants to read instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<AnswerJson>,
    /// Refusals are without a body, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bare: bool,
}

fn ok() -> u16 {
    200
}

impl Default for AckRule {
    fn default() -> Self {
        Self {
            status: ok(),
            exactly: false,
            timeout_seconds: None,
            body: None,
            json: None,
            bare: false,
        }
    }
}

/// An event as the provider documents it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The variant whose requests look like this; left out: all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The id that stands in `headers` and `body`, so that copies can be given ids of their own.
    #[serde(default)]
    pub id: Option<String>,
    /// Headers beside the signature's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Sample {
    /// This sample as an event of its own: its id replaced by `id` in headers and body.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        let Some(old) = self.id.as_deref().filter(|old| !old.is_empty()) else {
            return self.clone();
        };
        let headers = self.headers.iter();
        Self {
            kind: self.kind.clone(),
            variant: self.variant.clone(),
            id: Some(id.to_owned()),
            headers: headers
                .map(|(name, value)| (name.clone(), value.replace(old, id)))
                .collect(),
            body: self.body.replace(old, id),
        }
    }
}

/// A provider file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Not TOML.
    #[error("provider {id}: {source}")]
    Syntax {
        /// The provider's id.
        id: String,
        /// What the parser says, with its position in the file.
        source: Box<toml::de::Error>,
    },
    /// A key is missing, unknown or of the wrong type, or makes no sense.
    #[error("provider {id}: {key}: {message}")]
    Sense {
        /// The provider's id.
        id: String,
        /// The key in the file.
        key: String,
        /// What is wrong and the way out.
        message: String,
    },
}

impl Provider {
    /// Reads a provider file.
    ///
    /// # Errors
    /// Unknown keys, wrong types and schemes that make no sense, with the key.
    pub fn from_toml(id: &str, text: &str) -> Result<Self, ProviderError> {
        let table: toml::Table = text.parse().map_err(|source| ProviderError::Syntax {
            id: id.to_owned(),
            source: Box::new(source),
        })?;
        Self::from_table(id, table).map_err(|(key, message)| {
            let id = id.to_owned();
            ProviderError::Sense { id, key, message }
        })
    }

    /// A JSON Schema (draft 2020-12) of provider files.
    #[must_use]
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    fn from_table(id: &str, table: toml::Table) -> Result<Self, Fault> {
        let table = serde_json::to_value(table).map_err(|e| (String::new(), e.to_string()))?;
        let mut provider: Self = read(&table, "")?;
        id.clone_into(&mut provider.id);
        provider.check()?;
        Ok(provider)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.schemes.is_empty() {
            return Err(("scheme".to_owned(), "is missing".to_owned()));
        }
        for (at, scheme) in self.schemes.iter().enumerate() {
            let fault = scheme.shape().err();
            if let Some(fault) = fault {
                return Err((dotted(&format!("scheme[{at}]"), &fault.key), fault.message));
            }
        }
        if !(200..300).contains(&self.ack.status) {
            let message = "must be a success, 200 to 299".to_owned();
            return Err(("ack.status".to_owned(), message));
        }
        self.check_answers()?;
        for (at, sample) in self.samples.iter().enumerate() {
            let variant = sample.variant.as_deref();
            if variant.is_some_and(|wanted| self.variants().all(|known| known != wanted)) {
                let message = "is not a variant of the provider".to_owned();
                return Err((format!("sample[{at}].variant"), message));
            }
        }
        let event = &self.event;
        let lists = [
            ("event.id", &event.id.0),
            ("event.key", &event.key),
            ("event.type", &event.kind.0),
        ];
        for (key, sources) in lists {
            let wrong = |source: &&ValueSource| {
                matches!(
                    source.place,
                    Place::Sig(_) | Place::Headers(_) | Place::Item(_)
                )
            };
            if let Some(source) = sources.iter().find(wrong) {
                let message = format!("`{}` has no value of its own here", source.as_str());
                return Err((key.to_owned(), message));
            }
        }
        Ok(())
    }

    /// What senders are told: for events, and in handshakes.
    fn check_answers(&self) -> Result<(), Fault> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if let Some(text) = &self.ack.body
            && (text.is_empty()
                || text.len() > 256
                || !text.bytes().all(is_plain)
                || self.ack.status == 204)
        {
            let message =
                "must be a line of ASCII text, at most 256 bytes, and no 204 has one".to_owned();
            return Err(("ack.body".to_owned(), message));
        }
        if let Some(json) = &self.ack.json
            && (json.uses_secret() || self.ack.body.is_some() || self.ack.status == 204)
        {
            let message = "has no hmac functions, and goes with neither body nor a 204".to_owned();
            return Err(("ack.json".to_owned(), message));
        }
        for (at, challenge) in self.challenges.iter().enumerate() {
            let fault = challenge.check().err();
            if let Some((key, message)) = fault {
                return Err((format!("challenge[{at}].{key}"), message));
            }
            // Any other kind would take the answer for a token, or has no secret of ours.
            if challenge.uses_secret() && self.schemes.iter().any(|s| s.kind != Kind::Mac) {
                let message = "only schemes of kind `mac` have a key for hmac functions".to_owned();
                return Err((format!("challenge[{at}]"), message));
            }
        }
        Ok(())
    }

    /// The schemes that a source uses: those of the pinned variant, or of the first one.
    pub fn pinned<'a>(&'a self, variant: Option<&'a str>) -> impl Iterator<Item = &'a Scheme> {
        let first = || self.schemes.first().and_then(|s| s.variant.as_deref());
        let wanted = variant.or_else(first);
        self.schemes
            .iter()
            .filter(move |scheme| scheme.variant.as_deref() == wanted)
    }

    /// The samples of a variant, or of the first one.
    pub fn samples_of<'a>(&'a self, variant: Option<&'a str>) -> impl Iterator<Item = &'a Sample> {
        let first = || self.schemes.first().and_then(|s| s.variant.as_deref());
        let wanted = variant.or_else(first);
        self.samples
            .iter()
            .filter(move |sample| sample.variant.is_none() || sample.variant.as_deref() == wanted)
    }

    /// The names of the variants.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        self.schemes.iter().filter_map(|s| s.variant.as_deref())
    }

    /// This provider with the overrides of `[sources.NAME.scheme]` merged over its scheme: over
    /// the one that `variant` among the overrides names, otherwise over the first. Overrides of
    /// another `kind` are the whole scheme: nothing of the old one would fit.
    ///
    /// # Errors
    /// A text that begins with the key, such as `scheme.content`, and says the way out.
    pub fn with_scheme(&self, overrides: &Value) -> Result<Self, String> {
        let variant = overrides.get("variant").and_then(Value::as_str);
        let known = variant.filter(|name| self.variants().any(|known| known == *name));
        let mut bases = self.pinned(known);
        let (Some(base), None) = (bases.next(), bases.next()) else {
            return Err(format!(
                "scheme: {} has several schemes; describe a single one with provider = \"hmac\"",
                self.id
            ));
        };
        let mut merged = serde_json::to_value(base).map_err(|e| format!("scheme: {e}"))?;
        if overrides
            .get("kind")
            .is_some_and(|kind| Some(kind) != merged.get("kind"))
        {
            merged = Value::Object(serde_json::Map::new());
        }
        merge(&mut merged, overrides);
        let scheme: Scheme =
            read(&merged, "scheme").map_err(|(key, message)| format!("{key}: {message}"))?;
        let fault = scheme.shape().err();
        if let Some(fault) = fault {
            return Err(format!("scheme.{}: {}", fault.key, fault.message));
        }
        Ok(Self {
            schemes: vec![scheme],
            ..self.clone()
        })
    }
}

/// Merges objects key by key; anything else replaces what was there.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
