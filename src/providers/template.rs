//! The content template: what a signature covers, as text with placeholders.
//!
//! Parsed once into pieces. A value between two texts may not contain the text that ends it:
//! otherwise two different requests could have the same signed content (`a.b` + `c` and `a` +
//! `b.c`). The pieces carry those forbidden texts, so that the check costs a search per value.
//! A timestamp needs none: its own form is strict, and no part of it has that form.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::source::Place;

/// What one piece of the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text of the template itself.
    Text(Box<str>),
    /// `{body}`: the raw bytes.
    Body,
    /// `{body_sha256_hex}`.
    BodySha256Hex,
    /// `{timestamp}`: as received.
    Timestamp,
    /// `{secret}`: only in schemes of kind `hash`.
    Secret,
    /// `{method}`.
    Method,
    /// `{url}`: the configured public URL and the request's path and query.
    Url,
    /// `{path}`.
    Path,
    /// `{path_query}`.
    PathQuery,
    /// `{sorted_form}`: form fields sorted by name, names and values joined; repeats of a pair once.
    SortedForm,
    /// Any value source.
    Value(Place),
}

/// One piece with its filter and the texts that its value may not contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub piece: Piece,
    /// `|lower`: ASCII lower case.
    pub lower: bool,
    /// Texts of the template that separate this value from its neighbours.
    pub delimiters: Vec<Box<str>>,
}

/// A parsed content template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    text: Box<str>,
}

/// The text is not a content template.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATemplate {
    /// A brace without its partner, or nothing at all.
    #[error("a content template needs at least one placeholder and balanced braces: `{0}`")]
    Braces(String),
    /// An unknown placeholder.
    #[error(
        "`{{{0}}}` is not a placeholder: use {{body}}, {{body_sha256_hex}}, {{timestamp}}, \
         {{secret}}, {{method}}, {{url}}, {{path}}, {{path_query}}, {{sorted_form}} or a value \
         source such as {{header:Name}}, each with |lower if needed"
    )]
    Placeholder(String),
}

impl Template {
    /// The pieces in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether a piece is part of the content.
    #[must_use]
    pub fn covers(&self, piece: &Piece) -> bool {
        self.parts.iter().any(|part| part.piece == *piece)
    }

    /// Whether the content depends on every byte of the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        let body = [
            Piece::Body,
            Piece::BodySha256Hex,
            Piece::Value(Place::BodySha256),
        ];
        body.iter().any(|piece| self.covers(piece))
    }
}

fn placeholder(inside: &str) -> Result<Part, NotATemplate> {
    let (name, lower) = inside
        .strip_suffix("|lower")
        .map_or((inside, false), |name| (name, true));
    let piece = match name {
        "body" => Piece::Body,
        "body_sha256_hex" => Piece::BodySha256Hex,
        "timestamp" => Piece::Timestamp,
        "secret" => Piece::Secret,
        "method" => Piece::Method,
        "url" => Piece::Url,
        "path" => Piece::Path,
        "path_query" => Piece::PathQuery,
        "sorted_form" => Piece::SortedForm,
        // Several values have no single place in a text.
        source => match source.parse() {
            Ok(Place::Headers(_)) | Err(_) => {
                return Err(NotATemplate::Placeholder(inside.to_owned()));
            }
            Ok(place) => Piece::Value(place),
        },
    };
    Ok(Part {
        piece,
        lower,
        delimiters: Vec::new(),
    })
}

impl FromStr for Template {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        let braces = || NotATemplate::Braces(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) = after.split_once('}').ok_or_else(braces)?;
            push_text(&mut parts, before);
            parts.push(placeholder(inside)?);
            rest = behind;
        }
        if parts.is_empty() || rest.contains('}') {
            return Err(braces());
        }
        push_text(&mut parts, rest);
        forbid_delimiters(&mut parts);
        Ok(Self {
            parts,
            text: text.into(),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part {
            piece: Piece::Text(text.into()),
            lower: false,
            delimiters: Vec::new(),
        });
    }
}

/// Gives each value from outside the texts that stand between it and the next or previous value.
fn forbid_delimiters(parts: &mut [Part]) {
    let between: Vec<Option<Box<str>>> = (0..parts.len())
        .map(|at| match parts.get(at).map(|part| &part.piece) {
            Some(Piece::Text(text)) if at > 0 && at + 1 < parts.len() => Some(text.clone()),
            _ => None,
        })
        .collect();
    for (at, part) in parts.iter_mut().enumerate() {
        if !matches!(part.piece, Piece::Value(_)) {
            continue;
        }
        let neighbours = [at.checked_sub(1), at.checked_add(1)];
        part.delimiters = neighbours
            .into_iter()
            .flatten()
            .filter_map(|at| between.get(at).cloned().flatten())
            .collect();
        part.delimiters.dedup();
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What is signed, such as {timestamp}.{body}"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_not_contain_the_text_that_separates_them() {
        let template: Template = "v0:{timestamp}:{header:x-id|lower}.{body}".parse().unwrap();
        let delimiters: Vec<_> = template
            .parts()
            .iter()
            .map(|p| p.delimiters.len())
            .collect();
        assert_eq!(delimiters, [0, 0, 0, 2, 0, 0]);
        assert!(template.covers_body() && template.covers(&Piece::Timestamp));
    }

    #[test]
    fn broken_templates_are_refused() {
        for wrong in [
            "",
            "text",
            "{body",
            "body}",
            "{body}}",
            "{nonsense}",
            "{headers:X-}",
        ] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}
