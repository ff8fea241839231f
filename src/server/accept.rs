//! Takes connections within the limits, and hands each to a task of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Service};

use super::connection::{Connection, Limits};
use super::tls::{Tls, TlsError};
use super::{Config, Peer};
use crate::net::{Listener, Stream};
use crate::planted::{Bug, planted};
use crate::shutdown::Stage;

/// How long the loop rests after an accept error such as "too many open files".
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the accept loops count.
#[derive(Clone)]
pub struct Metrics {
    connections: IntGauge,
    refused: IntCounter,
    accept_errors: IntCounter,
}

impl Metrics {
    /// Declares the families.
    #[must_use]
    pub fn new(metrics: &crate::metrics::Metrics) -> Self {
        Self {
            connections: metrics.gauge("hookgate_connections", "Open connections of senders"),
            refused: metrics.counter(
                "hookgate_connections_refused_total",
                "Connections closed because their remote address had too many",
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
    slots: Arc<Semaphore>,
    peers: Arc<Peers>,
    tls: Option<Tls>,
    stage: Stage,
    metrics: Option<Metrics>,
}

impl Server {
    /// Prepares to serve; the tasks run in `stage`.
    ///
    /// # Errors
    /// When the TLS files cannot be used.
    pub fn new(config: &Config, stage: Stage, metrics: Option<Metrics>) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        if let Some(tls) = &tls {
            stage.spawn(tls.clone().reread_until(stage.clone()));
        }
        Ok(Self {
            slots: Arc::new(Semaphore::new(config.connections_max)),
            peers: Arc::new(Peers {
                max: config.connections_per_peer_max,
                open: Mutex::default(),
            }),
            tls,
            stage,
            metrics,
        })
    }

    /// Accepts on `listener` until the stage stops; each request then goes to a clone of `service`.
    pub fn serve<S, B>(self: &Arc<Self>, listener: Listener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let server = Arc::clone(self);
        let accepting = async move {
            loop {
                let next = server.next(&listener);
                let (stream, peer, guard) = tokio::select! {
                    () = server.stage.stopping() => break,
                    next = next => next,
                };
                server.start(stream, peer, guard, service.clone());
            }
        };
        self.stage.spawn(accepting);
    }

    /// The next connection that is within the limits.
    async fn next(&self, listener: &Listener) -> (Stream, Option<IpAddr>, Guard) {
        loop {
            // The slot first: what has none waits in the system's queue, not in our memory.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return std::future::pending().await; // the semaphore is never closed
            };
            match listener.accept().await {
                Ok((stream, peer)) => match Peers::enter(&self.peers, peer) {
                    Some(entry) => return (stream, peer, self.guard(slot, entry)),
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

    fn start<S, B>(&self, stream: Stream, peer: Option<IpAddr>, guard: Guard, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let stage = self.stage.clone();
        let tls = self.tls.clone();
        let connection = async move {
            let _guard = guard;
            let connection = Connection {
                peer: Peer(peer),
                limits: Limits::DEFAULT,
                stage,
            };
            match tls {
                None => connection.serve(stream, service).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream).await {
                        connection.serve(stream, service).await;
                    }
                }
            }
        };
        drop(self.stage.spawn(boxed(connection)));
    }

    fn guard(&self, slot: OwnedSemaphorePermit, entry: Entry) -> Guard {
        let open = self
            .metrics
            .as_ref()
            .map(|metrics| metrics.connections.clone());
        if let Some(open) = &open {
            open.inc();
        }
        Guard {
            _slot: slot,
            _entry: entry,
            open,
        }
    }

    fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.metrics {
            count(metrics);
        }
    }
}

/// A connection's state is large; the task should hold a pointer to it.
fn boxed(
    connection: impl Future<Output = ()> + Send + 'static,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(connection)
}

/// What an open connection occupies.
struct Guard {
    _slot: OwnedSemaphorePermit,
    _entry: Entry,
    open: Option<IntGauge>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.dec();
        }
    }
}

/// Open connections by remote address.
struct Peers {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Peers {
    /// Counts a connection in, unless its address has too many. Unix sockets are not counted.
    fn enter(peers: &Arc<Self>, peer: Option<IpAddr>) -> Option<Entry> {
        if let Some(peer) = peer {
            let mut open = peers.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(peer).or_insert(0);
            if *count >= peers.max {
                return None;
            }
            *count += 1;
        }
        Some(Entry {
            peers: Arc::clone(peers),
            peer,
        })
    }
}

struct Entry {
    peers: Arc<Peers>,
    peer: Option<IpAddr>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut open = self
            .peers
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&peer);
            }
        }
    }
}
