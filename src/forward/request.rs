//! The request to the app: what the sender sent, then our own headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use sha2::Sha256;

use super::Config;
use crate::clock::UnixMillis;
use crate::event::{Event, concealed};
use crate::store::Lease;

/// How many headers are added at most.
const OUR_HEADERS: usize = 12;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors say about the span that `traceparent` names, and no other.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Signs requests to the app with Standard Webhooks, whatever the provider did.
#[derive(Clone)]
pub struct Signing(Hmac<Sha256>);

impl Signing {
    /// From a secret in the form `whsec_` and base64; `None` if it is in another form.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let key = zeroize::Zeroizing::new(STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?);
        // Zeros are the empty key to HMAC.
        if key.iter().all(|byte| *byte == 0) {
            return None;
        }
        Hmac::new_from_slice(&key).ok().map(Self)
    }

    /// Replaces the three headers of Standard Webhooks (specification 1.0, "Signature scheme").
    fn sign(&self, headers: &mut HeaderMap, event: &Event, at: UnixMillis) {
        let (id, timestamp) = (event.id.to_string(), at.seconds().to_string());
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &event.body] {
            mac.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        set(headers, "webhook-id", &id);
        set(headers, "webhook-timestamp", &timestamp);
        set(headers, "webhook-signature", &signature);
    }
}

/// Where an attempt stands in a trace.
pub(super) enum Parent {
    /// It has a span of its own, which is the value for `traceparent`.
    Own(String),
    /// It has none: what the sender says stays, and otherwise any number does.
    Any(u64),
}

/// The request for one attempt, begun at `at` (wall time).
pub(super) fn build(
    config: &Config,
    lease: &Lease,
    at: UnixMillis,
    parent: Parent,
) -> Request<Full<Bytes>> {
    let event = &*lease.event;
    let mut headers = event.headers.to_map(OUR_HEADERS);
    if let Some(signing) = &config.signing {
        signing.sign(&mut headers, event, at);
    }
    if !headers.contains_key(http::header::HOST) {
        set(&mut headers, "host", &config.app.authority());
    }
    let id = event.id.to_string();
    match parent {
        Parent::Own(parent) => {
            headers = without(headers, &TRACESTATE);
            set(&mut headers, "traceparent", &parent);
        }
        Parent::Any(span) if !headers.contains_key(TRACEPARENT) => {
            // W3C Trace Context: the trace is the event, so that all attempts belong together.
            let trace = id.strip_prefix("evt_").unwrap_or(&id);
            let parent = format!("00-{trace}-{:016x}-00", span.max(1));
            set(&mut headers, "traceparent", &parent);
        }
        Parent::Any(_) => {}
    }
    set(&mut headers, "hookgate-event-id", &id);
    set(&mut headers, "hookgate-source", event.source.as_str());
    if let Some(id) = &event.provider_event_id {
        set(&mut headers, "hookgate-provider-event-id", id);
    }
    if let Some(kind) = &event.event_type {
        set(&mut headers, "hookgate-event-type", kind);
    }
    set(
        &mut headers,
        "hookgate-received-at",
        &event.received_at.rfc3339(),
    );
    set(&mut headers, "hookgate-attempt", &lease.attempt.to_string());
    if lease.replay {
        set(&mut headers, "hookgate-replay", "true");
    }
    set(&mut headers, "hookgate-verified", &event.verified);

    let mut request = Request::new(Full::new(event.body.clone()));
    *request.method_mut() = event.method.clone();
    *request.uri_mut() = target(config, event);
    *request.headers_mut() = concealed(headers);
    request
}

/// Path and query as received, or the source's own path for the app with the received query.
fn target(config: &Config, event: &Event) -> Uri {
    let target = match (
        config.app_paths.get(&event.source),
        event.target.split_once('?'),
    ) {
        (None, _) => event.target.parse(),
        (Some(path), None) => path.parse(),
        (Some(path), Some((_, query))) => format!("{path}?{query}").parse(),
    };
    target.unwrap_or_else(|_| Uri::from_static("/")) // checked on receipt and in the configuration
}

/// Unlike [`HeaderMap::remove`] this keeps the order of the others.
fn without(headers: HeaderMap, name: &HeaderName) -> HeaderMap {
    if !headers.contains_key(name) {
        return headers;
    }
    let mut others = HeaderMap::with_capacity(headers.capacity());
    for (other, value) in headers.iter().filter(|(other, _)| *other != name) {
        others.append(other, value.clone());
    }
    others
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // A value that no header can carry (a provider's id with odd characters) is left out.
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
