//! Which events, as in a query string: the same conditions for a list and for a bulk replay.
//!
//! A name that is not known is refused: a condition that was mistyped and left out would list, or
//! replay, far more than was meant.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::view::ApiError;
use crate::clock::UnixMillis;
use crate::ingress::Gate;
use crate::store::{Filter, State as EventState};

/// Conditions; all that are given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Conditions {
    /// Of this source.
    source: Option<String>,
    /// `pending`, `delivered` or `dead`.
    #[param(pattern = "^(pending|delivered|dead)$")]
    state: Option<String>,
    /// With this event type.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// With this id: ours, or the provider's.
    id: Option<String>,
    /// Received at or after this instant (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before this instant (RFC 3339).
    #[param(format = DateTime)]
    until: Option<String>,
}

/// Parameters with names of their own.
pub(super) trait Named: DeserializeOwned {
    const NAMES: &'static [&'static str];
}

impl Named for Conditions {
    const NAMES: &'static [&'static str] = &["source", "state", "type", "id", "since", "until"];
}

impl Conditions {
    /// Whether there is none, so that every event fits.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.source, &self.state, &self.event_type, &self.id];
        let instants = [&self.since, &self.until];
        texts.into_iter().chain(instants).all(Option::is_none)
    }

    /// The same for the store.
    pub(super) fn filter(&self) -> Result<Filter, ApiError> {
        Ok(Filter {
            source: self.source.as_deref().map(Into::into),
            state: self.state.as_deref().map(state).transpose()?,
            event_type: self.event_type.as_deref().map(Into::into),
            id: self.id.as_deref().map(Into::into),
            since: self.since.as_deref().map(instant).transpose()?,
            until: self.until.as_deref().map(instant).transpose()?,
            dedup_ids: Vec::new(),
        })
    }

    /// The same with what leads to a provider's id at once.
    pub(super) fn filter_with_ids(&self, gate: &Gate) -> Result<Filter, ApiError> {
        let ids = |id| gate.dedup_ids(self.source.as_deref(), id);
        Ok(Filter {
            dedup_ids: self.id.as_deref().map(ids).unwrap_or_default(),
            ..self.filter()?
        })
    }
}

fn state(word: &str) -> Result<EventState, ApiError> {
    let mut known = EventState::ALL.into_iter();
    known
        .find(|state| state.as_str() == word)
        .ok_or_else(|| ApiError::bad_request("state is pending, delivered or dead"))
}

fn instant(text: &str) -> Result<UnixMillis, ApiError> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    at.map(|at| UnixMillis(at.as_millisecond())).map_err(|_| {
        ApiError::bad_request("since and until are RFC 3339 instants such as 2026-01-31T12:00:00Z")
    })
}

/// A query string of conditions, and of what else the route knows.
pub(super) struct Asked<T>(pub(super) Conditions, pub(super) T);

impl<S: Send + Sync, T: Named> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.uri)
    }
}

impl<T: Named> Asked<T> {
    pub(super) fn read(uri: &http::Uri) -> Result<Self, ApiError> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(bad_query)?;
        let known = || Conditions::NAMES.iter().chain(T::NAMES);
        for (at, (name, _)) in given.iter().enumerate() {
            if !known().any(|known| known == name) {
                let known: Vec<_> = known().copied().collect();
                let known = known.join(", ");
                return Err(ApiError::bad_request(format!(
                    "no parameter {name:?}; there are {known}"
                )));
            }
            if given.iter().take(at).any(|(before, _)| before == name) {
                return Err(ApiError::bad_request(format!("{name} is given twice")));
            }
        }
        let Query(conditions) = Query::try_from_uri(uri).map_err(bad_query)?;
        let Query(more) = Query::try_from_uri(uri).map_err(bad_query)?;
        Ok(Self(conditions, more))
    }
}

/// What is wrong with a query string.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn bad_query(rejection: QueryRejection) -> ApiError {
    ApiError::bad_request(rejection.body_text())
}
