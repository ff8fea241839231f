//! Requests that nobody signed with the source's secret: whatever they say, they are no events.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;

use super::super::view::{View, pairs};
use super::super::{Admission, Diagnostician, Reply, Unsigned};
use super::{Known, addressed, known};
use crate::event::Received;
use crate::fuzzing::{Input, NOW};
use crate::providers::{Catalogue, Kind};

/// Nothing is believed that was not signed with the secret.
pub fn signatures(data: &[u8]) {
    let mut input = Input::new(data);
    if let Some(known) = addressed(&mut input, |known| known.proves) {
        refuses(known, input.request());
    }
}

/// The same for ways of signing that are code.
pub fn procedures(data: &[u8]) {
    let mut input = Input::new(data);
    let by_code = |known: &Known| known.sender.scheme().kind == Kind::Code;
    if let Some(known) = addressed(&mut input, by_code) {
        refuses(known, input.request());
    }
}

fn refuses(known: &Known, received: Received) {
    let source = &known.sender.source;
    let shown = known.verifier.shown_target(&received);
    assert!(shown.len() <= received.target.len() + "{token}".len());
    match known.verifier.admit(received, NOW, None) {
        Ok(Admission::Event(..)) => panicked(source, "an event that nobody signed"),
        Ok(Admission::Confirmation(_)) => panicked(source, "a confirmation that nobody signed"),
        Ok(Admission::Handover(_)) => panicked(source, "a secret from anybody"),
        Ok(Admission::Challenge(reply)) => {
            assert!(
                !reply.is_verified(),
                "{source}: a handshake that nobody signed"
            );
        }
        Ok(Admission::NoEvent) => {}
        Err(refused) => assert!(!refused.rejection.detail.contains(&*known.sender.verifying)),
    }
}

#[track_caller]
fn panicked(source: &str, what: &str) {
    assert!(source.is_empty(), "{source}: {what}");
}

/// What is told step by step ends as the verifier judges, and tells no secret.
pub fn explanations(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(known) = addressed(&mut input, |_| true) else {
        return;
    };
    let received = input.request();
    let told = known.verifier.explain(&received, NOW);
    let judged = known.verifier.verify(received, NOW);
    match (&told.verdict, &judged) {
        (Ok(_), Ok(_)) => {}
        (Err(told), Err(judged)) => assert_eq!(told, judged, "{}", known.sender.source),
        _ => panicked(&known.sender.source, "told and judged differ"),
    }
    if known.proves
        && known
            .sender
            .scheme()
            .key
            .is_none_or(|form| !form.is_public())
    {
        let tells = |text: &str| text.contains(&*known.sender.verifying);
        assert!(!told.steps.iter().any(|step| tells(&step.text)));
    }
}

/// A diagnosis names one mistake, briefly, and tells no secret.
pub fn diagnoses(data: &[u8]) {
    static DIAGNOSTICIAN: LazyLock<Diagnostician> =
        LazyLock::new(|| Diagnostician::new(Catalogue::embedded()));
    let mut input = Input::new(data);
    let Some(of) = addressed(&mut input, |known| known.proves) else {
        return;
    };
    let received = input.request();
    let Err(refused) = of.verifier.judge(received, NOW, None) else {
        return;
    };
    let at = known()
        .iter()
        .position(|one| one.sender.source == of.sender.source);
    let others = known().iter().cycle().skip(at.unwrap_or(0)).take(3);
    let others: Vec<_> = others
        .map(|one| std::sync::Arc::clone(&one.verifier))
        .collect();
    let (received, rejection) = (&refused.received, &refused.rejection);
    let found = DIAGNOSTICIAN.diagnose(&of.verifier, &others, received, rejection, NOW);
    if let Some(clue) = found.and_then(|found| found.clue) {
        assert!(clue.chars().count() <= 200, "{clue}");
        assert!(!clue.contains(&*of.sender.verifying), "{clue}");
    }
}

/// What anybody can ask for is harmless: plain text or JSON, and no signature of a forgery.
pub fn challenges(data: &[u8]) {
    let mut input = Input::new(data);
    let answers = |known: &Known| !known.sender.provider.challenges.is_empty();
    let Some(known) = addressed(&mut input, answers) else {
        return;
    };
    let received = input.request();
    let values = values(&received);
    let Ok(Admission::Challenge(reply)) = known.verifier.admit(received, NOW, None) else {
        return;
    };
    for text in texts(reply) {
        for value in values.iter().filter(|_| known.proves) {
            forges(known, &text, value);
        }
    }
}

/// All that a request may have had signed.
fn values(received: &Received) -> Vec<Bytes> {
    let view = View::of(received, const { &std::collections::BTreeMap::new() }, "");
    let (_, query) = view.path_and_query();
    let query = pairs(query.as_bytes()).map(|(_, value)| super::super::view::form_decode(value));
    let mut values: Vec<_> = query.map(|value| Bytes::from(value.into_owned())).collect();
    let body = serde_json::from_slice::<serde_json::Value>(&received.body).ok();
    let members = body.as_ref().and_then(serde_json::Value::as_object);
    let members = members
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_str());
    values.extend(members.map(|text| Bytes::copy_from_slice(text.as_bytes())));
    values
}

/// The texts of an answer, as they are and without what stands before an equals sign.
fn texts(reply: Reply) -> Vec<String> {
    let (headers, body) = reply.into_parts();
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let mut texts = Vec::new();
    match kind {
        None => assert!(body.is_empty()),
        Some(b"application/json") => {
            let json = serde_json::from_slice::<serde_json::Value>(&body);
            assert!(json.is_ok());
            let members = json
                .ok()
                .and_then(|json| json.as_object().cloned())
                .unwrap_or_default();
            texts.extend(
                members
                    .values()
                    .filter_map(|value| value.as_str().map(str::to_owned)),
            );
        }
        Some(kind) => {
            assert_eq!(kind, b"text/plain; charset=utf-8");
            let plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            assert!(
                body.iter()
                    .all(|byte| plain(byte) && !b"<>\"'&".contains(byte))
            );
            texts.push(String::from_utf8_lossy(&body).into_owned());
        }
    }
    let bare: Vec<_> = texts
        .iter()
        .filter_map(|text| text.split_once('='))
        .collect();
    let bare: Vec<_> = bare.into_iter().map(|(_, text)| text.to_owned()).collect();
    texts.extend(bare);
    texts
}

/// An answer used as the signature of an event that consists of the signed value.
fn forges(known: &Known, signature: &str, body: &Bytes) {
    let scheme = known.sender.scheme();
    let places = scheme.signature.iter().flat_map(|rule| &rule.from.0);
    let prefix = scheme.signature.as_ref().map_or("", |rule| &rule.prefix);
    for place in places {
        let mut forged = Unsigned {
            method: Method::POST,
            url: "/webhooks/fuzzed".to_owned(),
            headers: Vec::new(),
            body: body.clone(),
        };
        if forged
            .put_at(&place.place, &format!("{prefix}{signature}"))
            .is_ok()
            && let Some(forged) = super::signing::received(&forged)
        {
            refuses(known, forged);
        }
    }
}
