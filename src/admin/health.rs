//! `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::Admin;
use crate::shutdown::Stage;

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

/// Intake is open and the store takes writes.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    if admin.health.intake.is_stopping() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: shutting down\n".to_owned(),
        );
    }
    match admin.store.writable() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {error}\n"),
        ),
    }
}

pub(super) async fn metrics(
    State(admin): State<Arc<Admin>>,
) -> ([(http::HeaderName, &'static str); 1], String) {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        admin.metrics.text(),
    )
}
