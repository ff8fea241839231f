//! Operate: health, metrics and the API, on a listener of their own.
//!
//! On loopback or a Unix socket no token is needed, but requests that a foreign web page could
//! have caused are refused; elsewhere the API asks for the token. Health and metrics never do:
//! probes and scrapers bring none, and there is nothing secret in them.

mod access;
mod drain;
mod events;
mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod history;
mod openapi;
mod page;
mod rejections;
mod replays;
mod session;
mod sources;
mod status;
mod stream;
mod view;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::{Extension, Router};
use http::Request;
use hyper::body::Incoming;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::Semaphore;
use tower::{Service, ServiceExt as _};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use access::Tokens;
pub use drain::DrainView;
pub use health::Health;
pub use history::{History, Sample};
pub use rejections::{DiagnosisView, RejectionList, RejectionView};
pub use replays::BulkReplay;
pub use sources::{Held, RequestCounts, SecretView, SourceList, SourceView};
pub use status::{AppStatus, Status, StoreStatus};
pub use stream::{EventChange, Missed};
pub use view::{
    AttemptView, Erased, ErrorBody, ErrorDetail, EventDetail, EventList, EventSummary, Forgotten,
    Replayed,
};

use history::Samples;
use replays::BulkReplays;
use session::Sessions;

use crate::clock::{Clock, UnixMillis};
use crate::drain::Drain;
use crate::ingress::{Gate, Lines};
use crate::metrics::Metrics;
use crate::net::Address;
use crate::shutdown::Stage;
use crate::store::Store;

/// Where the admin listener is and who may use it.
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// The tokens that the API asks for.
    pub tokens: Tokens,
}

/// What the handlers work with.
pub struct Admin {
    /// Event queries and replays.
    pub store: Store,
    /// What was refused recently, and whose captured secrets can be let go of.
    pub gate: Arc<Gate>,
    /// The clock of the store's due times.
    pub clock: Clock,
    /// What `/metrics` prints.
    pub metrics: Metrics,
    /// What `/livez` and `/readyz` say.
    pub health: Health,
    /// Who gets the events.
    pub app: App,
    /// Where senders reach the gate.
    pub listen: Vec<Address>,
    /// Senders speak TLS.
    pub tls: bool,
    /// The tokens, if one is required.
    pub tokens: Tokens,
    /// Headers that carry a source's credentials, which no view shows.
    pub credential_headers: Vec<http::HeaderName>,
    /// Lets the gate drain.
    pub drain: Drain,
    /// What the listener itself keeps.
    pub kept: Kept,
    /// Everything here ends with it.
    pub stage: Stage,
}

/// What the listener keeps in memory between requests.
pub struct Kept {
    /// When it started (wall time).
    started_at: UnixMillis,
    /// Who is logged in.
    sessions: Sessions,
    failed_log_ins: Lines,
    /// The last hour.
    samples: Samples,
    /// The bulk replay that runs, or ran last.
    replays: BulkReplays,
    /// Events that were made due again, one by one,
    replayed_singly: IntCounter,
    /// and by a filter.
    replayed_by_filter: IntCounter,
    /// Places for those who follow what happens.
    streams: Arc<Semaphore>,
}

impl Kept {
    /// Nothing yet; takes samples from now on.
    #[must_use]
    pub fn start(metrics: &Metrics, clock: &Clock, stage: &Stage) -> Self {
        let replayed = metrics.counters(
            "hookgate_replays_total",
            "Events that were made due again, one by one or by a filter",
            &["trigger"],
        );
        Self {
            replayed_singly: replayed.with_label_values(&["event"]),
            replayed_by_filter: replayed.with_label_values(&["filter"]),
            started_at: clock.wall(),
            sessions: Sessions::default(),
            failed_log_ins: Lines::new(),
            samples: Samples::start(metrics.clone(), clock.clone(), stage),
            replays: BulkReplays::default(),
            streams: Arc::new(Semaphore::new(stream::STREAMS_MAX)),
        }
    }
}

impl Admin {
    /// Where senders reach the gate, as they write it.
    fn listen_urls(&self) -> impl Iterator<Item = String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.listen.iter().map(move |address| match address {
            Address::Tcp { .. } => format!("{scheme}://{address}"),
            Address::Unix(_) | Address::Passed(_) | Address::Simulated(_) => address.to_string(),
        })
    }
}

/// The receiving application.
pub struct App {
    /// Where it listens.
    pub address: Address,
    /// 1 if it accepted the last connection.
    pub up: IntGauge,
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

/// What both listeners of an open gate answer.
pub struct Routers {
    /// For operators: everything.
    pub admin: Router,
    /// For probes and scrapers: health and metrics, and nothing that anybody could change.
    pub ops: Router,
}

/// All routes.
pub fn routers(admin: Admin) -> Routers {
    let admin = Arc::new(admin);
    let ops = health::routes()
        .fallback(view::no_such_route)
        .method_not_allowed_fallback(view::wrong_method)
        .with_state(Arc::clone(&admin));
    Routers {
        admin: router(admin),
        ops,
    }
}

fn router(admin: Arc<Admin>) -> Router {
    let guarded = from_fn_with_state(Arc::clone(&admin), access::guard);
    let same_site = from_fn_with_state(Arc::clone(&admin), access::same_site);
    let (api, mut described) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(history::history))
        .routes(routes!(drain::begin, drain::progress))
        .routes(routes!(stream::stream))
        .routes(routes!(events::list))
        .routes(routes!(events::show, events::erase))
        .routes(routes!(events::body))
        .routes(routes!(events::replay))
        .routes(routes!(replays::start, replays::progress, replays::stop))
        .routes(routes!(rejections::list))
        .routes(routes!(sources::list))
        .routes(routes!(sources::hold))
        .routes(routes!(sources::release))
        .routes(routes!(sources::forget_secret))
        .routes(routes!(openapi::openapi))
        .layer(guarded) // whatever comes below is for everybody
        .routes(routes!(session::log_in, session::log_out))
        .layer(same_site)
        .split_for_parts();
    if !admin.tokens.are_required() {
        described.security = None;
    }
    let api = api.layer(Extension(Arc::new(described)));
    health::routes()
        .merge(page::routes())
        .merge(api)
        .fallback(view::no_such_route)
        .method_not_allowed_fallback(view::wrong_method)
        .with_state(admin)
}
