//! Sources: what is configured and what came in; holding deliveries; letting go of a captured secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::view::{ApiError, Forgotten, Guarded, Refused};
use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::ingress::{CaptureError, SecretReport, SourceReport};
use crate::providers::Kind;
use crate::store::SourceCounts;

/// All sources.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceList {
    /// By name.
    pub sources: Vec<SourceView>,
}

/// One source as it stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// The name in `[sources.NAME]`.
    pub name: String,
    /// The provider's id.
    pub provider: String,
    /// The name of it that people know.
    pub title: String,
    /// Its documentation page.
    pub docs: String,
    /// Where the operator finds the secret, in a sentence.
    pub secret_hint: String,
    /// The path it is reached at; the last segment may be `{token}`.
    pub path: String,
    /// What to tell the provider, if `server.public_url` is set.
    pub public_url: Option<String>,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Deliveries are stopped.
    pub held: bool,
    /// Events that wait for the app.
    pub pending: u64,
    /// Events that the app has and that are still kept.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest pending one was received, RFC 3339.
    pub oldest_pending_at: Option<String>,
    /// How its requests ended since the start.
    pub requests: RequestCounts,
    /// When an event was last acknowledged since the start, RFC 3339.
    pub last_accepted_at: Option<String>,
    /// When a request was last refused since the start, RFC 3339.
    pub last_rejected_at: Option<String>,
    /// Its secrets by label; never the secrets.
    pub secrets: Vec<SecretView>,
    /// What to type to send it an event, if one can be signed here.
    pub send: Option<String>,
}

/// How requests ended, since the start.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RequestCounts {
    /// Events that were new.
    pub stored: u64,
    /// Repeats.
    pub duplicate: u64,
    /// Known ids with another body.
    pub conflict: u64,
    /// Handshakes.
    pub challenge: u64,
    /// Refused for what they were.
    pub rejected: u64,
    /// Refused because there were too many.
    pub limited: u64,
    /// Refused because the gate could not keep its promise.
    pub unavailable: u64,
}

/// One secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// What logs and metrics call it.
    pub label: String,
    /// Requests that it verified since the start.
    pub matched: u64,
    /// When it last did, RFC 3339.
    pub last_matched_at: Option<String>,
}

/// Whether deliveries are stopped.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// They are.
    pub held: bool,
}

/// All sources, with counts and without secrets.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", operation_id = "list_sources",
    responses((status = 200, description = "By name", body = SourceList), Guarded))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<SourceList> {
    let counts = admin.store.counts();
    let held = admin.store.held();
    let reports = admin.gate.sources().into_iter();
    let sources = reports.map(|report| {
        let is_held = held.contains(&report.name);
        let counts = counts.of(&report.name);
        let url = admin.listen_urls().find(|url| url.starts_with("http:"));
        view(report, &counts, is_held, url.as_deref())
    });
    Json(SourceList {
        sources: sources.collect(),
    })
}

fn view(report: SourceReport, counts: &SourceCounts, held: bool, url: Option<&str>) -> SourceView {
    let provider = &report.about.provider;
    let public_url = report.about.public_url.as_ref();
    SourceView {
        provider: provider.id.clone(),
        title: provider.title.clone(),
        docs: provider.docs.clone(),
        secret_hint: provider.secret.clone(),
        public_url: public_url.map(|url| format!("{}{}", url.trim_end_matches('/'), report.path)),
        mode: if report.about.observe {
            "observe"
        } else {
            "enforce"
        }
        .to_owned(),
        held,
        pending: counts.pending,
        delivered: counts.delivered,
        dead: counts.dead,
        oldest_pending_at: counts.oldest_pending_at.map(UnixMillis::rfc3339),
        requests: RequestCounts::from(&*report.requests),
        last_accepted_at: report.last_accepted_at.map(UnixMillis::rfc3339),
        last_rejected_at: report.last_rejected_at.map(UnixMillis::rfc3339),
        secrets: report.secrets.iter().map(SecretView::from).collect(),
        send: url.and_then(|url| send_line(&report, url)),
        name: report.name.to_string(),
        path: report.path.into(),
    }
}

