//! What the API says: wire types, apart from the domain's.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{Content as Media, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::clock::UnixMillis;
use crate::store::{Content, Page, PastAttempt, StoreError, StoredEvent, Summary};

/// What a view shows instead of a header that proves who the sender is.
const REDACTED: &str = "(not shown)";
/// Headers that carry credentials whoever the sender is.
const ALWAYS_CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A page of events.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// Newest first.
    pub events: Vec<EventSummary>,
    /// Pass it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One event in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventSummary {
    /// Our id.
    pub id: String,
    /// The source it came in on.
    pub source: String,
    /// `pending`, `delivered` or `dead`.
    pub state: String,
    /// RFC 3339.
    pub received_at: String,
    /// The sender's id.
    pub provider_event_id: Option<String>,
    /// The sender's event type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried again, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// How the last attempt ended.
    pub last_outcome: Option<String>,
    /// What the app answered last.
    pub last_status: Option<u16>,
    /// Why it is a dead letter.
    pub dead_reason: Option<String>,
    /// Size of the body.
    pub body_bytes: u64,
}

/// One event with everything known about it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventDetail {
    /// As in a list.
    #[serde(flatten)]
    pub summary: EventSummary,
    /// `whole`, `erased` or `damaged`.
    pub content: String,
    /// The request method.
    pub method: Option<String>,
    /// Path and query.
    pub target: Option<String>,
    /// The scheme that verified it.
    pub verified: Option<String>,
    /// Name and value of each header, in order.
    pub headers: Vec<(String, String)>,
    /// All attempts that are remembered, oldest first.
    pub attempts_made: Vec<AttemptView>,
    /// A person asked for its latest delivery.
    pub replay: bool,
}

/// One attempt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// 1, 2, ...
    pub number: u32,
    /// RFC 3339.
    pub at: String,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// How it ended.
    pub outcome: String,
    /// What the app answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The start of the app's answer; bytes that are not UTF-8 are replaced.
    pub answer: String,
}

/// Answer to a replay.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// Events that are due again.
    pub replayed: u64,
}

/// Answer to an erasure.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// Body and headers are gone.
    pub erased: bool,
}

/// Answer to letting go of a captured secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// Whether there was one.
    pub forgotten: bool,
}

impl From<Page> for EventList {
    fn from(page: Page) -> Self {
        let events = page.events.iter().map(EventSummary::from).collect();
        Self {
            events,
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

impl From<&Summary> for EventSummary {
    fn from(summary: &Summary) -> Self {
        Self {
            id: summary.id.to_string(),
            source: summary.source.to_string(),
            state: summary.state.as_str().to_owned(),
            received_at: summary.received_at.rfc3339(),
            provider_event_id: summary.provider_event_id.as_deref().map(ToOwned::to_owned),
            event_type: summary.event_type.as_deref().map(ToOwned::to_owned),
            attempts: summary.attempts,
            next_attempt_at: summary.next_at.map(UnixMillis::rfc3339),
            last_outcome: summary.outcome.as_deref().map(ToOwned::to_owned),
            last_status: summary.status,
            dead_reason: summary.dead_reason.map(|reason| reason.as_str().to_owned()),
            body_bytes: summary.body_bytes,
        }
    }
}

impl EventDetail {
    /// The view of an event; the values of `credential_headers` are left out.
    pub(super) fn new(event: &StoredEvent, credential_headers: &[http::HeaderName]) -> Self {
        let (content, whole) = match &event.content {
            Content::Whole(whole) => ("whole", Some(whole)),
            Content::Erased => ("erased", None),
            Content::Damaged => ("damaged", None),
        };
        let shown = |(name, value): (&str, &[u8])| {
            let hidden = ALWAYS_CREDENTIALS.contains(&name)
                || credential_headers.iter().any(|header| *header == *name);
            let value = if hidden {
                REDACTED.into()
            } else {
                String::from_utf8_lossy(value)
            };
            (name.to_owned(), value.into_owned())
        };
        Self {
            summary: EventSummary::from(&event.summary),
            content: content.to_owned(),
            method: whole.map(|event| event.method.to_string()),
            target: whole.map(|event| event.target.to_string()),
            verified: whole.map(|event| event.verified.to_string()),
            headers: whole
                .map(|event| event.headers.iter().map(shown).collect())
                .unwrap_or_default(),
            attempts_made: event.attempts.iter().map(AttemptView::from).collect(),
            replay: event.replay,
        }
    }
}

impl From<&PastAttempt> for AttemptView {
    fn from(attempt: &PastAttempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at.rfc3339(),
            took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.to_string(),
            status: attempt.status,
            error: attempt.error.as_deref().map(ToOwned::to_owned),
            answer: String::from_utf8_lossy(&attempt.answer).into_owned(),
        }
    }
}

/// What every refusal says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The refusal.
    pub error: ErrorDetail,
}

/// Why a call was refused.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs, from a closed list.
    pub code: String,
    /// For people, with the way out.
    pub message: String,
}

/// In the API's description: a refusal with this status and an [`ErrorBody`].
pub(super) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let body = Media::new(Some(Ref::from_schema_name("ErrorBody")));
        let refused = ResponseBuilder::new()
            .description(match STATUS {
                400 => "Something in the request is not as described",
                401 => "Neither a token nor a session, or a wrong one",
                403 => "From another site, for another host, or with a token for looking only",
                404 => "There is no such thing",
                409 => "Not in the state that it is in",
                410 => "It was there and is gone",
                _ => "Not at the moment",
            })
            .content("application/json", body)
            .build();
        [(STATUS.to_string(), refused.into())].into()
    }
}

/// In the API's description: how [`super::access::guard`] and [`super::access::same_site`] refuse, and
/// a gate whose store is being opened.
pub(super) struct Guarded;

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let mut refused = Refused::<401>::responses();
        refused.extend(Refused::<403>::responses());
        refused.extend(Refused::<503>::responses());
        refused
    }
}

/// [`ErrorBody`] with its status.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            error.to_string(),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message,
            },
        };
        (self.status, Json(body)).into_response()
    }
}

pub(super) async fn no_such_route() -> ApiError {
    ApiError::not_found(
        "no such route; /api/v1/openapi.json lists them, and there are /livez, /readyz and /metrics",
    )
}

pub(super) async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this route does not take this method",
    )
}
