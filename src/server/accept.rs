//! Takes connections within the limits, and hands each to a task of its own.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus::{IntCounter, IntGauge};
use tower::{BoxError, Service};

use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, Limits};
use super::handler::{Handler, Socket};
use super::linger::{EMPTYING, Linger};
use super::slots::{Slot, Slots};
use super::tls::{Tls, TlsError, TlsMetrics};
use super::turns::Turns;
use super::{Config, Peer};
use crate::entropy::Entropy;
use crate::net::{Listener, Stream};
use crate::planted::{Bug, planted};
use crate::shutdown::Stage;

/// How long the loop rests after an accept error such as "too many open files".
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// At the end: no more than these are taken from the system's queue,
const QUEUED_MAX: usize = 256;
/// which is empty if nothing has come out of it for so long.
const QUEUE_IS_EMPTY: Duration = Duration::from_millis(2);

/// What the accept loops count.
#[derive(Clone)]
pub struct Metrics {
    connections: IntGauge,
    connections_max: IntGauge,
    refused: IntCounter,
    crowded_out: IntCounter,
    accept_errors: IntCounter,
    /// For what there is with TLS only.
    registry: crate::metrics::Metrics,
}

impl Metrics {
    /// Declares the families.
    #[must_use]
    pub fn new(metrics: &crate::metrics::Metrics) -> Self {
        Self {
            connections: metrics.gauge("hookgate_connections", "Open connections of senders"),
            connections_max: metrics.gauge(
                "hookgate_connections_max",
                "Connections of senders that may be open at once (server.connections_max)",
            ),
            registry: metrics.clone(),
            refused: metrics.counter(
                "hookgate_connections_refused_total",
                "Connections closed because their remote address had too many",
            ),
            crowded_out: metrics.counter(
                "hookgate_connections_crowded_out_total",
                "Connections without a verified request that were closed to make room for new ones",
            ),
            accept_errors: metrics.counter(
                "hookgate_accept_errors_total",
                "Failures to accept a connection, such as too many open files",
            ),
        }
    }
}

/// Serves one service on any number of listeners.
pub struct Server {
    slots: Arc<Slots>,
    tls: Option<Tls>,
    stage: Stage,
    linger: Linger,
    entropy: Entropy,
    metrics: Option<Metrics>,
    heads_are_counted: bool,
}

impl Server {
    /// Prepares to serve; the tasks run in `stage`.
    ///
    /// # Errors
    /// When the TLS files cannot be used.
    pub fn new(
        config: &Config,
        stage: Stage,
        entropy: Entropy,
        metrics: Option<Metrics>,
    ) -> Result<Self, TlsError> {
        if let Some(metrics) = &metrics {
            let max = i64::try_from(config.connections_max);
            metrics.connections_max.set(max.unwrap_or(i64::MAX));
        }
        let load = |files| {
            let registry = metrics.as_ref().map(|metrics| &metrics.registry);
            Tls::load(files, registry.map(TlsMetrics::new))
        };
        let tls = config.tls.as_ref().map(load).transpose()?;
        if let Some(tls) = &tls {
            stage.spawn(tls.clone().reread_until(stage.clone()));
        }
        Ok(Self {
            slots: Slots::new(
                config.connections_max,
                config.connections_per_peer_max,
                config.trusted_proxies.clone(),
            ),
            tls,
            linger: Linger::start(&stage),
            stage,
            entropy,
            metrics,
            heads_are_counted: false,
        })
    }

    /// For a service that takes [`super::Unweighed`] out of each request once it has counted its head, and
    /// before it reads the body.
    #[must_use]
    pub fn with_counted_heads(self) -> Self {
        Self {
            heads_are_counted: true,
            ..self
        }
    }

    /// Accepts on `listener` until a moment after the stage was told to stop; each request then goes to a clone of `service`.
    ///
    /// A socket that somebody else holds open is left at once: who is in its queue waits for the next process.
    pub fn serve<S, B>(self: &Arc<Self>, listener: Listener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let handler = Handler::new(service);
        let server = Arc::clone(self);
        let accepting = async move {
            loop {
                let next = server.next(&listener);
                let (stream, peer, guard) = tokio::select! {
                    biased;
                    () = server.stage.stopping(), if listener.is_passed() => return,
                    () = server.linger.closing() => break,
                    next = next => next,
                };
                server.start(stream, peer, guard, handler.clone());
            }
            // What is left in the system's queue would be reset.
            let end = Instant::now() + EMPTYING;
            for _ in 0..QUEUED_MAX {
                let empty = end.min(Instant::now() + QUEUE_IS_EMPTY);
                let next = timeout_at(empty, server.next(&listener)).await;
                let Ok((stream, peer, guard)) = next else {
                    break;
                };
                server.start(stream, peer, guard, handler.clone());
            }
        };
        self.stage.spawn(accepting);
    }

    /// The next connection that is within the limits. While it waits for a slot, those behind it
    /// wait in the system's queue, not in our memory.
    async fn next(&self, listener: &Listener) -> (Stream, Option<IpAddr>, Guard) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.slot(peer).await {
                    Some(slot) => return (stream, peer, self.guard(slot)),
                    None => self.count(|metrics| metrics.refused.inc()),
                },
                // The client took its connection back before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.count(|metrics| metrics.accept_errors.inc());
                    tracing::warn!(%error, "cannot accept a connection");
                    if planted(Bug::AcceptErrorIsFinal) {
                        return std::future::pending().await;
                    }
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// A slot for a connection of this peer, unless it has too many.
    async fn slot(&self, peer: Option<IpAddr>) -> Option<Slot> {
        let entry = self.slots.enter(peer)?;
        self.slots.take(entry).await
    }

    fn start(&self, stream: Stream, peer: Option<IpAddr>, guard: Guard, handler: Handler) {
        let tls = self.tls.clone();
        let place = guard.slot.place();
        let connection = Connection {
            peer: Peer(peer),
            place: place.clone(),
            slots: Arc::clone(&self.slots),
            limits: Limits::DEFAULT,
            stage: self.stage.clone(),
            linger: self.linger.clone(),
            entropy: self.entropy.clone(),
            heads_are_counted: self.heads_are_counted,
        };
        let stream = Turns::new(stream, place.clone());
        // Boxed, so that its task does not have room for it twice.
        let serving = Box::pin(async move {
            let socket = match tls {
                None => Socket::Left(stream),
                Some(tls) => {
                    let accepted = tokio::select! {
                        biased;
                        // Boxed, so that connections without TLS do not have room for it.
                        accepted = Box::pin(tls.accept(stream)) => accepted,
                        () = connection.linger.over_and_a_round_trip() => return,
                    };
                    match accepted {
                        Some(stream) => Socket::Right(Box::new(stream)),
                        None => return,
                    }
                }
            };
            connection.serve(socket, handler).await;
        });
        let metrics = self.metrics.clone();
        let connection = async move {
            let _guard = guard;
            let mut serving = serving; // which goes first: the slot is what it occupies
            tokio::select! {
                () = &mut serving => {}
                () = place.wanted() => if let Some(metrics) = metrics {
                    metrics.crowded_out.inc();
                },
            }
        };
        drop(self.stage.spawn(connection));
    }

    fn guard(&self, slot: Slot) -> Guard {
        let open = self
            .metrics
            .as_ref()
            .map(|metrics| metrics.connections.clone());
        if let Some(open) = &open {
            open.inc();
        }
        Guard { slot, open }
    }

    fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.metrics {
            count(metrics);
        }
    }
}

/// What an open connection occupies, and its count.
struct Guard {
    slot: Slot,
    open: Option<IntGauge>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.dec();
        }
    }
}
