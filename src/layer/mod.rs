//! Verification inside an app, as a tower layer: for those who want no sidecar.
//!
//! The checks are the sidecar's: the same provider files, the same rules for raw bytes, timestamps
//! and secrets. A request that passes comes to the app with its body as it was sent, and with an
//! [`Arc<Verified>`](Verified) among its extensions. One that does not is answered as the sidecar
//! answers it: 401 without the reason, 405 to anything but POST, 413 for a body that is too large,
//! 408 for one that is too slow, 400 for one that breaks off, 503 while too many are under way.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::body::Bytes;
//! use axum::routing::post;
//! use axum::{Extension, Router};
//! use hookgate::{Verified, Webhooks};
//!
//! async fn paid(Extension(event): Extension<Arc<Verified>>, body: Bytes) -> String {
//!     let kind = event.event_type().unwrap_or("an event");
//!     format!("{kind} in {} bytes", body.len())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stripe = Webhooks::provider("stripe")
//!     .secret("whsec_from_your_dashboard")
//!     .build()?; // all faults at once
//! let app = Router::new().route("/webhooks/stripe", post(paid).layer(stripe.layer()));
//! #
//! # use hookgate::verify::{sign, Unsigned};
//! # use tower::ServiceExt as _;
//! # let mut signed = Unsigned {
//! #     method: http::Method::POST,
//! #     url: "/webhooks/stripe".to_owned(),
//! #     headers: Vec::new(),
//! #     body: br#"{"id": "evt_1", "type": "invoice.paid"}"#.as_slice().into(),
//! # };
//! # let provider = hookgate::providers::Catalogue::embedded().get("stripe").ok_or("stripe")?;
//! # let secret = hookgate::secret::Secret::new("secret", "whsec_from_your_dashboard");
//! # let now = hookgate::clock::Clock::real().wall();
//! # sign(&provider, None, &secret, &Default::default(), &mut signed, now, "evt_1")?;
//! # let mut request = http::Request::post(&signed.url);
//! # for (name, value) in &signed.headers {
//! #     request = request.header(name, value);
//! # }
//! # let answer = app.clone().oneshot(request.body(axum::body::Body::from(signed.body))?).await?;
//! # let body = axum::body::to_bytes(answer.into_body(), 100).await?;
//! # assert_eq!(body, "invoice.paid in 39 bytes");
//! # let forged = http::Request::post("/webhooks/stripe").body(axum::body::Body::empty())?;
//! # assert_eq!(app.oneshot(forged).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! What the sidecar does behind verification is the app's own here: keeping the event through a
//! crash, telling repeats (by [`Verified::dedup_id`]), retrying. Answer a success only when the work
//! is done or written down.
//!
//! Put the layer around the webhook's routes only: everything it wraps has to be signed. It keeps
//! the bytes; trailers are dropped, since nothing signs them. Where a scheme signs the URL, the one
//! that the sender wrote counts, also in a router that axum nests. axum's own limit for extractors
//! is 2 MB: for larger bodies take [`Verified::body`], which is the same bytes, or set its
//! `DefaultBodyLimit`.
//!
//! In a plain hyper server, `hyper_util::service::TowerToHyperService` makes a hyper service of a
//! [`Verify`]. Where the next layer of a `ServiceBuilder` insists on axum's own body type, put
//! `map_request(|request: Request<Full<Bytes>>| request.map(Body::new))` between the two.

mod builder;
mod service;

pub use builder::{SetupError, WebhooksBuilder};
pub use service::{Verify, VerifyLayer};

use std::fmt;
use std::sync::Arc;

use axum::extract::OriginalUri;
use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body::Body;
use http_body_util::Full;

use crate::clock::Clock;
use crate::event::{Received, SourceName, concealed};
use crate::ingress::{self, BodyBudget, BodyDeadlines, BodyShare, Lines, Refusal};
use crate::providers::Provider;
use crate::verify::{Rejection, Verified, Verifier};

