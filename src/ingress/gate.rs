//! The life of one request, from head to answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::broadcast;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::ack::{self, Refusal, Trouble};
use super::app::{PassedOn, Waiters};
use super::bodies::{BodyBudget, BodyShare, NoRoom};
use super::limits::PeerRecord;
use super::metrics::Metrics;
use super::peer::Proxies;
use super::receive::BodyDeadlines;
use super::rejections::{self, Recorder, Rejections};
use super::source::{Ack, Source, Sources};
use super::traced::Traced;
use super::{Config, check, receive, strict};
use crate::clock::Clock;
use crate::event::{Received, concealed};
use crate::keys::KeySource;
use crate::net::Party;
use crate::planted::{Bug, planted, seen_before};
use crate::server::{Peer, Place, Unweighed};
use crate::shutdown::Stage;
use crate::store::{Awaited, CapturedSecrets, Receipt, Store, StoreError};
use crate::verify::{AckBody, Admission, Diagnostician, Refused, Reply, Verified};

/// The longest that a peer which keeps failing waits for its answer.
const FAILING_WAITS_MAX: Duration = Duration::from_secs(1);

/// How a request ended well.
pub(super) enum Taken {
    /// The event is durable; with what the provider wants to read then.
    Stored(Receipt, AckBody),
    /// The event is durable, and the app has answered it itself.
    Passed(Receipt, PassedOn),
    /// A handshake: there was no event.
    Answered(Reply),
}

/// Answers senders. It can be closed, after which it refuses with 503.
pub struct Gate {
    pub(super) sources: Sources,
    pub(super) metrics: Metrics,
    recorder: Recorder,
    rejections: Rejections,
    pub(super) keys: KeySource,
    proxies: Proxies,
    pub(super) peers: PeerRecord,
    budget: BodyBudget,
    body_deadlines: BodyDeadlines,
    ack_deadline: Duration,
    waiters: Waiters,
    store: Store,
    pub(super) captured: CapturedSecrets,
    clock: Clock,
    closed: AtomicBool,
    /// One holder for each event that is on its way to the store, and this.
    committing: Arc<()>,
}

impl Gate {
    /// A gate that is open. What it does behind its answers ends with `stage`.
    #[must_use]
    pub fn start(
        config: Config,
        store: Store,
        captured: CapturedSecrets,
        clock: Clock,
        metrics: Metrics,
        keys: KeySource,
        stage: &Stage,
    ) -> Self {
        let told = broadcast::Sender::new(rejections::BEHIND_MAX);
        let sources = Sources::new(config.sources, &metrics, &told);
        let rejections = Rejections::new(sources.iter().cloned().collect(), told);
        let diagnostician = Diagnostician::new(config.catalogue);
        Self {
            sources,
            metrics,
            recorder: Recorder::start(rejections.clone(), diagnostician, clock.clone(), stage),
            rejections,
            keys,
            proxies: Proxies::new(config.trusted_proxies),
            peers: PeerRecord::new(config.rejections_per_peer),
            budget: BodyBudget::new(config.bodies_in_flight_max),
            body_deadlines: config.body_deadlines,
            ack_deadline: config.ack_deadline,
            waiters: Waiters::new(config.waiting_max),
            store,
            captured,
            clock,
            closed: AtomicBool::new(false),
            committing: Arc::default(),
        }
    }

    /// What was refused recently.
    #[must_use]
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// From now on every request is refused with 503.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The app will not speak any more: whoever waits for it is to come again.
    pub fn dismiss_waiting(&self) {
        self.waiters.dismiss();
    }

    /// Events that are on their way to the store.
    #[must_use]
    pub fn on_their_way(&self) -> usize {
        Arc::strong_count(&self.committing) - 1
    }

