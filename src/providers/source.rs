//! The grammar that says where in a request a value is: `header:Name`, `json:/pointer`, ...
//!
//! One grammar serves signatures, timestamps, ids, event types and dedup keys. Texts are parsed
//! when a provider file is read, never per request. Finding the value is `verify`'s work.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in a request, or beside it, that holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `header:Name`.
    Header(HeaderName),
    /// `headers:Prefix-`: all headers whose name is the prefix (kept in lower case) and a number.
    Headers(Box<str>),
    /// `query:name`, percent-decoded; a plus sign stays a plus sign.
    Query(Box<str>),
    /// `json:/pointer` (RFC 6901), unescaped: a string, an integer or a boolean of the body.
    Json(Box<[Box<str>]>),
    /// `form:name`: a field of an `application/x-www-form-urlencoded` body.
    Form(Box<str>),
    /// `sig:key`: a field of the signature header; in a positional header the index from 0.
    Sig(Box<str>),
    /// `config:name`: a value that the operator set for the source.
    Config(Box<str>),
    /// `path:token`: the last path segment of a source whose path ends in `{token}`.
    PathToken,
    /// `body_sha256`: SHA-256 of the body, in lower-case hex.
    BodySha256,
}

impl Place {
    /// The header's name, if it is one header.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Headers(_)
            | Self::Query(_)
            | Self::Json(_)
            | Self::Form(_)
            | Self::Sig(_)
            | Self::Config(_)
            | Self::PathToken
            | Self::BodySha256 => None,
        }
    }

    /// The name of the operator's value, if it is one.
    #[must_use]
    pub fn config_name(&self) -> Option<&str> {
        if let Self::Config(name) = self {
            return Some(name);
        }
        None
    }

    /// Whether the value is made of the body alone.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_) | Self::BodySha256)
    }
}

/// A [`Place`] as written, and whether the value may be missing (`?` at the end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSource {
    /// Where the value is.
    pub place: Place,
    /// The value may be missing; without it the rule that uses it does not apply.
    pub optional: bool,
    text: Box<str>,
}

/// The text is not a value source.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a value source: use header:Name, headers:Prefix-, query:name, json:/pointer, \
     form:name, sig:key, config:name, path:token or body_sha256"
)]
pub struct NotAValueSource(String);

impl FromStr for Place {
    type Err = NotAValueSource;

    fn from_str(text: &str) -> Result<Self, NotAValueSource> {
        let wrong = || NotAValueSource(text.to_owned());
        if text == "body_sha256" {
            return Ok(Self::BodySha256);
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let named = || {
            (!name.is_empty())
                .then(|| Box::from(name))
                .ok_or_else(wrong)
        };
        match kind {
            "header" => name.parse().map(Self::Header).map_err(|_| wrong()),
            "headers" => HeaderName::from_str(name)
                .map(|prefix| Self::Headers(prefix.as_str().into()))
                .map_err(|_| wrong()),
            "query" => named().map(Self::Query),
            "json" => pointer(name).map(Self::Json).ok_or_else(wrong),
            "form" => named().map(Self::Form),
            "sig" => named().map(Self::Sig),
            "config" => named().map(Self::Config),
            "path" if name == "token" => Ok(Self::PathToken),
            _ => Err(wrong()),
        }
    }
}

/// The unescaped steps of a JSON pointer that points into a document (not at all of it).
fn pointer(text: &str) -> Option<Box<[Box<str>]>> {
    let steps = text.strip_prefix('/')?.split('/');
    let unescape = |step: &str| step.replace("~1", "/").replace("~0", "~").into_boxed_str();
    Some(steps.map(unescape).collect())
}

impl ValueSource {
    /// The source as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ValueSource {
    type Err = NotAValueSource;

    fn from_str(text: &str) -> Result<Self, NotAValueSource> {
        let (place, optional) = text
            .strip_suffix('?')
            .map_or((text, false), |place| (place, true));
        Ok(Self {
            place: place.parse()?,
            optional,
            text: text.into(),
        })
    }
}

impl<'de> Deserialize<'de> for ValueSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for ValueSource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl JsonSchema for ValueSource {
    fn schema_name() -> Cow<'static, str> {
        "ValueSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "header:Name, headers:Prefix-, query:name, json:/pointer, form:name, \
                            sig:key, config:name, path:token or body_sha256; `?` at the end: optional"
        })
    }
}

/// One value or a list of them; a list is tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let one = T::deserialize(de::value::StrDeserializer::new(text))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(next) = list.next_element()? {
                    many.push(next);
                }
                Ok(OneOrMany(many))
            }
        }
        from.deserialize_any(Either(std::marker::PhantomData))
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_sources_parse_and_anything_else_is_refused() {
        let parsed: ValueSource = "json:/a~1b/0?".parse().unwrap();
        assert_eq!(parsed.place, Place::Json(["a/b".into(), "0".into()].into()));
        assert!(parsed.optional);
        for wrong in [
            "",
            "header:",
            "header:a b",
            "json:a",
            "query:",
            "path:x",
            "jwt:sub",
            "body",
        ] {
            assert!(wrong.parse::<ValueSource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_value_or_a_list_reads_the_same() {
        let one: OneOrMany<ValueSource> = serde_json::from_str(r#""query:a""#).unwrap();
        let many: OneOrMany<ValueSource> = serde_json::from_str(r#"["query:a"]"#).unwrap();
        assert_eq!(one, many);
    }
}
