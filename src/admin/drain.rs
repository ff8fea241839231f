//! Draining: asked for by whoever is about to stop the process, such as a preStop hook.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::view::Guarded;

/// How far a drain is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// `serving`: nobody has asked for it. `lame_duck`: events are still taken. `refusing`: new ones get
    /// 503.
    pub phase: String,
    /// Events that the app has not taken yet.
    pub pending: u64,
}

/// How far a drain is.
#[utoipa::path(get, path = "/api/v1/drain", tag = "gate", operation_id = "drain_progress",
    responses((status = 200, description = "As it stands", body = DrainView), Guarded))]
pub(super) async fn progress(State(admin): State<Arc<Admin>>) -> Json<DrainView> {
    Json(view(&admin))
}

/// Drain: no longer be ready, take events for `server.drain.accept_for` yet, then refuse them, and
/// hurry to hand over what is there. It cannot be taken back, and ends nothing.
#[utoipa::path(post, path = "/api/v1/drain", tag = "gate", operation_id = "drain",
    responses((status = 202, description = "It has begun, now or before", body = DrainView), Guarded))]
pub(super) async fn begin(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<DrainView>) {
    admin.drain.begin(&admin.stage);
    (StatusCode::ACCEPTED, Json(view(&admin)))
}

fn view(admin: &Admin) -> DrainView {
    // Those on their way first: they may be counted twice, but not missed.
    let on_their_way = u64::try_from(admin.gate.on_their_way()).unwrap_or(u64::MAX);
    let counts = admin.store.counts().sources;
    DrainView {
        phase: admin.drain.phase().as_str().to_owned(),
        pending: counts.iter().map(|source| source.pending).sum::<u64>() + on_their_way,
    }
}