/// `hookgate send` for this source; with a placeholder where the secret belongs.
fn send_line(report: &SourceReport, url: &str) -> Option<String> {
    let provider = &report.about.provider;
    let kind = provider
        .schemes
        .first()
        .map_or(Kind::None, |scheme| scheme.kind);
    // Only the provider itself has the private key.
    if provider.samples.is_empty() || matches!(kind, Kind::Asym | Kind::Jwt) {
        return None;
    }
    let secret = match kind {
        Kind::None => "",
        Kind::Token
        | Kind::Basic
        | Kind::Mac
        | Kind::Hash
        | Kind::Asym
        | Kind::Jwt
        | Kind::Each
        | Kind::Code => " --secret 'YOUR_SECRET'",
    };
    let (id, path) = (&provider.id, &report.path);
    Some(format!(
        "hookgate send --provider {id}{secret} --to '{url}{path}'"
    ))
}

impl From<&[(&'static str, u64)]> for RequestCounts {
    fn from(counts: &[(&'static str, u64)]) -> Self {
        let of = |label: &str| {
            let found = counts.iter().find(|(known, _)| *known == label);
            found.map_or(0, |(_, count)| *count)
        };
        Self {
            stored: of("stored"),
            duplicate: of("duplicate"),
            conflict: of("conflict"),
            challenge: of("challenge"),
            rejected: of("rejected"),
            limited: of("limited"),
            unavailable: of("unavailable"),
        }
    }
}

impl From<&SecretReport> for SecretView {
    fn from(report: &SecretReport) -> Self {
        Self {
            label: report.label.to_string(),
            matched: report.matched,
            last_matched_at: report.last_matched_at.map(UnixMillis::rfc3339),
        }
    }
}

/// The `{name}` of a route.
#[derive(IntoParams)]
#[into_params(names("name"), parameter_in = Path)]
pub(super) struct Name(
    /// Of the source.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$")]
    String,
);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name))
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))
    }
}

/// Stop handing this source's events to the app; they are taken and kept. A restart resumes.
#[utoipa::path(post, path = "/api/v1/sources/{name}/hold", tag = "sources",
    operation_id = "hold_source", params(Name),
    responses((status = 200, description = "They are held from now on", body = Held), Refused<400>, Refused<404>, Guarded))]
pub(super) async fn hold(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
) -> Result<Json<Held>, ApiError> {
    set_held(&admin, &name, true)
}

/// Resume handing this source's events to the app.
#[utoipa::path(post, path = "/api/v1/sources/{name}/release", tag = "sources",
    operation_id = "release_source", params(Name),
    responses((status = 200, description = "They are not from now on", body = Held), Refused<400>, Refused<404>, Guarded))]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
) -> Result<Json<Held>, ApiError> {
    set_held(&admin, &name, false)
}

fn set_held(admin: &Admin, name: &str, held: bool) -> Result<Json<Held>, ApiError> {
    let source = SourceName::from(name);
    // One that is no longer configured may have events yet.
    let known = |counts: &SourceCounts| counts.source == source;
    if !admin.gate.has_source(name) && !admin.store.counts().sources.iter().any(known) {
        return Err(ApiError::not_found(format!("no source {name}")));
    }
    admin.store.hold(&source, held);
    tracing::info!(%source, held, "deliveries were held or released");
    Ok(Json(Held { held }))
}

/// Let go of a captured secret: the next one that the provider hands over is taken.
///
/// The API never shows a secret: whoever may read the store's files can have it from there.
#[utoipa::path(delete, path = "/api/v1/sources/{name}/captured-secret", tag = "sources",
    operation_id = "forget_secret", params(Name),
    responses((status = 200, description = "There is none any more", body = Forgotten),
        Refused<400>, Refused<404>, Guarded))]
pub(super) async fn forget_secret(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
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
