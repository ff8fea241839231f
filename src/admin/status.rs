//! How the gate as a whole is doing.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::access::Caller;
use super::health::problem;
use super::view::Guarded;

/// The gate as it stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// RFC 3339.
    pub started_at: String,
    /// Senders' events are taken.
    pub ready: bool,
    /// Why they are not.
    pub problem: Option<String>,
    /// Who gets the events.
    pub app: AppStatus,
    /// Where senders reach the gate.
    pub listen: Vec<String>,
    /// Where events are kept.
    pub store: StoreStatus,
    /// What this caller may do: `full` or `read`.
    pub access: String,
    /// The caller is logged in with a cookie.
    pub session: bool,
}

/// The receiving application.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// `app.url`.
    pub address: String,
    /// It accepted the last connection.
    pub up: bool,
}

/// Figures of the store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// In use on disk.
    pub used_bytes: u64,
    /// `store.bytes_max`.
    pub bytes_max: u64,
    /// Ids remembered for duplicate detection.
    pub ids: u64,
    /// Its file system keeps what it flushed.
    pub durable: bool,
    /// The file system of its directory, such as `ext4`.
    pub filesystem: String,
    /// What its directory lies on, such as `local_disk`, `empty_dir` or `unknown`: docs/durability.md says what
    /// each survives.
    pub volume: String,
    /// Damaged records found since the start.
    pub damaged: u64,
}

/// The gate as it stands.
#[utoipa::path(get, path = "/api/v1/status", tag = "gate", operation_id = "status",
    responses((status = 200, description = "As it stands", body = Status), Guarded))]
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Json<Status> {
    let stats = admin.store.stats();
    let problem = problem(&admin);
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: admin.kept.started_at.rfc3339(),
        ready: problem.is_none(),
        problem,
        app: AppStatus {
            address: admin.app.address.to_string(),
            up: admin.app.up.get() == 1,
        },
        listen: admin.listen_urls().collect(),
        store: StoreStatus {
            used_bytes: stats.used_bytes,
            bytes_max: stats.bytes_max,
            ids: stats.ids,
            durable: stats.durable,
            filesystem: admin.store.volume().filesystem().to_owned(),
            volume: admin.store.volume().kind().as_str().to_owned(),
            damaged: stats.damaged,
        },
        access: caller.access.as_str().to_owned(),
        session: caller.session.is_some(),
    })
}
