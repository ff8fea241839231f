//! Sources: letting go of a captured secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use super::Admin;
use super::view::{ApiError, Forgotten};
use crate::ingress::CaptureError;

/// The next secret that the provider hands over is taken then. The API never shows one: whoever
/// may read the store's files can have it from there.
pub(super) async fn forget_secret(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Forgotten>, ApiError> {
    let forgotten = admin.gate.forget_captured(&name.as_str().into()).await?;
    Ok(Json(Forgotten { forgotten }))
}

impl From<CaptureError> for ApiError {
    fn from(error: CaptureError) -> Self {
        let (status, code) = match &error {
            CaptureError::NotCaptured(_) => (StatusCode::NOT_FOUND, "not_found"),
            CaptureError::Disk { .. } | CaptureError::Unusable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
        };
        Self::new(status, code, error.to_string())
    }
}
