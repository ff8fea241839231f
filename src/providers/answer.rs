//! What the answer to a handshake is made of: texts and JSON with placeholders.
//!
//! Parsed once. Only what the sender of a handshake fills can be repeated or hashed, and what the
//! operator has set can be repeated; there is no word for a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::source::{Place, ValueSource};

/// A keyed hash that an answer may contain, under the source's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `hmac_sha256_hex`.
    HmacSha256Hex,
    /// `hmac_sha256_base64`.
    HmacSha256Base64,
    /// `hmac_sha1_hex`.
    HmacSha1Hex,
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerPart {
    /// Text of the template itself.
    Text(Box<str>),
    /// A value, repeated.
    Value(Place),
    /// A function of a value.
    Function(Function, Place),
}

/// A parsed template of an answer's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerText {
    parts: Vec<AnswerPart>,
    text: Box<str>,
}

/// The text is not a template of an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnswer {
    /// A brace without its partner.
    #[error("an answer needs balanced braces: `{0}`")]
    Braces(String),
    /// An unknown placeholder.
    #[error(
        "`{{{0}}}` is not a placeholder of an answer: use {{header:Name}}, {{query:name}}, \
         {{json:/pointer}}, {{form:name}}, {{config:name}}, or hmac_sha256_hex:, hmac_sha256_base64: or \
         hmac_sha1_hex: in front of one of the first four"
    )]
    Placeholder(String),
}

impl AnswerText {
    /// The pieces in order.
    #[must_use]
    pub fn parts(&self) -> &[AnswerPart] {
        &self.parts
    }

    /// The text as written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_fixed(&self) -> bool {
        let text = |part: &AnswerPart| matches!(part, AnswerPart::Text(_));
        self.parts.iter().all(text)
    }
}

/// Whether a place is one that the sender of a challenge fills.
pub(super) fn is_of_the_request(place: &Place) -> bool {
    matches!(
        place,
        Place::Header(_) | Place::Query(_) | Place::Json(_) | Place::Form(_)
    )
}

fn placeholder(inside: &str) -> Option<AnswerPart> {
    let functions = [
        ("hmac_sha256_hex:", Function::HmacSha256Hex),
        ("hmac_sha256_base64:", Function::HmacSha256Base64),
        ("hmac_sha1_hex:", Function::HmacSha1Hex),
    ];
    let place = |text: &str| {
        let source: ValueSource = text.parse().ok()?;
        (!source.optional).then_some(source.place)
    };
    for (name, function) in functions {
        if let Some(argument) = inside.strip_prefix(name) {
            let place = place(argument).filter(is_of_the_request)?;
            return Some(AnswerPart::Function(function, place));
        }
    }
    place(inside)
        .filter(|place| is_of_the_request(place) || matches!(place, Place::Config(_)))
        .map(AnswerPart::Value)
}

impl FromStr for AnswerText {
    type Err = NotAnAnswer;

    fn from_str(text: &str) -> Result<Self, NotAnAnswer> {
        let braces = || NotAnAnswer::Braces(text.to_owned());
        let mut parts = Vec::new();
        let push = |parts: &mut Vec<_>, text: &str| {
            if !text.is_empty() {
                parts.push(AnswerPart::Text(text.into()));
            }
        };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) = after.split_once('}').ok_or_else(braces)?;
            push(&mut parts, before);
            let part = placeholder(inside);
            parts.push(part.ok_or_else(|| NotAnAnswer::Placeholder(inside.to_owned()))?);
            rest = behind;
        }
        if rest.contains('}') {
            return Err(braces());
        }
        push(&mut parts, rest);
        Ok(Self {
            parts,
            text: text.into(),
        })
    }
}

impl<'de> Deserialize<'de> for AnswerText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for AnswerText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl JsonSchema for AnswerText {
    fn schema_name() -> Cow<'static, str> {
        "AnswerText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text with placeholders such as {query:challenge}"
        })
    }
}

/// A JSON document whose texts are templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum AnswerJson {
    /// A text with placeholders.
    Text(AnswerText),
    /// A list.
    List(Vec<Self>),
    /// A table.
    Table(BTreeMap<String, Self>),
    /// Anything else, as it is.
    Fixed(Value),
}

impl TryFrom<Value> for AnswerJson {
    type Error = NotAnAnswer;

    fn try_from(value: Value) -> Result<Self, NotAnAnswer> {
        Ok(match value {
            Value::String(text) => Self::Text(text.parse()?),
            Value::Array(list) => {
                let list = list.into_iter().map(Self::try_from);
                Self::List(list.collect::<Result<_, _>>()?)
            }
            Value::Object(table) => {
                let entry = |(key, value)| Ok((key, Self::try_from(value)?));
                Self::Table(table.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            fixed @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Self::Fixed(fixed),
        })
    }
}

impl From<AnswerJson> for Value {
    fn from(answer: AnswerJson) -> Self {
        match answer {
            AnswerJson::Text(text) => Self::String(text.text.into()),
            AnswerJson::List(list) => list.into_iter().map(Self::from).collect(),
            AnswerJson::Table(table) => table
                .into_iter()
                .map(|(key, value)| (key, Self::from(value)))
                .collect(),
            AnswerJson::Fixed(value) => value,
        }
    }
}

impl JsonSchema for AnswerJson {
    fn schema_name() -> Cow<'static, str> {
        "AnswerJson".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A table whose texts are templates such as {json:/challenge}"
        })
    }
}

impl AnswerJson {
    /// Whether it holds a keyed hash.
    pub(super) fn uses_secret(&self) -> bool {
        let mut texts = Vec::new();
        self.texts(&mut texts);
        let mut parts = texts.into_iter().flat_map(AnswerText::parts);
        parts.any(|part| matches!(part, AnswerPart::Function(..)))
    }

    pub(super) fn texts<'a>(&'a self, found: &mut Vec<&'a AnswerText>) {
        match self {
            Self::Text(text) => found.push(text),
            Self::List(list) => list.iter().for_each(|one| one.texts(found)),
            Self::Table(table) => table.values().for_each(|one| one.texts(found)),
            Self::Fixed(_) => {}
        }
    }
}
