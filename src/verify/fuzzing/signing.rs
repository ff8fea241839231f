//! What the secret's owner signed is believed, and nothing that differs from it in a bit.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::Unsigned;
use super::super::senders::PUBLIC_URL;
use super::{Known, addressed};
use crate::event::Received;
use crate::fuzzing::{Input, NOW};
use crate::providers::{Kind, Piece, Place, Sample, Scheme, Template};

/// A sample or any body, signed; then with one bit of the body changed.
pub fn signing(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(known) = addressed(&mut input, |known| known.proves) else {
        return;
    };
    let id = input.text();
    let (sample, flip) = (input.number(), input.number());
    let own = input.rest();
    let provider = &known.sender.provider;
    let samples: Vec<_> = provider
        .samples_of(known.sender.variant.as_deref())
        .collect();
    let Some(sample) = samples.get(sample % samples.len().max(1)) else {
        return;
    };
    let is_sample = own.is_empty();
    let body = match is_sample {
        true => sample.body.clone().into(),
        false => own.to_vec().into(),
    };
    let mut request = unsigned(sample, body);
    let usable = !id.is_empty() && id.len() <= 200 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let id = if usable { &*id } else { "msg_1" };
    if known.sender.try_sign(&mut request, NOW, id).is_err() {
        assert!(
            !is_sample,
            "{}: a sample that cannot be signed",
            known.sender.source
        );
        return;
    }
    let Some(signed) = received(&request) else {
        return;
    };
    if !believes(known, signed.clone()) {
        let guaranteed = is_sample || takes_any_body(known);
        assert!(!guaranteed, "{}: signed and refused", known.sender.source);
        return;
    }
    if covers_body(known.sender.scheme()) && !signed.body.is_empty() {
        let mut body = signed.body.to_vec();
        let at = flip % (body.len() * 8);
        if let Some(byte) = body.get_mut(at / 8) {
            *byte ^= 1 << (at % 8);
        }
        let body = body.into();
        let believed = believes(known, Received { body, ..signed });
        assert!(
            !believed,
            "{}: bit {at} of the body changed",
            known.sender.source
        );
    }
}

/// A request with the sample's headers.
pub(super) fn unsigned(sample: &Sample, body: Bytes) -> Unsigned {
    Unsigned {
        method: Method::POST,
        url: format!("{PUBLIC_URL}/webhooks/test?keep=1"),
        headers: sample.headers.clone().into_iter().collect(),
        body,
    }
}

fn believes(known: &Known, received: Received) -> bool {
    known.verifier.verify(received, NOW).is_ok()
}

/// The request as it arrives; `None` if its headers fit into none.
pub(super) fn received(request: &Unsigned) -> Option<Received> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        headers.append(name.parse::<HeaderName>().ok()?, value);
    }
    let target = request.url.strip_prefix(PUBLIC_URL).unwrap_or(&request.url);
    Some(Received {
        received_at: NOW,
        peer: None,
        method: request.method.clone(),
        target: target.into(),
        path_token: None,
        headers,
        body: request.body.clone(),
    })
}

fn contents(scheme: &Scheme) -> &[Template] {
    scheme.content.as_ref().map_or(&[], |content| &content.0)
}

/// Whether every bit of the body is signed.
fn covers_body(scheme: &Scheme) -> bool {
    let by_content = matches!(scheme.kind, Kind::Mac | Kind::Hash | Kind::Asym);
    by_content && !contents(scheme).is_empty() && contents(scheme).iter().all(Template::covers_body)
}

/// Whether a body of any form can be signed: nothing is looked for in it, and no short one is kept
/// for handshakes.
fn takes_any_body(known: &Known) -> bool {
    let scheme = known.sender.scheme();
    let signature = scheme.signature.iter().flat_map(|rule| &rule.from.0);
    let timestamp = scheme.timestamp.iter().flat_map(|rule| &rule.from.0);
    let checks = scheme.checks.iter();
    let checks = checks.flat_map(|check| [Some(&check.from), check.equals_value.as_ref()]);
    let by_places = signature.chain(timestamp).chain(checks.flatten());
    let in_content = contents(scheme).iter().flat_map(Template::parts);
    let in_content = in_content.filter_map(|part| {
        if let Piece::Value(place) = &part.piece {
            return Some(place);
        }
        None
    });
    let looks_in =
        |place: &Place| matches!(place, Place::Json(_) | Place::Item(_) | Place::Form(_));
    let mut challenges = known.sender.provider.challenges.iter();
    covers_body(scheme)
        && !by_places
            .map(|source| &source.place)
            .chain(in_content)
            .any(looks_in)
        && !challenges.any(crate::providers::Challenge::uses_secret)
}
