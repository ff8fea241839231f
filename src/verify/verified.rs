//! The evidence that a request passed verification.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::facts;
use super::rejection::Rejection;
use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList, Received, SourceName};

/// A request that passed its source's verification.
///
/// The fields are private and the constructor is visible in `verify` only: whoever holds one
/// knows that the signature was checked. The one exception says so: a source in observe mode lets
/// requests through that failed, and [`Verified::observed`] then has the reason.
pub struct Verified {
    source: SourceName,
    received: Received,
    facts: Facts,
}

/// What verification found out, beside that the request is genuine.
pub(super) struct Facts {
    /// Canonical bytes that tell this event from any other of its source; never empty.
    pub(super) dedup_id: Vec<u8>,
    /// The sender's id, if the provider has one; bounded to 256 bytes.
    pub(super) provider_event_id: Option<Box<str>>,
    /// The sender's event type, if it has one; bounded to 256 bytes.
    pub(super) event_type: Option<Box<str>>,
    /// The scheme that verified it, or `observe` or `unsigned`.
    pub(super) scheme: &'static str,
    /// The label of the secret that matched.
    pub(super) secret: Option<Arc<str>>,
    /// Path and query for the app, if tokens had to be taken out.
    pub(super) target: Option<Box<str>>,
    /// In observe mode: why it would have been refused.
    pub(super) observed: Option<Rejection>,
}

impl Verified {
    pub(super) fn new(source: SourceName, received: Received, facts: Facts) -> Self {
        Self {
            source,
            received,
            facts,
        }
    }

    /// The request, for when there is no event in it.
    pub(super) fn into_received(self) -> Received {
        self.received
    }

    /// The source that it came in on.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The sender's id of the event, if the provider has one; bounded to 256 bytes.
    #[must_use]
    pub fn provider_event_id(&self) -> Option<&str> {
        self.facts.provider_event_id.as_deref()
    }

    /// The sender's event type, such as `invoice.paid`, if it has one; bounded to 256 bytes.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.facts.event_type.as_deref()
    }

    /// When the last byte of the body had been read (wall time).
    #[must_use]
    pub fn received_at(&self) -> UnixMillis {
        self.received.received_at
    }

    /// Canonical bytes that tell this event from any other of its source; never empty. They are
    /// made of the sender's id where it has one, otherwise of what the provider's file says, at last
    /// of the body's hash: what an app that must not act twice remembers.
    #[must_use]
    pub fn dedup_id(&self) -> &[u8] {
        &self.facts.dedup_id
    }

    /// What tells this event from others, in words for people.
    #[must_use]
    pub fn dedup_rule(&self) -> &'static str {
        facts::in_words(&self.facts.dedup_id)
    }

    /// The body, byte for byte.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.received.body
    }

    /// The label of the secret that matched, for metrics.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.facts.secret.as_deref()
    }

    /// The scheme that verified it, or `observe` or `unsigned`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.facts.scheme
    }

    /// The request as it came.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Why a request of a source in observe mode would have been refused.
    #[must_use]
    pub fn observed(&self) -> Option<&Rejection> {
        self.facts.observed.as_ref()
    }

    /// The event to store: end-to-end headers, a target without tokens, and an exact copy of the
    /// body (the received one may hold on to a larger network buffer).
    #[must_use]
    pub fn into_event(self, id: EventId) -> Event {
        Event {
            id,
            source: self.source,
            received_at: self.received.received_at,
            provider_event_id: self.facts.provider_event_id,
            event_type: self.facts.event_type,
            verified: self.facts.scheme.into(),
            method: self.received.method,
            target: self.facts.target.unwrap_or(self.received.target),
            headers: HeaderList::end_to_end(&self.received.headers),
            body: Bytes::copy_from_slice(&self.received.body),
        }
    }

    /// Evidence without a check, for tests of the stages behind verification.
    #[cfg(test)]
    pub(crate) fn for_test(source: &str, dedup_id: &str, body: &'static [u8]) -> Self {
        let received = Received {
            received_at: UnixMillis(1_735_689_600_000),
            peer: None,
            method: http::Method::POST,
            target: "/webhooks/test".into(),
            path_token: None,
            headers: http::HeaderMap::new(),
            body: Bytes::from_static(body),
        };
        let facts = Facts {
            dedup_id: dedup_id.into(),
            provider_event_id: Some(dedup_id.into()),
            event_type: None,
            scheme: "test",
            secret: None,
            target: None,
            observed: None,
        };
        Self {
            source: source.into(),
            received,
            facts,
        }
    }

    /// The same, received at another time.
    #[cfg(test)]
    pub(crate) fn at(mut self, at: UnixMillis) -> Self {
        self.received.received_at = at;
        self
    }
}

/// What it is, without headers and body: they may hold secrets.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("source", &self.source)
            .field("scheme", &self.facts.scheme)
            .field("provider_event_id", &self.facts.provider_event_id)
            .field("event_type", &self.facts.event_type)
            .finish_non_exhaustive()
    }
}
