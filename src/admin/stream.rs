//! The live tail: what happens, as server-sent events (WHATWG HTML section 9.2).
//!
//! Whoever reads too slowly misses some and is told how many; the gate never waits for a reader.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::access::Caller;
use super::filter::bad_query;
use super::rejections::RejectionView;
use super::view::{ApiError, EventSummary, Guarded, Refused};
use crate::event::EventId;
use crate::ingress::Record;
use crate::store::{Change, Filter, State as EventState, Store, Summary};

/// Tails at the same time.
pub(super) const STREAMS_MAX: usize = 16;
/// A comment this often tells the reader, and whatever lies between, that the line is up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What happened to an event, in a message of kind `event`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventChange {
    /// The event as it stands.
    #[serde(flatten)]
    pub event: EventSummary,
    /// `stored`, `delivered`, `retry`, `dead`, `replayed` or `erased`.
    pub change: String,
}

/// How much a slow reader missed, in a message of kind `missed`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// Messages that were left out.
    pub missed: u64,
}

/// Which of what happens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only of this source.
    source: Option<String>,
    /// `false` leaves out what was refused.
    rejections: Option<bool>,
}

/// Follow what happens, from now on. It ends with the session with which it was asked for.
///
/// Messages of kind `event` hold an EventChange, `rejection` a RejectionView, `missed` a Missed: fetch
/// the list again then, as after a reconnection.
#[utoipa::path(get, path = "/api/v1/stream", tag = "gate", operation_id = "stream", params(StreamQuery),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        Refused<400>, Guarded))]
pub(super) async fn stream(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<StreamQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let place = Arc::clone(&admin.kept.streams).try_acquire_owned();
    let place = place.map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            format!("{STREAMS_MAX} readers follow already; close one of them"),
        )
    })?;
    let tail = Tail {
        changes: admin.store.watch(),
        rejections: admin.gate.rejections().watch(),
        source: query.source,
        with_rejections: query.rejections != Some(false),
        admin,
        _place: place,
    };
    let messages = unfold(tail, async |mut tail| {
        let message = tail.next().await?;
        Some((Ok(message), tail))
    });
    // Whoever may no longer ask is told nothing more.
    let messages = messages.take_until(async move {
        match caller.session {
            Some(session) => session.ended().await,
            None => std::future::pending().await,
        }
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// One reader.
struct Tail {
    admin: Arc<Admin>,
    changes: broadcast::Receiver<Change>,
    rejections: broadcast::Receiver<Record>,
    source: Option<String>,
    with_rejections: bool,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    /// The next message; none when the gate stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let message = tokio::select! {
                () = self.admin.stage.stopping() => return None,
                change = self.changes.recv() => match change {
                    Ok(change) => self.of_change(change).await,
                    Err(RecvError::Lagged(missed)) => message("missed", &Missed { missed }),
                    Err(RecvError::Closed) => return None,
                },
                record = self.rejections.recv(), if self.with_rejections => match record {
                    Ok(record) => self.of_rejection(&record),
                    Err(RecvError::Lagged(missed)) => message("missed", &Missed { missed }),
                    Err(RecvError::Closed) => return None,
                },
            };
            if message.is_some() {
                return message;
            }
        }
    }

    fn wants(&self, source: &str) -> bool {
        self.source.as_deref().is_none_or(|wanted| wanted == source)
    }

    async fn of_change(&self, change: Change) -> Option<Event> {
        let (summary, change) = match change {
            Change::Stored(summary) => (summary, "stored"),
            Change::Attempted(summary) => {
                let change = match summary.state {
                    EventState::Delivered => "delivered",
                    EventState::Dead => "dead",
                    EventState::Pending => "retry",
                };
                (summary, change)
            }
            Change::Replayed(id) => (found(&self.admin.store, id).await?, "replayed"),
            Change::Erased(id) => (found(&self.admin.store, id).await?, "erased"),
        };
        self.wants(summary.source.as_str())
            .then(|| EventChange {
                event: EventSummary::from(&summary),
                change: change.to_owned(),
            })
            .and_then(|change| message("event", &change))
    }

    fn of_rejection(&self, record: &Record) -> Option<Event> {
        let wanted = self.wants(record.source.as_str());
        wanted.then(|| message("rejection", &RejectionView::from(record)))?
    }
}

/// An event as it stands, without its body, if it is there and can be read.
async fn found(store: &Store, id: EventId) -> Option<Summary> {
    let filter = Filter {
        id: Some(id.to_string().into()),
        ..Filter::default()
    };
    store.list(filter, 1, None).await.ok()?.events.pop()
}

fn message(kind: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(kind).json_data(data).ok()
}
