//! The API's description, made from the handlers and types themselves (OpenAPI 3.1).

use axum::Json;
use utoipa::OpenApi;

use super::rejections::RejectionView;
use super::stream::{EventChange, Missed};
use super::view::ErrorBody;

/// What no handler says.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "hookgate admin API",
        description = "See and steer a running gate. On loopback or a Unix socket no token is needed, but `Host` must be a name of this machine and no other site's page may call; elsewhere send `Authorization: Bearer TOKEN`, or log in with `POST /api/v1/session`.",
        license(name = "Apache-2.0"),
    ),
    // Messages of the stream, and what every refusal says: no handler returns these types.
    components(schemas(ErrorBody, EventChange, RejectionView, Missed)),
)]
pub(super) struct Description;

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "gate",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(super) async fn openapi(
    axum::Extension(described): axum::Extension<std::sync::Arc<utoipa::openapi::OpenApi>>,
) -> Json<utoipa::openapi::OpenApi> {
    Json((*described).clone())
}
