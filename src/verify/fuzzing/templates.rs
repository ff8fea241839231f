//! Content templates: what is signed can be taken apart in one way only.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::super::content::fill;
use super::super::key::joined;
use super::super::view::View;
use crate::event::Received;
use crate::fuzzing::Input;
use crate::providers::{Part, Piece, Place, Template};

/// At most so many ways to take a content apart are tried.
const READINGS_MAX: usize = 256;

/// A template is printed as it was read, and no two requests with different values have the same
/// content.
pub fn content_templates(data: &[u8]) {
    let mut input = Input::new(data);
    let text = input.text();
    let Ok(template) = text.parse::<Template>() else {
        return;
    };
    assert_eq!(template.as_str(), text);
    let printed = serde_json::to_value(&template).ok();
    let read = printed.and_then(|json| serde_json::from_value::<Template>(json).ok());
    assert_eq!(read.as_ref(), Some(&template));
    let received = input.request();
    let Some(content) = content(&template, &received) else {
        return;
    };
    let Some((values, texts)) = plain(&template) else {
        return;
    };
    let mut readings = Vec::new();
    read_apart(&content, &texts, &mut Vec::new(), &mut readings);
    let same = |other: &Received| {
        let header = |name| (received.headers.get(name), other.headers.get(name));
        values.iter().all(|value| match value {
            Value::Body => received.body == other.body,
            Value::Header(name) => matches!(header(*name), (Some(a), Some(b)) if a == b),
        })
    };
    let others = readings
        .iter()
        .filter_map(|reading| with(&received, &values, reading));
    for other in others.filter(|other| !same(other)) {
        let again = self::content(&template, &other);
        assert_ne!(
            again.as_ref(),
            Some(&content),
            "{text} has two readings: {:?}",
            other.headers
        );
    }
}

fn content(template: &Template, received: &Received) -> Option<Vec<u8>> {
    let nothing = BTreeMap::new();
    let view = View::of(received, &nothing, "https://hooks.example.com");
    let content = fill(template, &view, None, Some(b"1735689600")).ok()?;
    Some(joined(&content))
}

enum Value<'t> {
    Header(&'t http::HeaderName),
    Body,
}

/// The values, and the texts before, between and behind them; `None` if it has more than headers
/// and the body, has one of them twice, or two with nothing between them.
fn plain(template: &Template) -> Option<(Vec<Value<'_>>, Vec<&[u8]>)> {
    let (mut values, mut texts) = (Vec::new(), vec![&b""[..]]);
    let mut seen = Vec::new();
    let is_plain = |part: &Part| part.segment.is_none() && !part.optional && !part.lower;
    for part in template.parts().iter().filter(|part| is_plain(part)) {
        if let Piece::Text(text) = &part.piece {
            *texts.last_mut()? = text.as_bytes();
            continue;
        }
        if let Piece::Value(Place::Header(name)) = &part.piece {
            values.push(Value::Header(name));
            seen.push(name.as_str());
        } else if part.piece == Piece::Body {
            values.push(Value::Body);
            seen.push("");
        } else {
            return None;
        }
        texts.push(b"");
    }
    let between = texts.get(1..texts.len().checked_sub(1)?)?;
    seen.sort_unstable();
    let distinct = seen.windows(2).all(|pair| pair.first() != pair.last());
    let apart = between.iter().all(|text| !text.is_empty());
    let whole = template.parts().iter().all(is_plain);
    (whole && distinct && apart && !values.is_empty()).then_some((values, texts))
}

/// Every list of values that makes the content with these texts around them.
fn read_apart<'c>(
    content: &'c [u8],
    texts: &[&[u8]],
    so_far: &mut Vec<&'c [u8]>,
    readings: &mut Vec<Vec<&'c [u8]>>,
) {
    let Some((before, behind)) = texts.split_first() else {
        return;
    };
    let Some(rest) = content.strip_prefix(*before) else {
        return;
    };
    let Some((next, more)) = behind.split_first() else {
        return;
    };
    if more.is_empty() {
        if let Some(last) = rest.strip_suffix(*next) {
            readings.push([&**so_far, &[last]].concat());
        }
        return;
    }
    for end in 0..rest.len() {
        let Some((value, after)) = rest.split_at_checked(end) else {
            return;
        };
        if readings.len() < READINGS_MAX && after.starts_with(next) {
            so_far.push(value);
            read_apart(after, behind, so_far, readings);
            so_far.pop();
        }
    }
}

/// The request with other values; `None` if one of them fits into no header.
fn with(received: &Received, values: &[Value<'_>], reading: &[&[u8]]) -> Option<Received> {
    let mut other = Received {
        headers: HeaderMap::new(),
        ..received.clone()
    };
    for (value, bytes) in values.iter().zip(reading) {
        match value {
            Value::Body => other.body = Bytes::copy_from_slice(bytes),
            Value::Header(name) => {
                let bytes = HeaderValue::from_bytes(bytes).ok()?;
                other.headers.insert(*name, bytes);
            }
        }
    }
    Some(other)
}