/// Verifies the webhooks of one provider; cheap to clone, and all clones share its limits.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    source: SourceName,
    verifier: Arc<Verifier>,
    /// The scheme looks at the last segment of the path.
    path_token: bool,
    body_bytes_max: usize,
    body_deadlines: BodyDeadlines,
    budget: BodyBudget,
    clock: Clock,
    rejection_lines: Lines,
    on_reject: Option<OnReject>,
}

type OnReject = Box<dyn Fn(&Rejection) + Send + Sync>;

impl Webhooks {
    /// Webhooks of a provider that hookgate knows, such as `stripe`; `hookgate providers` lists them,
    /// and `hmac` fits any HMAC signature.
    pub fn provider(id: &str) -> WebhooksBuilder {
        WebhooksBuilder::known(id)
    }

    /// Webhooks of a provider that you describe yourself: see [`Provider::from_toml`] and
    /// [`providers`](crate::providers).
    pub fn custom(provider: Provider) -> WebhooksBuilder {
        WebhooksBuilder::new(provider)
    }

    /// A layer that lets verified requests through.
    #[must_use]
    pub fn layer(&self) -> VerifyLayer {
        VerifyLayer::new(self.clone())
    }

    /// Checks a request whose body has been read already, where there is no tower.
    ///
    /// # Errors
    /// Why it is refused: for the operator, not for the sender.
    pub fn verify(&self, request: &Request<Bytes>) -> Result<Verified, Rejection> {
        let (mut head, body) = request.clone().into_parts();
        ingress::name_host(&mut head);
        let received = self.received(&head, body);
        let now = received.received_at;
        self.0.verifier.verify(received, now)
    }

    /// The request for the app, with its evidence and with the share of the memory that it occupies.
    async fn admit<B: Body>(
        &self,
        request: Request<B>,
    ) -> Result<(Request<Full<Bytes>>, BodyShare), Refusal> {
        let shared = &*self.0;
        let (mut head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let (limit, deadlines) = (shared.body_bytes_max, shared.body_deadlines);
        // Who the peer is, only the server around it knows.
        let mut share = shared.budget.share(None);
        let body = ingress::read_body(body, limit, &mut share, deadlines).await?;
        share.complete();
        ingress::name_host(&mut head);
        let received = self.received(&head, body.clone());
        let now = received.received_at;
        let verifier = Arc::clone(&shared.verifier);
        let ask = move |received| verifier.verify(received, now);
        match ingress::verdict(ask, received, share).await? {
            (Ok(verified), share) => {
                head.extensions.insert(Arc::new(verified));
                Ok((Request::from_parts(head, Full::new(body)), share))
            }
            (Err(rejection), _) => {
                self.note(&rejection);
                Err(Refusal::from(rejection.reason))
            }
        }
    }

    /// The request as the verifier wants it: a list of headers of its own, but the same bytes.
    fn received(&self, head: &Parts, body: Bytes) -> Received {
        // A router that nests others shows them less than what the sender wrote.
        let uri = match head.extensions.get::<OriginalUri>() {
            Some(original) => &original.0,
            None => &head.uri,
        };
        let last_segment = uri.path().rsplit_once('/').map(|(_, last)| last.into());
        Received {
            received_at: self.0.clock.wall(),
            peer: None,
            method: head.method.clone(),
            target: uri
                .path_and_query()
                .map_or("/", PathAndQuery::as_str)
                .into(),
            path_token: last_segment.filter(|_| self.0.path_token),
            headers: concealed(head.headers.clone()),
            body,
        }
    }

    fn note(&self, rejection: &Rejection) {
        let Shared { source, .. } = &*self.0;
        self.0.rejection_lines.write(|unlogged| {
            tracing::warn!(%source, reason = rejection.reason.as_str(), detail = %rejection.detail,
                unlogged, "rejected");
        });
        if let Some(on_reject) = &self.0.on_reject {
            on_reject(rejection);
        }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhooks").field(&self.0.source).finish()
    }
}
