//! The life of one request, from head to answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::ack::{self, Refusal};
use super::capture::{CaptureError, Captured};
use super::limits::{BodyBudget, BodyShare, PeerRecord};
use super::metrics::Metrics;
use super::peer::Proxies;
use super::receive::BodyDeadlines;
use super::source::{Source, Sources};
use super::{Config, receive, strict};
use crate::clock::Clock;
use crate::event::Received;
use crate::event::SourceName;
use crate::server::Peer;
use crate::store::{CapturedSecrets, Receipt, Store, StoreError};
use crate::verify::{AckBody, Admission, Handover, Reason, Rejection, Reply, Verified};

/// A body larger than this is hashed away from the threads that serve other requests.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// How a request ended well.
pub(super) enum Taken {
    /// The event is durable; with what the provider wants to read then.
    Stored(Receipt, AckBody),
    /// A handshake: there was no event.
    Answered(Reply),
}

/// Answers senders. It can be closed, after which it refuses with 503.
pub struct Gate {
    sources: Sources,
    metrics: Metrics,
    proxies: Proxies,
    peers: PeerRecord,
    budget: BodyBudget,
    body_deadlines: BodyDeadlines,
    ack_deadline: Duration,
    store: Store,
    captured: CapturedSecrets,
    clock: Clock,
    closed: AtomicBool,
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(
        config: Config,
        store: Store,
        captured: CapturedSecrets,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Self {
            sources: Sources::new(config.sources, &metrics),
            metrics,
            proxies: Proxies::new(config.trusted_proxies),
            peers: PeerRecord::new(config.rejections_per_peer),
            budget: BodyBudget::new(config.bodies_in_flight_max),
            body_deadlines: config.body_deadlines,
            ack_deadline: config.ack_deadline,
            store,
            captured,
            clock,
            closed: AtomicBool::new(false),
        }
    }

