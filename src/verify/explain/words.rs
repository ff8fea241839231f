//! Places, shapes and lengths in words: nothing here quotes a value.

use super::super::key::Content;
use super::super::signature::{Fields, Reader};
use crate::providers::{Encoding, Parse, Piece, Place, Template};

/// A place, as people call it.
pub(super) fn named(place: &Place) -> String {
    let pointer = |steps: &[Box<str>]| {
        let steps = steps
            .iter()
            .map(|step| step.replace('~', "~0").replace('/', "~1"));
        steps.fold(String::new(), |text, step| format!("{text}/{step}"))
    };
    match place {
        Place::Header(name) => format!("header {name}"),
        Place::NamedHeader(name) => format!("the header that values.{name} names"),
        Place::Headers(prefix) => format!("headers {prefix}1, {prefix}2, ..."),
        Place::Query(name) => format!("query parameter {name}"),
        Place::NamedQuery(name) => format!("the query parameter that values.{name} names"),
        Place::Json(steps) if steps.is_empty() => "the body".to_owned(),
        Place::Json(steps) => format!("{} of the body", pointer(steps)),
        Place::Item(steps) => format!("{} of the element", pointer(steps)),
        Place::Form(name) => format!("form field {name}"),
        Place::Sig(key) => format!("field {key} of the signature"),
        Place::Config(name) => format!("values.{name}"),
        Place::PathToken => "the last segment of the path".to_owned(),
        Place::Claim(name) => format!("claim {name}"),
        Place::Body => "the body".to_owned(),
        Place::BodySha256 | Place::BodySha256Base64 => "the body's SHA-256".to_owned(),
        Place::UrlSha256 => "the URL's SHA-256".to_owned(),
    }
}

/// What a signature's text looks like. Names of fields are quoted only if the scheme knows them:
/// any other may be part of a secret in the wrong place.
pub(super) fn shape(reader: &Reader, fields: &Fields<'_>, text: &[u8], known: &[&str]) -> String {
    let items = fields.items(text).map(|(name, text)| match reader.parse {
        Parse::Raw => prefixed(reader, text),
        Parse::Positional => spelled(text),
        Parse::Kv | Parse::List => {
            let is_tag = reader.tags.iter().any(|tag| tag.as_bytes() == name);
            let is_known = known.iter().any(|known| known.as_bytes() == name);
            match std::str::from_utf8(name) {
                Ok(name) if is_tag => format!("`{name}` with {}", prefixed(reader, text)),
                Ok(name) if is_known => format!("`{name}` with {}", spelled(text)),
                _ => format!("another field with {}", spelled(text)),
            }
        }
    });
    let items: Vec<_> = items.collect();
    match items.is_empty() {
        true => format!("{}, without a field that has a name", spelled(text)),
        false => items.join(", "),
    }
}

fn prefixed(reader: &Reader, text: &[u8]) -> String {
    let prefix = &*reader.prefix;
    match text.strip_prefix(prefix.as_bytes()) {
        _ if prefix.is_empty() => spelled(text),
        Some(rest) => format!("`{prefix}` and {}", spelled(rest)),
        None => format!("{} without `{prefix}` in front", spelled(text)),
    }
}

fn spelled(text: &[u8]) -> String {
    let all = |fits: fn(&u8) -> bool| text.iter().all(fits);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let kind = if text.is_empty() {
        return "nothing".to_owned();
    } else if all(u8::is_ascii_digit) {
        "digit"
    } else if all(u8::is_ascii_hexdigit) {
        "hex digit"
    } else if all(is_base64) {
        "character of base64"
    } else {
        "character"
    };
    let length = text.len();
    match (length, kind) {
        (1, kind) => format!("1 {kind}"),
        (_, "character of base64") => format!("{length} characters of base64"),
        (_, kind) => format!("{length} {kind}s"),
    }
}

/// What a scheme's signatures have to be.
pub(super) fn expected(reader: &Reader) -> String {
    let encoding = match reader.encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64url => "base64url",
    };
    match reader.length {
        Some(length) => format!("{encoding} of {length} bytes"),
        None => encoding.to_owned(),
    }
}

/// How long each value of filled content is.
pub(super) fn lengths(template: &Template, content: &Content<'_>) -> String {
    let bytes = |count: usize| match count {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    };
    let total: usize = content.iter().flatten().map(|part| part.len()).sum();
    let placeholders = template.as_str().split('{').skip(1);
    let mut placeholders = placeholders.filter_map(|rest| rest.split('}').next());
    let mut texts = Vec::new();
    // Segments that were left out have no content, so that nothing stands where it is looked for.
    if content.len() == template.parts().len() {
        for (part, value) in template.parts().iter().zip(content) {
            if matches!(part.piece, Piece::Text(_)) {
                continue;
            }
            let name = placeholders.next().unwrap_or_default();
            if let Some(value) = value {
                texts.push(format!("{name} {}", bytes(value.len())));
            }
        }
    }
    texts.push(format!("{} in all", bytes(total)));
    texts.join(", ")
}
