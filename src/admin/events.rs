//! Events: list, show, body, replay, erase.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::filter::{Asked, Conditions, Named};
use super::view::{ApiError, Erased, EventDetail, EventList, Guarded, Refused, Replayed};
use crate::event::EventId;
use crate::store::{Content, Cursor, NotACursor, StoredEvent};

/// Page size if none is asked for, and the largest.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 500;

/// How many events, and from where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// At most this many; 50 if absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[param(pattern = "^[0-9a-f]{1,16}$")]
    cursor: Option<String>,
}

impl Named for Part {
    const NAMES: &'static [&'static str] = &["limit", "cursor"];
}

impl Part {
    /// How many, and from where on.
    pub(super) fn read(&self) -> Result<(usize, Option<Cursor>), ApiError> {
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!(
                "limit is a number from 1 to {LIMIT_MAX}"
            )));
        }
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        let cursor =
            cursor.map_err(|error: NotACursor| ApiError::bad_request(error.to_string()))?;
        Ok((limit, cursor))
    }
}

/// The `{id}` of a route.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(super) struct Id(
    /// Ours.
    #[param(value_type = String, pattern = "^evt_[0-9a-fA-F]{32}$")]
    EventId,
);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
        let id: Result<EventId, crate::event::NotAnEventId> = text.parse();
        id.map(Self)
            .map_err(|error| ApiError::bad_request(error.to_string()))
    }
}

/// List events, newest first.
///
/// A page may be short, even empty, and still have a `next`: a list of what is rare ends after a time
/// with what it has found. What is known by the provider's id is a first page of its own; `next` leads
/// to others with the same id.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events",
    params(Conditions, Part),
    responses((status = 200, description = "A page", body = EventList), Refused<400>, Guarded))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(conditions, part): Asked<Part>,
) -> Result<Json<EventList>, ApiError> {
    let (limit, cursor) = part.read()?;
    let filter = conditions.filter_with_ids(&admin.gate)?;
    let page = admin.store.list(filter, limit, cursor).await?;
    Ok(Json(page.into()))
}

/// Show one event: headers, and every attempt with what the app answered.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", operation_id = "show_event",
    params(Id),
    responses((status = 200, description = "All but its body", body = EventDetail),
        Refused<400>, Refused<404>, Guarded))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Id(id): Id,
) -> Result<Json<EventDetail>, ApiError> {
    let event = find(&admin, id).await?;
    Ok(Json(EventDetail::new(&event, &admin.credential_headers)))
}

/// The raw body, as a download: no browser renders what a sender wrote.
#[utoipa::path(get, path = "/api/v1/events/{id}/body", tag = "events", operation_id = "event_body",
    params(Id),
    responses((status = 200, description = "Byte for byte as it came", content_type = "application/octet-stream", body = [u8]),
        Refused<400>, Refused<404>, Refused<410>, Guarded))]
pub(super) async fn body(
    State(admin): State<Arc<Admin>>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let event = find(&admin, id).await?;
    let body = match event.content {
        Content::Whole(event) => event.body,
        Content::Erased => {
            return Err(ApiError::new(
                StatusCode::GONE,
                "erased",
                "the body has been erased",
            ));
        }
        Content::Damaged => {
            return Err(ApiError::new(
                StatusCode::GONE,
                "damaged",
                "the stored record is damaged and is not shown",
            ));
        }
    };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, "attachment; filename=\"body\""),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, body).into_response())
}

/// Deliver an event again, whatever became of it.
#[utoipa::path(post, path = "/api/v1/events/{id}/replay", tag = "replay", operation_id = "replay_event",
    params(Id),
    responses((status = 202, description = "It is due now", body = Replayed),
        Refused<400>, Refused<404>, Refused<409>, Guarded))]
pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Id(id): Id,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let replayed = admin.store.replay(vec![id]).await?;
    if replayed == 0 {
        // It is not there, or there is nothing left of it that could be delivered.
        let event = find(&admin, id).await?;
        let message = match event.content {
            Content::Whole(_) => "the event is under way to the app already",
            Content::Erased => "the body has been erased",
            Content::Damaged => "the stored record is damaged",
        };
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "cannot_replay",
            message,
        ));
    }
    admin.kept.replayed_singly.inc_by(replayed);
    tracing::info!(event = %id, "replay asked for");
    Ok((StatusCode::ACCEPTED, Json(Replayed { replayed })))
}

/// Erase an event's body and headers. Its id stays known, so that a repeat is not taken for new; a
/// pending one becomes a dead letter.
#[utoipa::path(delete, path = "/api/v1/events/{id}", tag = "events", operation_id = "erase_event",
    params(Id),
    responses((status = 200, description = "Nothing is left of them", body = Erased),
        Refused<400>, Refused<404>, Guarded))]
pub(super) async fn erase(
    State(admin): State<Arc<Admin>>,
    Id(id): Id,
) -> Result<Json<Erased>, ApiError> {
    if !admin.store.erase(id).await? {
        return Err(no_such_event(id));
    }
    tracing::info!(event = %id, "erased");
    Ok(Json(Erased { erased: true }))
}

async fn find(admin: &Admin, id: EventId) -> Result<StoredEvent, ApiError> {
    let found = admin.store.show(id).await?;
    found.ok_or_else(|| no_such_event(id))
}

fn no_such_event(id: EventId) -> ApiError {
    ApiError::not_found(format!(
        "no event {id}; it may have been pruned (store.keep)"
    ))
}
