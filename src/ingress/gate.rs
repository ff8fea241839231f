//! The life of one request, from head to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::ack::{self, Refusal};
use super::limits::{BodyBudget, BodyShare, PeerRecord};
use super::metrics::Metrics;
use super::peer::Proxies;
use super::receive::BodyDeadlines;
use super::source::{Source, Sources};
use super::{Config, check, receive, strict};
use crate::clock::Clock;
use crate::event::Received;
use crate::server::Peer;
use crate::store::{Receipt, Store, StoreError};
use crate::verify::Verified;

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
    clock: Clock,
    closed: AtomicBool,
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(config: Config, store: Store, clock: Clock, metrics: Metrics) -> Self {
        Self {
            sources: Sources::new(config.sources, &metrics),
            metrics,
            proxies: Proxies::new(config.trusted_proxies),
            peers: PeerRecord::new(config.rejections_per_peer),
            budget: BodyBudget::new(config.bodies_in_flight_max),
            body_deadlines: config.body_deadlines,
            ack_deadline: config.ack_deadline,
            store,
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
            Ok(receipt) => ack::stored(&receipt, source.ack_status()),
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
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        Ok((source, path_token))
    }

    /// From head to durable: the only way to a [`Receipt`].
    async fn take(
        &self,
        source: &Source,
        path_token: Option<Box<str>>,
        mut head: Parts,
        body: Incoming,
    ) -> Result<Receipt, Refusal> {
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
        let (verified, _share) = self.verify(source, received, share).await?;
        source.admit().map_err(Refusal::Limited)?;
        self.commit(source, verified).await
    }

    /// Checks the request; its share of the memory goes wherever the body goes.
    async fn verify(
        &self,
        source: &Source,
        received: Received,
        share: BodyShare,
    ) -> Result<(Verified, BodyShare), Refusal> {
        let (now, peer) = (self.clock.wall(), received.peer);
        match check::verdict(&source.verifier, received, now, share).await? {
            (Ok(verified), share) => {
                source.note_verified(&verified);
                Ok((verified, share))
            }
            (Err(rejection), _) => {
                let charged = self.peers.charge(peer);
                source.note_rejected(&rejection, peer, charged.is_ok());
                charged.map_err(Refusal::Limited)?;
                Err(Refusal::Unverified)
            }
        }
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