    /// Counts as one until it is dropped. A body may have taken long: the gate may be closed by now.
    fn committing(&self) -> Result<Arc<()>, Refusal> {
        let committing = Arc::clone(&self.committing);
        if self.is_open() {
            return Ok(committing);
        }
        Err(Refusal::Unavailable(Trouble::Closing))
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
                self.metrics.count_unrouted(&refusal, head.uri.path());
                take_turns(&refusal).await;
                return ack::refused(&refusal);
            }
        };
        let in_flight = self.metrics.begun(&source.metrics);
        let sender = self.metrics.tracer.sender(&head.headers);
        let result = self.take(&source, path_token, head, body).await;
        let (now, took) = (self.clock.wall(), started.elapsed());
        in_flight.answered(&result, took, now);
        if let Err(Refusal::Unavailable(Trouble::Panicked)) = &result {
            self.metrics.panics.inc(); // on a thread of its own, which no layer sees
        }
        let traced = Traced::of(&result, took, sender);
        if let Err(refusal) = &result {
            take_turns(refusal).await;
        }
        let answer = match result {
            Ok(Taken::Stored(receipt, body)) => ack::stored(&receipt, source.ack_status(), body),
            Ok(Taken::Passed(receipt, answer)) => ack::passed_on(&receipt, answer),
            Ok(Taken::Answered(reply)) => ack::challenged(reply),
            Err(refusal) if source.verifier().refuses_bare() => {
                ack::refused(&refusal).map(|_| Full::default())
            }
            Err(refusal) => ack::refused(&refusal),
        };
        if let Some(traced) = traced {
            traced.record(&self.metrics.tracer, &source, answer.status().as_u16(), now);
        }
        answer
    }

    /// Which source this is for, if the head is one that we take.
    fn route(&self, head: &Parts) -> Result<(Arc<Source>, Option<Box<str>>), Refusal> {
        strict::check(head)?;
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
        let peer = head.extensions.get::<Peer>().and_then(|peer| peer.0);
        let peer = self.proxies.sender(peer, &head.headers);
        let place = head.extensions.get::<Place>().cloned();
        let (limit, deadlines) = (source.body_bytes_max, self.body_deadlines);
        let mut share = self.budget.share(Party::of(peer));
        share.grow_by_head(&head).await?;
        if head.extensions.remove::<Unweighed>().is_some() {
            receive::let_go_of_the_buffer(&mut head);
        }
        if !self.is_open() {
            receive::discard(body).await;
            return Err(Refusal::Unavailable(Trouble::Closing));
        }
        let body = receive::body(body, limit, &mut share, deadlines).await?;
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
            headers: concealed(head.headers),
            body,
        };
        // Boxed, so that a request that waits for its body does not have room for all that follows.
        Box::pin(self.decide(source, place, received, share)).await
    }

    /// From the raw request to what becomes of it.
    async fn decide(
        &self,
        source: &Arc<Source>,
        place: Option<Place>,
        received: Received,
        share: BodyShare,
    ) -> Result<Taken, Refusal> {
        // What it waits for the app is counted from here on: a key or the disk may have taken long.
        let complete = Instant::now();
        let peer = received.peer;
        let (admission, share) = self.admit(source, received, share).await?;
        match admission {
            Admission::Event(verified, body) => {
                // Until it is answered, nobody takes its connection.
                let _at_work = place.as_ref().map(Place::verified);
                source.admit().map_err(Refusal::Limited)?;
                let on_its_way = (share, self.committing()?);
                let arrived = (peer, complete);
                self.accept(source, *verified, body, arrived, on_its_way)
                    .await
            }
            Admission::Challenge(reply) => self.challenge(source, peer, reply).map(Taken::Answered),
            Admission::Handover(handover) => {
                let reply = self.capture(source, *handover).await?;
                Ok(Taken::Answered(reply))
            }
            Admission::Confirmation(confirmation) => {
                let reply = self.confirm(source, *confirmation).await?;
                Ok(Taken::Answered(reply))
            }
            Admission::NoEvent => Err(Refusal::Method),
        }
    }

    /// From a verified event, whose request was `complete` then, to the answer that its source gives. The
    /// memory that it has while it is `on_its_way` to the disk is let go of as soon as it is there: the app
    /// may take its time, and others need the room.
    async fn accept(
        &self,
        source: &Source,
        verified: Verified,
        body: AckBody,
        (peer, complete): (Option<IpAddr>, Instant),
        on_its_way: impl Send,
    ) -> Result<Taken, Refusal> {
        let (store, name) = (&self.store, &source.name);
        let accepted = |receipt: &Receipt| {
            tracing::debug!(source = %name, event = %receipt.event_id(), kind = ?receipt.kind(), "accepted");
        };
        match source.ack {
            Ack::Stored => {
                let receipt = self.commit(source, store.accept(verified)).await?;
                accepted(&receipt);
                Ok(Taken::Stored(receipt, body))
            }
            Ack::Handled(patience) => {
                let expecting = store.accept_and_expect(verified, Awaited::Verdict);
                let (receipt, expectation) = self.commit(source, expecting).await?;
                drop(on_its_way);
                accepted(&receipt);
                let until = complete + patience;
                let waiting = self.waiters.verdict(receipt, expectation, until);
                waiting.await?;
                Ok(Taken::Stored(receipt, body))
            }
            Ack::App(patience) => {
                let expecting = store.accept_and_expect(verified, Awaited::Answer);
                let (receipt, expectation) = self.commit(source, expecting).await?;
                drop(on_its_way);
                accepted(&receipt);
                let (share, until) = (self.budget.share(Party::of(peer)), complete + patience);
                let waiting = self.waiters.answer(receipt, expectation, until, share);
                Ok(match waiting.await? {
                    Some(answer) => Taken::Passed(receipt, answer),
                    None => Taken::Stored(receipt, body),
                })
            }
        }
    }

    /// Checks the request; its share of the memory goes wherever the body goes.
    async fn admit(
        &self,
        source: &Arc<Source>,
        received: Received,
        share: BodyShare,
    ) -> Result<(Admission, BodyShare), Refusal> {
        let (verifier, now) = (source.verifier(), self.clock.wall());
        tokio::select! {
            () = check::have_keys(&verifier, &received, &self.keys) => {}
            () = share.wanted() => return Err(NoRoom.into()),
        }
        share.complete();
        if planted(Bug::DedupBeforeVerify) && seen_before(&received.body) {
            return Err(Refusal::Unverified);
        }
        let keys = self.keys.clone();
        let ask = move |received| verifier.admit(received, now, Some(&keys));
        match check::verdict(ask, received, share).await? {
            (Ok(admission), share) => {
                if let Admission::Event(verified, _) = &admission {
                    source.note_verified(verified, now);
                    if let Some(rejection) = verified.observed() {
                        let received = verified.received();
                        self.recorder.note(source, received, rejection, true);
                    }
                }
                Ok((admission, share))
            }
            (Err(refused), _) => Err(self.reject(source, &refused)),
        }
    }

    /// The refusal for a request that failed verification.
    pub(super) fn reject(&self, source: &Arc<Source>, refused: &Refused) -> Refusal {
        let charged = self.peers.charge(refused.received.peer);
        if planted(Bug::FailedSignaturesUseTheSourcesRate) {
            let _ = source.admit();
        }
        self.refuse(source, refused, charged)
    }

    /// The same once its peer has been charged.
    pub(super) fn refuse(
        &self,
        source: &Arc<Source>,
        refused: &Refused,
        charged: Result<(), Duration>,
    ) -> Refusal {
        let (received, rejection) = (&refused.received, &refused.rejection);
        source.metrics.count_rejection(rejection.reason);
        if charged.is_ok() {
            self.recorder.note(source, received, rejection, false);
        }
        match (Refusal::from(rejection.reason), charged) {
            (Refusal::Unverified, Err(wait)) => Refusal::Failing(wait),
            // Our own trouble stays that, whoever asks.
            (refusal, _) => refusal,
        }
    }

    /// Hands the event to the store. Giving up on the answer does not take the event back: a
    /// commit once submitted completes, and the sender's retry meets it as a duplicate.
    async fn commit<T>(
        &self,
        source: &Source,
        accept: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Refusal> {
        match timeout(self.ack_deadline, accept).await {
            Ok(Ok(receipt)) => Ok(receipt),
            Ok(Err(error)) => {
                source.note_unavailable(&error);
                Err(Refusal::from(&error))
            }
            Err(_) => {
                source.note_unavailable(&"the store did not answer within server.ack_deadline");
                Err(Refusal::Unavailable(Trouble::StoreSlow))
            }
        }
    }
}

/// Lets others go first: refused requests cost us as much as they cost their sender, and a connection
/// full of them must not hold a thread. A peer that keeps failing gets its answers slowly.
async fn take_turns(refusal: &Refusal) {
    if let Refusal::Failing(wait) = refusal {
        sleep(FAILING_WAITS_MAX.min(*wait)).await;
    } else {
        yield_now().await;
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        Self::Unavailable(match error {
            StoreError::Full(_) => Trouble::StoreFull,
            StoreError::Closing => Trouble::Closing,
            StoreError::Busy => Trouble::StoreSlow,
            StoreError::Unavailable(_)
            | StoreError::Owned { .. }
            | StoreError::Volatile { .. }
            | StoreError::Newer { .. }
            | StoreError::Damaged { .. }
            | StoreError::Open { .. }
            | StoreError::Fatal(_) => Trouble::Store,
        })
    }
}
