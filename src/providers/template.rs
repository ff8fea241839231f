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

use super::source::{Place, ValueSource};

/// What one piece of the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text of the template itself.
    Text(Box<str>),
    /// `{body}`: the raw bytes.
    Body,
    /// `{body_sha256_hex}`.
    BodySha256Hex,
    /// `{body_crc32_dec}`: CRC-32 (IEEE 802.3) of the body, in decimal.
    BodyCrc32Dec,
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
    /// `{signed_header_values:SOURCE,JOINT}`: the values of the headers that the source names,
    /// separated by spaces there and by the joint here.
    SignedHeaderValues(Place, Box<str>),
    /// `{signed_header_pairs:SOURCE}`: `name:value` of the headers that the source names, separated
    /// by commas there and by semicolons here.
    SignedHeaderPairs(Place),
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
    /// `|free`: the one value that may contain the texts that separate it from its neighbours.
    pub free: bool,
    /// `?`: an absent value is an empty one.
    pub optional: bool,
    /// The optional segment, `[...]` in the text, that this is part of.
    pub segment: Option<usize>,
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
    /// A brace or bracket without its partner, or nothing at all.
    #[error(
        "a content template needs at least one placeholder, and balanced braces and brackets: `{0}`"
    )]
    Braces(String),
    /// An unknown placeholder.
    #[error(
        "`{{{0}}}` is not a placeholder: use {{body}}, {{body_sha256_hex}}, {{timestamp}}, \
         {{body_crc32_dec}}, {{secret}}, {{method}}, {{url}}, {{path}}, {{path_query}}, \
         {{sorted_form}}, {{signed_header_values:SOURCE,JOINT}}, {{signed_header_pairs:SOURCE}} or \
         a value source such as {{header:Name}}, each with |lower if needed"
    )]
    Placeholder(String),
    /// Several readings of one content.
    #[error(
        "only one value of a content may be |free, and beside it there may be only values and the \
         timestamp: `{0}` could be read in two ways"
    )]
    Free(String),
}

impl Template {
    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pieces in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether a piece is always part of the content.
    #[must_use]
    pub fn covers(&self, piece: &Piece) -> bool {
        let always = |part: &&Part| part.segment.is_none();
        let mut parts = self.parts.iter().filter(always);
        parts.any(|part| part.piece == *piece)
    }

