//! The grammar that says where in a request a value is: `header:Name`, `json:/pointer`, ...
//!
//! One grammar serves signatures, timestamps, ids, event types and dedup keys. Texts are parsed
//! when a provider file is read, never per request. Finding the value is `verify`'s work.

use std::borrow::Cow;
use std::str::FromStr;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A place in a request, or beside it, that holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `header:Name`.
    Header(HeaderName),
    /// `header:{config:name}`: the header that the operator names.
    NamedHeader(Box<str>),
    /// `headers:Prefix-`: all headers whose name is the prefix (kept in lower case) and a number.
    Headers(Box<str>),
    /// `query:name`, percent-decoded; a plus sign stays a plus sign.
    Query(Box<str>),
    /// `query:{config:name}`: the parameter that the operator names.
    NamedQuery(Box<str>),
    /// `json:/pointer` (RFC 6901), unescaped: a string, an integer or a boolean of the body.
    Json(Box<[Box<str>]>),
    /// `item:/pointer`: the same in one element of a scheme of kind `each`.
    Item(Box<[Box<str>]>),
    /// `form:name`: a field of an `application/x-www-form-urlencoded` body.
    Form(Box<str>),
    /// `sig:key`: a field of the signature header; in a positional header the index from 0.
    Sig(Box<str>),
    /// `config:name`: a value that the operator set for the source.
    Config(Box<str>),
    /// `path:token`: the last path segment of a source whose path ends in `{token}`.
    PathToken,
    /// `jwt:name`: a claim of the token that was verified.
    Claim(Box<str>),
    /// `body`: all of it.
    Body,
    /// `body_sha256`: SHA-256 of the body, in lower-case hex.
    BodySha256,
    /// `body_sha256_base64`: SHA-256 of the body, in base64.
    BodySha256Base64,
    /// `url_sha256`: SHA-256 of the URL as the sender writes it, in lower-case hex.
    UrlSha256,
}

impl Place {
    /// The header's name, if it is one header.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        if let Self::Header(name) = self {
            return Some(name);
        }
        None
    }

    /// The name of the operator's value that this place is, or that names it.
    #[must_use]
    pub fn config_name(&self) -> Option<&str> {
        if let Self::Config(name) | Self::NamedHeader(name) | Self::NamedQuery(name) = self {
            return Some(name);
        }
        None
    }

    /// This place with the operator's name for it filled in; `None` if that is not a name.
    #[must_use]
    pub fn named(&self, value: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if let Self::NamedHeader(name) = self {
            Some(Self::Header(value(name)?.parse().ok()?))
        } else if let Self::NamedQuery(name) = self {
            Some(Self::Query(value(name)?.into()))
        } else {
            Some(self.clone())
        }
    }

    /// Whether the value is made of the body alone.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        matches!(
            self,
            Self::Json(_)
                | Self::Item(_)
                | Self::Form(_)
                | Self::Body
                | Self::BodySha256
                | Self::BodySha256Base64
        )
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
     item:/pointer, form:name, sig:key, jwt:claim, config:name, path:token, body, body_sha256, \
     body_sha256_base64 or url_sha256"
)]
pub struct NotAValueSource(String);

impl FromStr for Place {
    type Err = NotAValueSource;

    fn from_str(text: &str) -> Result<Self, NotAValueSource> {
        let wrong = || NotAValueSource(text.to_owned());
        match text {
            "body" => return Ok(Self::Body),
            "body_sha256" => return Ok(Self::BodySha256),
            "body_sha256_base64" => return Ok(Self::BodySha256Base64),
            "url_sha256" => return Ok(Self::UrlSha256),
            _ => {}
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let named = || {
            (!name.is_empty())
                .then(|| Box::from(name))
                .ok_or_else(wrong)
        };
        match kind {
            "header" if name.starts_with('{') => {
                config_name(name).map(Self::NamedHeader).ok_or_else(wrong)
            }
            "query" if name.starts_with('{') => {
                config_name(name).map(Self::NamedQuery).ok_or_else(wrong)
            }
            "header" => name.parse().map(Self::Header).map_err(|_| wrong()),
            "headers" => HeaderName::from_str(name)
                .map(|prefix| Self::Headers(prefix.as_str().into()))
                .map_err(|_| wrong()),
            "query" => named().map(Self::Query),
            "json" => pointer(name).map(Self::Json).ok_or_else(wrong),
            "item" => pointer(name).map(Self::Item).ok_or_else(wrong),
            "jwt" => named().map(Self::Claim),
            "form" => named().map(Self::Form),
            "sig" => named().map(Self::Sig),
            "config" => named().map(Self::Config),
            "path" if name == "token" => Ok(Self::PathToken),
            _ => Err(wrong()),
        }
    }
}

/// The name in `{config:name}`.
fn config_name(text: &str) -> Option<Box<str>> {
    let name = text.strip_prefix("{config:")?.strip_suffix('}')?;
    (!name.is_empty()).then(|| name.into())
}

/// The unescaped steps of a JSON pointer that points into a document (not at all of it).
pub(super) fn pointer(text: &str) -> Option<Box<[Box<str>]>> {
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
            "description": "header:Name, headers:Prefix-, query:name, json:/pointer, item:/pointer, \
                            form:name, sig:key, jwt:claim, config:name, path:token, body, \
                            body_sha256, body_sha256_base64 or url_sha256; `?` at the end: optional"
        })
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
            "jwt:",
            "header:{config:}",
            "cookie:x",
        ] {
            assert!(wrong.parse::<ValueSource>().is_err(), "{wrong}");
        }
    }
}
