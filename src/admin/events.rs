//! Events: list, show, body, replay.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use serde::Deserialize;

use super::Admin;
use super::view::{ApiError, EventDetail, EventList, Replayed};
use crate::clock::UnixMillis;
use crate::event::EventId;
use crate::store::{Content, Cursor, Filter, NotACursor, State as EventState, StoredEvent};

/// Page size if none is asked for, and the largest.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 500;

/// Which events, as in the query string.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    source: Option<String>,
    state: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl ListQuery {
    /// Which events, how many, and from where on.
    pub(super) fn read(&self) -> Result<(Filter, usize, Option<Cursor>), ApiError> {
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::bad_request(format!(
                "limit is a number from 1 to {LIMIT_MAX}"
            )));
        }
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        let cursor =
            cursor.map_err(|error: NotACursor| ApiError::bad_request(error.to_string()))?;
        Ok((self.filter()?, limit, cursor))
    }

    fn filter(&self) -> Result<Filter, ApiError> {
        let state =
            match self.state.as_deref() {
                None => None,
                Some(word) => {
                    let known = EventState::ALL
                        .into_iter()
                        .find(|state| state.as_str() == word);
                    Some(known.ok_or_else(|| {
                        ApiError::bad_request("state is pending, delivered or dead")
                    })?)
                }
            };
        Ok(Filter {
            source: self.source.as_deref().map(Into::into),
            state,
            event_type: self.event_type.as_deref().map(Into::into),
            id: self.id.as_deref().map(Into::into),
            since: self.since.as_deref().map(instant).transpose()?,
            until: self.until.as_deref().map(instant).transpose()?,
        })
    }
}

fn instant(text: &str) -> Result<UnixMillis, ApiError> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    at.map(|at| UnixMillis(at.as_millisecond())).map_err(|_| {
        ApiError::bad_request("since and until are RFC 3339 instants such as 2026-01-31T12:00:00Z")
    })
}

/// The `{id}` of a route.
pub(super) struct Id(EventId);

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

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<EventList>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    let (filter, limit, cursor) = query.read()?;
    let page = admin.store.list(filter, limit, cursor).await?;
    Ok(Json(page.into()))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Id(id): Id,
) -> Result<Json<EventDetail>, ApiError> {
    let event = find(&admin, id).await?;
    Ok(Json(EventDetail::new(&event, &admin.credential_headers)))
}

/// The raw body as a download, so that no browser renders what a sender wrote.
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
    tracing::info!(event = %id, "replay asked for");
    Ok((StatusCode::ACCEPTED, Json(Replayed { replayed })))
}

async fn find(admin: &Admin, id: EventId) -> Result<StoredEvent, ApiError> {
    let found = admin.store.show(id).await?;
    found.ok_or_else(|| {
        ApiError::not_found(format!(
            "no event {id}; it may have been pruned (store.keep)"
        ))
    })
}