    /// Whether the sender names further headers that are part of the content.
    #[must_use]
    pub fn covers_named_headers(&self) -> bool {
        let named = |part: &Part| {
            matches!(
                part.piece,
                Piece::SignedHeaderValues(..) | Piece::SignedHeaderPairs(_)
            )
        };
        self.parts.iter().any(named)
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

fn placeholder(inside: &str, segment: Option<usize>) -> Result<Part, NotATemplate> {
    let wrong = || NotATemplate::Placeholder(inside.to_owned());
    let filter = |name, filter| match str::strip_suffix(name, filter) {
        Some(name) => (name, true),
        None => (name, false),
    };
    let (name, free) = filter(inside, "|free");
    let (name, lower) = filter(name, "|lower");
    let mut optional = false;
    let piece = match name {
        "body" => Piece::Body,
        "body_sha256_hex" => Piece::BodySha256Hex,
        "body_crc32_dec" => Piece::BodyCrc32Dec,
        "timestamp" => Piece::Timestamp,
        "secret" => Piece::Secret,
        "method" => Piece::Method,
        "url" => Piece::Url,
        "path" => Piece::Path,
        "path_query" => Piece::PathQuery,
        "sorted_form" => Piece::SortedForm,
        other => {
            if let Some(inside) = other.strip_prefix("signed_header_values:") {
                let (names, joint) = inside.split_once(',').ok_or_else(wrong)?;
                Piece::SignedHeaderValues(names.parse().map_err(|_| wrong())?, joint.into())
            } else if let Some(names) = other.strip_prefix("signed_header_pairs:") {
                Piece::SignedHeaderPairs(names.parse().map_err(|_| wrong())?)
            } else {
                let source: ValueSource = other.parse().map_err(|_| wrong())?;
                optional = source.optional;
                // Several values have no single place in a text; a claim is known only afterwards.
                if matches!(source.place, Place::Headers(_) | Place::Claim(_)) {
                    return Err(wrong());
                }
                Piece::Value(source.place)
            }
        }
    };
    Ok(Part {
        piece,
        lower,
        free,
        optional,
        segment,
        delimiters: Vec::new(),
    })
}

impl FromStr for Template {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        let unbalanced = || NotATemplate::Braces(text.to_owned());
        let mut parts = Vec::new();
        let (mut segments, mut segment) = (0, None);
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '[', ']']) {
            let (before, marked) = rest.split_at_checked(at).ok_or_else(unbalanced)?;
            push_text(&mut parts, before, segment);
            let (mark, after) = marked.split_at_checked(1).ok_or_else(unbalanced)?;
            rest = match (mark, segment) {
                ("{", _) => {
                    let (inside, behind) = after.split_once('}').ok_or_else(unbalanced)?;
                    parts.push(placeholder(inside, segment)?);
                    behind
                }
                ("[", None) => {
                    segments += 1;
                    segment = Some(segments);
                    after
                }
                ("]", Some(_)) => {
                    segment = None;
                    after
                }
                _ => return Err(unbalanced()),
            };
        }
        push_text(&mut parts, rest, segment);
        let placeholders = parts.iter().any(|p| !matches!(p.piece, Piece::Text(_)));
        if !placeholders || segment.is_some() {
            return Err(unbalanced());
        }
        if parts.iter().any(|part| part.free) && !has_one_reading(&parts) {
            return Err(NotATemplate::Free(text.to_owned()));
        }
        forbid_delimiters(&mut parts);
        Ok(Self {
            parts,
            text: text.into(),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str, segment: Option<usize>) {
    if !text.is_empty() {
        parts.push(Part {
            piece: Piece::Text(text.into()),
            lower: false,
            free: false,
            optional: false,
            segment,
            delimiters: Vec::new(),
        });
    }
}

/// Whether a content with a free value can be read in one way only: from both ends towards it, over
/// values that do not contain what separates them.
fn has_one_reading(parts: &[Part]) -> bool {
    let bounded = |part: &Part| {
        matches!(
            part.piece,
            Piece::Text(_) | Piece::Value(_) | Piece::Timestamp
        )
    };
    let is_text = |part: &Part| matches!(part.piece, Piece::Text(_));
    let apart = parts
        .windows(2)
        .all(|pair| pair.iter().any(is_text) && pair.iter().all(|part| part.segment.is_none()));
    let free: Vec<_> = parts.iter().filter(|part| part.free).collect();
    let a_value = free
        .iter()
        .all(|part| matches!(part.piece, Piece::Value(_)));
    free.len() == 1 && a_value && apart && parts.iter().all(bounded)
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
        if !matches!(part.piece, Piece::Value(_)) || part.free {
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
    fn a_segment_in_brackets_may_be_left_out_and_covers_nothing() {
        let template: Template = "[id:{query:id|lower};]ts:{timestamp};".parse().unwrap();
        let segments: Vec<_> = template.parts().iter().map(|p| p.segment).collect();
        assert_eq!(segments, [Some(1), Some(1), Some(1), None, None, None]);
        assert!(template.covers(&Piece::Timestamp));
        assert!(!template.covers(&Piece::Value(Place::Query("id".into()))));
    }

    #[test]
    fn one_value_may_contain_the_separators_if_there_is_one_reading_left() {
        let template: Template = "{query:a}:{query:b|free}:{query:c}".parse().unwrap();
        let delimiters = template.parts().iter().map(|p| p.delimiters.len());
        assert_eq!(delimiters.collect::<Vec<_>>(), [1, 0, 0, 0, 1]);
        for wrong in [
            "{query:a|free}:{query:b|free}",
            "{query:a|free}.{body}",
            "{body|free}",
            "{query:a|free}.{path}",
            "{query:a|free}{query:b}",
            "[{query:a}.]{query:b|free}",
        ] {
            let error = wrong.parse::<Template>().unwrap_err();
            assert!(matches!(error, NotATemplate::Free(_)), "{wrong}: {error}");
        }
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
            "{jwt:sub}",
            "[{body}",
            "{body}]",
            "[[{body}]]",
        ] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}
