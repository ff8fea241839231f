//! Receive: everything between a sender's connection and its answer.
//!
//! The order of checks is fixed: connection caps (in `server`) → head limits (in `server`) → path,
//! method, host → body size, budget and deadlines →
//! handshake or signature, timestamp, id → the source's rate → durable commit → answer.

mod ack;
mod app;
mod bodies;
mod capture;
mod check;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod handshake;
mod limits;
mod metrics;
mod outcome;
mod peer;
mod receive;
mod refusals;
mod rejections;
mod report;
mod source;
mod strict;
mod traced;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ipnet::IpNet;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};

use crate::providers::Catalogue;

pub use ack::after_panic;
pub use capture::CaptureError;
pub use gate::Gate;
pub use limits::Rate;
pub use metrics::Metrics;
pub use receive::BodyDeadlines;
pub use rejections::{Finding, Record, RejectionFilter, Rejections};
pub use report::{SecretReport, SourceReport};
pub use source::{About, Ack, SourceConfig};

// The parts that verification inside an app shares.
pub(crate) use ack::{Refusal, refused};
pub(crate) use bodies::{BodyBudget, BodyShare};
pub(crate) use check::verdict;
pub(crate) use receive::body as read_body;
pub(crate) use source::Lines;
pub(crate) use strict::name_host;

/// The id of one request: in the answer and in the log, never in what the app gets.
const REQUEST_ID: HeaderName = HeaderName::from_static("hookgate-request-id");

/// How requests are received.
pub struct Config {
    /// No sender waits longer for the store.
    pub ack_deadline: Duration,
    /// Senders that may wait for the app at once, where a source lets them.
    pub waiting_max: usize,
    /// How long a body may take.
    pub body_deadlines: BodyDeadlines,
    /// Memory for bodies being read or stored, in bytes.
    pub bodies_in_flight_max: usize,
    /// Failed verifications of one remote address that get their own answer and log line.
    pub rejections_per_peer: Option<Rate>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The inbound endpoints.
    pub sources: Vec<SourceConfig>,
    /// The providers that a rejected request is compared with.
    pub catalogue: Catalogue,
}

/// The request path, outermost layer first. Until there is a gate, senders are asked to come again.
pub fn stack(
    gate: Arc<OnceLock<Arc<Gate>>>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let counted = Arc::clone(&gate);
    let count = move || {
        if let Some(gate) = counted.get() {
            gate.metrics.panics.inc();
        }
    };
    // Method, path, limits, verification, store: in this order, each step on the next's input.
    around(count, move |request| {
        let gate = Arc::clone(&gate);
        async move {
            match gate.get() {
                Some(gate) => gate.answer(request).await,
                None => {
                    let (head, body) = request.into_parts();
                    drop(head); // it is in nobody's count
                    receive::discard(body).await;
                    ack::refused(&Refusal::Unavailable(ack::Trouble::Starting))
                }
            }
        }
    })
}

/// What lies around the gate.
fn around<F, A>(
    count_panic: impl Fn() + Clone + Send + 'static,
    answer: F,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<bytes::Bytes>>> + Send + 'static,
{
    ServiceBuilder::new()
        // First, so that a sender cannot choose our request id: `Hookgate-*` is ours alone.
        .map_request(strict::without_pretended_headers)
        // Before everything that may answer, so that every answer can be found in the log.
        .layer(SetRequestIdLayer::new(
            REQUEST_ID,
            ack::RequestIds::default(),
        ))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        // Innermost but one: a panic becomes a 500 with its id, and the connection lives on.
        .layer(CatchPanicLayer::custom(move |panic| {
            count_panic();
            after_panic(panic)
        }))
        .service(tower::service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        }))
}

#[cfg(test)]
mod tests {
    use hyper::server::conn::http1;
    use hyper_util::rt::TokioIo;
    use hyper_util::service::TowerToHyperService;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::shutdown::Stage;

    #[tokio::test]
    async fn a_panic_is_a_500_that_is_counted_and_the_connection_lives_on() {
        let panics = crate::metrics::Metrics::new().counter("hookgate_panics_total", "x");
        let counter = panics.clone();
        let service = around(
            move || counter.inc(),
            |request| async move {
                assert_ne!(request.uri().path(), "/panic");
                Response::default()
            },
        );
        let (mut sender, gate) = tokio::io::duplex(64 * 1024);
        let service = TowerToHyperService::new(service);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(gate), service);
        let served = Stage::default().spawn(connection);

        for (path, status) in [("/panic", "500"), ("/", "200"), ("/panic", "500")] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            sender.write_all(request.as_bytes()).await.unwrap();
            let mut answer = vec![0; 1000];
            let length = sender.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }

        assert_eq!(panics.get(), 2);
        drop(sender);
        served.await.unwrap().unwrap();
    }
}
