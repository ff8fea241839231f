//! Values out of JSON, forms and timestamps, compared with readers that were written otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value as Json;

use super::super::facts::FactRule;
use super::super::items::items;
use super::super::json::{TEXT_MAX_BYTES, Tree};
use super::super::time::TimeRule;
use super::super::view::{Ambiguous, View};
use super::addressed;
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::fuzzing::{Input, NOW};
use crate::providers::{OneOrMany, Place, TimeUnit, TimestampRule, ValueSource};

/// A value that is taken out of JSON is there for every other reader, too, and an id is short and
/// has no control characters.
pub fn json_ids(data: &[u8]) {
    let mut input = Input::new(data);
    let (known, pointer) = (addressed(&mut input, |_| true), input.text());
    let body = input.rest();
    let source = format!("json:/{pointer}").parse::<ValueSource>();
    if let Ok(Place::Json(steps)) = source.map(|source| source.place) {
        one_pointer(&steps, body);
    }
    let Some(known) = known else {
        return;
    };
    let received = with_body(body, "application/json");
    let view = View::of(&received, &known.sender.values, "");
    let facts = FactRule::new(&known.sender.provider.event, None, &[]);
    let found = facts.read(&view, None);
    let texts = [&found.provider_event_id, &found.event_type];
    for text in texts.into_iter().flatten() {
        assert!((1..=TEXT_MAX_BYTES).contains(&text.len()));
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert!(found.dedup_id.is_none_or(|id| !id.is_empty()));
}

fn one_pointer(steps: &[Box<str>], body: &[u8]) {
    let read = |mut tree: Tree| {
        let slot = tree.add(steps);
        tree.read(body).text(slot).map(str::to_owned)
    };
    let (lenient, wary) = (read(Tree::default()), read(Tree::wary()));
    assert!(
        wary.is_none() || wary == lenient,
        "the wary reader finds more"
    );
    // Another reader, which knows nothing of repeated keys and has a limit to its depth.
    if let (Some(text), Ok(json)) = (&lenient, serde_json::from_slice::<Json>(body)) {
        let found = steps
            .iter()
            .try_fold(&json, |json, step| match json.as_array() {
                Some(list) => list.get(step.parse::<usize>().ok()?),
                None => json.get(&**step),
            });
        let same = match found {
            Some(Json::String(other)) => other == text,
            Some(other) => &other.to_string() == text,
            None => false,
        };
        assert!(same, "{text:?} is {found:?}");
    }
    let Some(elements) = items(body, steps) else {
        return;
    };
    let whole = elements.into_iter().map(serde_json::from_slice::<Json>);
    let whole: Result<Vec<_>, _> = whole.collect();
    if let (Ok(whole), Ok(json)) = (whole, serde_json::from_slice::<Json>(body)) {
        let array = steps.iter().try_fold(&json, |json, step| json.get(&**step));
        assert_eq!(array, Some(&Json::Array(whole)));
    }
}

fn with_body(body: &[u8], content_type: &'static str) -> Received {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static(content_type);
    headers.insert(http::header::CONTENT_TYPE, content_type);
    Received {
        received_at: NOW,
        peer: None,
        method: Method::POST,
        target: "/webhooks/fuzzed".into(),
        path_token: None,
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

/// A field of a form, or of the query, is what a plain reader finds; two that differ are none. A
/// body that is no form, such as a multipart one, has no fields.
pub fn form_ids(data: &[u8]) {
    let mut input = Input::new(data);
    let (name, multipart) = (input.text(), input.byte().is_multiple_of(4));
    if name.is_empty() {
        return; // no place has an empty name
    }
    let body = input.rest();
    let form = match multipart {
        true => "multipart/form-data; boundary=x",
        false => "application/x-www-form-urlencoded",
    };
    let mut received = with_body(body, form);
    received.target = format!("/?{}", String::from_utf8_lossy(body)).into();
    let nothing = BTreeMap::new();
    let view = View::of(&received, &nothing, "");
    let found = view.find(&Place::Form(name.as_str().into()), None);
    let decoded = |text: &[u8], plus: bool| decode(text, plus);
    let expected = |text: &[u8], plus: bool| {
        let mut values = Vec::new();
        for pair in text.split(|byte| *byte == b'&') {
            let at = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let (key, value) = pair.split_at(at);
            if decoded(key, plus) == name.as_bytes() {
                values.push(decoded(value.get(1..).unwrap_or_default(), plus));
            }
        }
        values.dedup();
        match values.len() {
            0 => Ok(None),
            1 => Ok(values.pop()),
            _ => Err(Ambiguous),
        }
    };
    let form = match multipart {
        true => Ok(None),
        false => expected(body, true),
    };
    assert_eq!(
        found.map(|value| value.map(std::borrow::Cow::into_owned)),
        form
    );
    let query = received.target.get(2..).unwrap_or_default().as_bytes();
    let found = view.find(&Place::Query(name.as_str().into()), None);
    let found = found.map(|value| value.map(std::borrow::Cow::into_owned));
    assert_eq!(found, expected(query, false));
}

/// Percent-encoded text, read byte by byte.
fn decode(text: &[u8], plus: bool) -> Vec<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.get(at) {
        let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => decoded.push(byte),
            None if plus && *byte == b'+' => decoded.push(b' '),
            None => decoded.push(*byte),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

/// A timestamp that is read is printed and read again as the same instant; it is accepted exactly
/// if it is near; and no shorter part of one that is a date is one, too.
pub fn timestamps(data: &[u8]) {
    let mut input = Input::new(data);
    let units = [
        TimeUnit::S,
        TimeUnit::Ms,
        TimeUnit::Rfc3339,
        TimeUnit::IsoUtc,
    ];
    let unit = units.get(usize::from(input.byte()) % units.len()).copied();
    let text = input.rest();
    let from = OneOrMany::default();
    let rule = TimestampRule {
        from,
        unit: unit.unwrap_or_default(),
        tolerance_seconds: None,
    };
    let (unit, rule) = (rule.unit, TimeRule::new(&rule, None));
    let (at, now) = rule.read(text, NOW);
    let accepted = rule.check(text, NOW).is_ok();
    let Some(at) = at else {
        assert!(!accepted);
        return;
    };
    let away = i128::from(at).abs_diff(i128::from(now));
    assert_eq!(accepted, away <= 300_000, "{away} ms away");
    assert!(text.is_ascii(), "{text:?}");
    // What jiff reads reaches further than what it prints with a four-digit year.
    if (0..=253_402_300_799_999).contains(&at) {
        let printed = rule.write(UnixMillis(at));
        assert_eq!(rule.read(printed.as_bytes(), NOW).0, Some(at), "{printed}");
    }
    match unit {
        TimeUnit::S | TimeUnit::Ms => assert!(text.iter().all(u8::is_ascii_digit)),
        TimeUnit::Rfc3339 => {
            let mut shorter = (0..text.len()).filter_map(|end| text.get(..end));
            assert!(shorter.all(|part| rule.read(part, NOW).0.is_none()));
        }
        TimeUnit::IsoUtc => {}
    }
}
