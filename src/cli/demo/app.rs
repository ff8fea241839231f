//! The app of the demo: what a user's own app would be. It verifies the sender's signature once
//! more, to show that nothing was changed on the way, and fails when a header asks it to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::super::Failure;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::event::{Received, SourceName};
use crate::net::Address;
use crate::server::{Config, Server};
use crate::shutdown::Stage;
use crate::verify::Verifier;

/// A request with this header fails in its first attempt.
pub(super) const FAIL_ONCE: &str = "x-demo-fail-once";

/// A request that reached the app.
pub(super) struct Delivery {
    pub(super) event_id: String,
    pub(super) attempt: String,
    pub(super) status: StatusCode,
    /// Whether the sender's own signature verified here too.
    pub(super) signature_holds: bool,
}

struct App {
    verifiers: HashMap<SourceName, Arc<Verifier>>,
    deliveries: mpsc::Sender<Delivery>,
    clock: Clock,
}

/// Listens on `address` until the stage stops.
pub(super) async fn start(
    address: &Address,
    verifiers: HashMap<SourceName, Arc<Verifier>>,
    deliveries: mpsc::Sender<Delivery>,
    stage: &Stage,
) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::Failed(format!("cannot start the demo app: {error}"))
    };
    let listener = address.bind().await.map_err(|error| cannot(&error))?;
    let config = Config {
        connections_max: 256,
        connections_per_peer_max: 256,
        trusted_proxies: Vec::new(),
        tls: None,
    };
    let server = Arc::new(
        Server::new(&config, stage.clone(), Entropy::system(), None)
            .map_err(|error| cannot(&error))?,
    );
    let app = Arc::new(App {
        verifiers,
        deliveries,
        clock: Clock::real(),
    });
    let service = tower::service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(app.take(request).await) }
    });
    server.serve(listener, service);
    Ok(())
}

impl App {
    async fn take(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut response = Response::new(Full::default());
        let Ok(body) = body.collect().await else {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        };
        let text = |name: &str| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let attempt = text("hookgate-attempt");
        if head.headers.contains_key(FAIL_ONCE) && attempt == "1" {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let source = text("hookgate-source");
        let target = head
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let delivery = Delivery {
            event_id: text("hookgate-event-id"),
            attempt,
            status: response.status(),
            signature_holds: self.verifies(&source, target, head.headers, body.to_bytes()),
        };
        // The story may have ended; the app goes on answering.
        let _ = self.deliveries.try_send(delivery);
        response
    }

    fn verifies(&self, source: &str, target: &str, headers: HeaderMap, body: Bytes) -> bool {
        let Some(verifier) = self.verifiers.get(&SourceName::from(source)) else {
            return false;
        };
        let now = self.clock.wall();
        let received = Received {
            received_at: now,
            peer: None,
            method: http::Method::POST,
            target: target.into(),
            path_token: None,
            headers,
            body,
        };
        verifier.verify(received, now).is_ok()
    }
}
