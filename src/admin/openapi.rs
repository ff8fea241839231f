//! The API's description, made from the handlers and types themselves (OpenAPI 3.1).

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::rejections::RejectionView;
use super::session::COOKIE_NAME;
use super::stream::{EventChange, Missed};
use super::view::{ErrorBody, Guarded};

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
    modifiers(&Proofs),
    security(("token" = []), ("session" = [])),
)]
pub(super) struct Description;

/// How a caller proves who it is, where the gate asks for that.
struct Proofs;

impl Modify for Proofs {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let session = ApiKey::Cookie(ApiKeyValue::new(COOKIE_NAME));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    }
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "gate", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), Guarded))]
pub(super) async fn openapi(
    axum::Extension(described): axum::Extension<std::sync::Arc<utoipa::openapi::OpenApi>>,
) -> Json<utoipa::openapi::OpenApi> {
    Json((*described).clone())
}