    /// From now on every request is refused with 503.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether requests are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// The answer to one request; every path through here ends in `ack`.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let (source, path_token) = match self.route(&head) {
            Ok(found) => found,
            Err(refusal) => {
                self.metrics.count_unrouted(&refusal);
                return ack::refused(&refusal);
            }
        };
        let result = self.take(&source, path_token, head, body).await;
        source.metrics.count(&result, started.elapsed());
        match result {
            Ok(Taken::Stored(receipt, body)) => ack::stored(&receipt, source.ack_status(), body),
            Ok(Taken::Answered(reply)) => ack::challenged(reply),
            Err(refusal) => ack::refused(&refusal),
        }
    }

    /// Which source this is for, if the head is one that we take.
    fn route(&self, head: &Parts) -> Result<(Arc<Source>, Option<Box<str>>), Refusal> {
        strict::check(head).map_err(Refusal::Malformed)?;
        let (source, path_token) = self
            .sources
            .find(head.uri.path())
            .ok_or(Refusal::NotFound)?;
        if !source.verifier().takes(&head.method) {
            return Err(Refusal::Method);
        }
        Ok((source, path_token))
    }

    /// From head to durable, the only way to a [`Receipt`]; or to the answer of a handshake.
    async fn take(
        &self,
        source: &Arc<Source>,
        path_token: Option<Box<str>>,
        mut head: Parts,
        body: Incoming,
    ) -> Result<Taken, Refusal> {
        if !self.is_open() {
            return Err(Refusal::Unavailable("shutting down"));
        }
        let peer = head.extensions.get::<Peer>().and_then(|peer| peer.0);
        let peer = self.proxies.sender(peer, &head.headers);
        let (limit, deadlines) = (source.body_bytes_max, self.body_deadlines);
        let (body, share) = receive::body(body, limit, &self.budget, deadlines).await?;
        strict::name_host(&mut head);
        let target = head
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str)
            .into();
        let received = Received {
            received_at: self.clock.wall(),
            peer,
            method: head.method,
            target,
            path_token,
            headers: head.headers,
            body,
        };
        let (admission, _share) = self.admit(source, received, share).await?;
        match admission {
            Admission::Event(verified, body) => {
                source.admit().map_err(Refusal::Limited)?;
                let receipt = self.commit(source, *verified).await?;
                Ok(Taken::Stored(receipt, body))
            }
            Admission::Challenge(reply) => {
                self.challenge(source, peer, &reply)?;
                Ok(Taken::Answered(reply))
            }
            Admission::Handover(handover) => {
                let reply = self.capture(source, peer, handover).await?;
                Ok(Taken::Answered(reply))
            }
            Admission::NoEvent => Err(Refusal::Method),
        }
    }

    /// Checks the request; its share of the memory goes wherever the body goes.
    async fn admit(
        &self,
        source: &Source,
        received: Received,
        share: BodyShare,
    ) -> Result<(Admission, BodyShare), Refusal> {
        let (now, peer) = (self.clock.wall(), received.peer);
        let verdict = if received.body.len() > INLINE_BYTES_MAX {
            let verifier = source.verifier();
            let check = move || (verifier.admit(received, now), share);
            tokio::task::spawn_blocking(check)
                .await
                .map_err(|_| Refusal::Unavailable("verification panicked"))?
        } else {
            (source.verifier().admit(received, now), share)
        };
        match verdict {
            (Ok(admission), share) => {
                if let Admission::Event(verified, _) = &admission {
                    source.note_verified(verified);
                }
                Ok((admission, share))
            }
            (Err(rejection), _) => Err(self.reject(source, peer, &rejection)),
        }
    }

    /// The refusal for a request that failed verification.
    fn reject(&self, source: &Source, peer: Option<IpAddr>, rejection: &Rejection) -> Refusal {
        let charged = self.peers.charge(peer);
        source.note_rejected(rejection, peer, charged.is_ok());
        match charged {
            Err(wait) => Refusal::Limited(wait),
            // Not the sender's fault: it may be genuine, and should come again.
            Ok(()) if rejection.reason == Reason::NoSecret => {
                Refusal::Unavailable("the endpoint is not set up yet")
            }
            Ok(()) => Refusal::Unverified,
        }
    }

    /// Whether a handshake may be answered. One that anybody could have sent counts against its
    /// peer: it must not use up the rate of the source's events.
    fn challenge(
        &self,
        source: &Source,
        peer: Option<IpAddr>,
        reply: &Reply,
    ) -> Result<(), Refusal> {
        if reply.is_verified() {
            source.admit().map_err(Refusal::Limited)?;
        } else {
            self.peers.charge(peer).map_err(Refusal::Limited)?;
        }
        source.note_handshake(peer, "answered the provider's handshake");
        Ok(())
    }

    /// Keeps a secret that was handed over, and only then answers. If the sender goes away
    /// meanwhile, what has begun is completed all the same.
    async fn capture(
        &self,
        source: &Arc<Source>,
        peer: Option<IpAddr>,
        handover: Handover,
    ) -> Result<Reply, Refusal> {
        self.peers.charge(peer).map_err(Refusal::Limited)?;
        let (owner, files) = (Arc::clone(source), self.captured.clone());
        let secret = handover.secret().clone();
        let captured = tokio::task::spawn_blocking(move || owner.capture(&files, &secret));
        let captured = captured
            .await
            .map_err(|_| Refusal::Unavailable("capturing panicked"))?;
        match captured {
            Ok(Captured::First) => {
                source.note_handshake(peer, "captured the secret that the provider handed over");
                Ok(handover.into_reply())
            }
            Ok(Captured::Known) => Ok(handover.into_reply()),
            Ok(Captured::Refused) => {
                let detail = "another secret has been captured; if this one is right, let go of \
                              the first with `hookgate sources forget-secret`";
                Err(self.reject(source, peer, &Reason::Mismatch.because(detail)))
            }
            Err(error @ CaptureError::Unusable { .. }) => {
                let rejection = Reason::Malformed.because(error.to_string());
                Err(self.reject(source, peer, &rejection))
            }
            Err(error @ (CaptureError::Disk { .. } | CaptureError::NotCaptured(_))) => {
                source.note_unavailable(&error);
                Err(Refusal::Unavailable("the secret could not be kept"))
            }
        }
    }

    /// Reads the secrets that were captured before the start. Blocking.
    ///
    /// # Errors
    /// One cannot be read, or does not fit its source any more.
    pub fn restore_captured(&self) -> Result<(), CaptureError> {
        let mut sources = self.sources.iter();
        sources.try_for_each(|source| match source.verifier().captures() {
            true => source.restore(&self.captured),
            false => Ok(()),
        })
    }

    /// Lets go of a source's captured secret; whether there was one.
    ///
    /// # Errors
    /// The source captures none, or the disk does not let go of it.
    pub async fn forget_captured(&self, name: &SourceName) -> Result<bool, CaptureError> {
        let unknown = || CaptureError::NotCaptured(name.to_string());
        let mut sources = self.sources.iter();
        let source = sources.find(|source| source.name == *name);
        let source = Arc::clone(source.ok_or_else(unknown)?);
        let files = self.captured.clone();
        let forgotten = tokio::task::spawn_blocking(move || source.forget(&files)).await;
        let forgotten = forgotten.unwrap_or_else(|_| Err(unknown()))?;
        tracing::info!(source = %name, forgotten, "the captured secret is let go of");
        Ok(forgotten)
    }

    /// Hands the event to the store. Giving up on the answer does not take the event back: a
    /// commit once submitted completes, and the sender's retry meets it as a duplicate.
    async fn commit(&self, source: &Source, verified: Verified) -> Result<Receipt, Refusal> {
        match timeout(self.ack_deadline, self.store.accept(verified)).await {
            Ok(Ok(receipt)) => {
                tracing::debug!(source = %source.name, event = %receipt.event_id(), kind = ?receipt.kind(), "accepted");
                Ok(receipt)
            }
            Ok(Err(error)) => {
                source.note_unavailable(&error);
                Err(Refusal::from(&error))
            }
            Err(_) => {
                source.note_unavailable(&"the store did not answer within server.ack_deadline");
                Err(Refusal::Unavailable("the store is slow"))
            }
        }
    }
}

impl From<&StoreError> for Refusal {
    fn from(_: &StoreError) -> Self {
        Self::Unavailable("the store cannot promise to keep the event")
    }
}
