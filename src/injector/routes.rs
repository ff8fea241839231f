//! What an API server, a probe and a scraper can ask.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use tower::{BoxError, Service, ServiceExt as _};

use super::events::Events;
use super::metrics;
use crate::kubernetes::defaults::Defaults;
use crate::kubernetes::review::{Reviewed, review};
use crate::metrics::Metrics;
use crate::shutdown::Stage;

/// No pod that can be stored is larger: etcd takes 1.5 MiB.
const BODY_MAX: usize = 2 << 20;
/// Parts of a review; each takes about a hundred bytes of memory once it is parsed, and real pods have a thousand.
const COMMAS_MAX: usize = 100_000;
/// Reviews whose bodies are in memory.
const AT_ONCE: usize = 16;
/// An API server sends its review at once, and waits five seconds for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What reviews are answered with.
pub(super) struct Work {
    pub(super) defaults: Defaults,
    pub(super) minor: Arc<AtomicU32>,
    pub(super) metrics: metrics::Metrics,
    events: Option<Events>,
    turns: Semaphore,
}

impl Work {
    pub(super) fn new(
        defaults: Defaults,
        minor: Arc<AtomicU32>,
        metrics: metrics::Metrics,
        events: Option<Events>,
    ) -> Self {
        Self {
            defaults,
            minor,
            metrics,
            events,
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl Work {
    /// A turn, and the body. Who has sent nothing yet has no turn to keep from others.
    async fn read(&self, mut body: Body) -> (Option<SemaphorePermit<'_>>, Result<Bytes, BoxError>) {
        let first = match body.frame().await {
            None => return (None, Ok(Bytes::new())),
            Some(Err(error)) => return (None, Err(error.into())),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let turn = self.turns.acquire().await.ok();
        let rest = Limited::new(body, BODY_MAX.saturating_sub(first.len()));
        let rest = rest
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let whole = rest.map(|rest| match rest.is_empty() {
            true => first,
            false => [first, rest].concat().into(),
        });
        (turn, whole)
    }
}

/// What a [`crate::server::Server`] serves.
pub(super) trait Routes:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Routes for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

fn served(router: Router) -> impl Routes {
    tower::service_fn(move |request: Request<Incoming>| router.clone().oneshot(request))
}

/// The webhook itself.
pub(super) fn reviews(work: Arc<Work>) -> impl Routes {
    served(
        Router::new()
            .route("/inject", post(answer))
            .with_state(work),
    )
}

type Answer = (StatusCode, [(HeaderName, &'static str); 1], String);

async fn answer(State(work): State<Arc<Work>>, request: Request<Body>) -> Answer {
    let refuse = |status, why: String| {
        work.metrics.refuse();
        tracing::warn!(%status, why, "a request was no review");
        (
            status,
            [(CONTENT_TYPE, "text/plain; charset=utf-8")],
            why + "\n",
        )
    };
    let Ok((_turn, body)) = timeout(PATIENCE, work.read(request.into_body())).await else {
        let why = format!("no whole review within {PATIENCE:?}");
        return refuse(StatusCode::REQUEST_TIMEOUT, why);
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
    };
    if body.iter().filter(|byte| **byte == b',').count() > COMMAS_MAX {
        let why = format!("a review of more than {COMMAS_MAX} parts");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, why);
    }
    let begun = Instant::now();
    let reviewed = match review(&body, &work.defaults, work.minor.load(Relaxed)) {
        Ok(reviewed) => reviewed,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    work.metrics.seconds.observe(begun.elapsed().as_secs_f64());
    work.metrics.count(&reviewed.outcome);
    log(&reviewed);
    if let Some(events) = &work.events {
        events.tell(&reviewed);
    }
    let headers = [(CONTENT_TYPE, "application/json")];
    (StatusCode::OK, headers, reviewed.body)
}

fn log(reviewed: &Reviewed) {
    let (namespace, pod, dry_run) = (&reviewed.namespace, &reviewed.pod, reviewed.is_dry_run);
    match &reviewed.outcome {
        Ok(_) => tracing::info!(%namespace, %pod, dry_run, "injected"),
        Err(skip) if skip.reason.is_intended() => {
            tracing::debug!(%namespace, %pod, dry_run, reason = skip.reason.name(), "left as it is");
        }
        Err(skip) if skip.reason.has_gate() => {
            tracing::warn!(%namespace, %pod, dry_run, reason = skip.reason.name(), "{skip}");
        }
        Err(skip) => {
            tracing::warn!(%namespace, %pod, dry_run, reason = skip.reason.name(), "not injected: {skip}");
        }
    }
}

/// Health and metrics.
pub(super) fn ops(metrics: Metrics, reviews: Stage) -> impl Routes {
    let ready = move || {
        let is_ready = !reviews.is_retiring() && !reviews.is_stopping();
        async move {
            match is_ready {
                true => (StatusCode::OK, "ok\n"),
                false => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not ready: shutting down\n",
                ),
            }
        }
    };
    let text = async move || {
        let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (headers, metrics.text())
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(text));
    served(router)
}
