//! Operate: health, metrics and the API, on a listener of their own.
//!
//! On loopback or a Unix socket no token is needed, but requests that a foreign web page could
//! have caused are refused; elsewhere the API asks for the token. Health and metrics never do:
//! probes and scrapers bring none, and there is nothing secret in them.

mod access;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod page;
mod rejections;
mod sources;
mod view;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::Request;
use hyper::body::Incoming;
use tower::{Service, ServiceExt as _};

pub use health::Health;
pub use rejections::{DiagnosisView, RejectionList, RejectionView};
pub use view::{AttemptView, EventDetail, EventList, EventSummary, Forgotten, Replayed};

use crate::clock::Clock;
use crate::ingress::Gate;
use crate::metrics::Metrics;
use crate::net::Address;
use crate::secret::Secret;
use crate::store::Store;

/// Where the admin listener is and who may use it.
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// The token that the API asks for; always set when an address can be reached from outside.
    pub token: Option<Secret>,
}

/// What the handlers work with.
pub struct Admin {
    /// Event queries and replays.
    pub store: Store,
    /// The clock of the store's due times.
    pub clock: Clock,
    /// What `/metrics` prints.
    pub metrics: Metrics,
    /// What `/livez` and `/readyz` say.
    pub health: Health,
    /// The token, if one is required.
    pub token: Option<Secret>,
    /// Headers that carry a source's credentials, which no view shows.
    pub credential_headers: Vec<http::HeaderName>,
    /// What was refused recently, and whose captured secrets can be let go of.
    pub gate: Arc<Gate>,
}

/// All routes once the store is open; until then health and metrics.
pub fn when_open(
    routes: Arc<OnceLock<Router>>,
    metrics: Metrics,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let opening = health::opening(metrics);
    tower::service_fn(move |request| {
        let router = routes.get().unwrap_or(&opening).clone();
        router.oneshot(request)
    })
}

/// All routes.
pub fn router(admin: Admin) -> Router {
    let admin = Arc::new(admin);
    let api = Router::new()
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/{id}", get(events::show))
        .route("/api/v1/events/{id}/body", get(events::body))
        .route("/api/v1/events/{id}/replay", post(events::replay))
        .route(
            "/api/v1/sources/{name}/captured-secret",
            delete(sources::forget_secret),
        )
        .route("/api/v1/rejections", get(rejections::list))
        .layer(from_fn_with_state(Arc::clone(&admin), access::check));
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(page::routes())
        .merge(api)
        .fallback(view::no_such_route)
        .method_not_allowed_fallback(view::wrong_method)
        .with_state(admin)
}
