//! Receive: everything between a sender's connection and its answer.
//!
//! The order of checks is fixed: connection caps (in `server`) → head limits (in `server`) → path,
//! method, host → body size, budget and deadlines →
//! handshake or signature, timestamp, id → the source's rate → durable commit → answer.

mod ack;
mod bodies;
mod capture;
mod check;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod handshake;
mod limits;
mod metrics;
mod peer;
mod receive;
mod rejections;
mod source;
mod strict;

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
pub use source::SourceConfig;

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
        .layer(CatchPanicLayer::custom(after_panic))
        // Method, path, limits, verification, store: in this order, each step on the next's input.
        .service(tower::service_fn(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                let answer = match gate.get() {
                    Some(gate) => gate.answer(request).await,
                    None => ack::refused(&Refusal::Unavailable("starting")),
                };
                Ok::<Response<Full<bytes::Bytes>>, Infallible>(answer)
            }
        }))
}
