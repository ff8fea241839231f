//! `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};

use super::Admin;
use super::view::ApiError;
use crate::metrics::Metrics;
use crate::shutdown::Stage;
use crate::store::Store;

/// Whether senders should come here; the app being down never counts.
#[derive(Clone)]
pub struct Health {
    /// The stage of whatever answers senders.
    pub intake: Stage,
}

/// The loops turn: this very answer shows it of all but the store's writer.
pub(super) async fn livez(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    match admin.store.alive() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not alive: {error}\n"),
        ),
    }
}

/// What there is while the store is opened: it lives, is not ready, and has nothing to show yet.
pub(super) fn opening(metrics: Metrics) -> Router {
    const NOT_READY: (StatusCode, &str) = (
        StatusCode::SERVICE_UNAVAILABLE,
        "not ready: the store is being opened\n",
    );
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/metrics", get(async move || text(&metrics)))
        .fallback(async |uri: Uri| match uri.path().starts_with("/api/") {
            true => {
                let message = "the store is being opened";
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "opening", message).into_response()
            }
            false => NOT_READY.into_response(),
        })
}

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Intake is open and the store takes writes.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    match problem(&admin) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(problem) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {problem}\n"),
        ),
    }
}

/// Why senders should not come here, if they should not.
pub(super) fn problem(admin: &Admin) -> Option<String> {
    admin.health.problem(&admin.store)
}

impl Health {
    /// Why senders should not come here, if they should not.
    #[must_use]
    pub fn problem(&self, store: &Store) -> Option<String> {
        if self.intake.is_stopping() {
            return Some("shutting down".to_owned());
        }
        if self.intake.is_retiring() {
            return Some("draining".to_owned());
        }
        store.writable().err().map(|error| error.to_string())
    }
}

type Text = ([(http::HeaderName, &'static str); 1], String);

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Text {
    text(&admin.metrics)
}

fn text(metrics: &Metrics) -> Text {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.text(),
    )
}
