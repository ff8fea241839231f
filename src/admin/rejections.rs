//! Rejections: what was refused recently, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::filter::bad_query;
use super::view::{ApiError, Guarded, Refused};
use crate::ingress::{Finding, Record, RejectionFilter};
use crate::verify::{Diagnosis, Reason};

/// How many are listed if no number is asked for, and at most.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 500;

/// Recent rejections.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RejectionList {
    /// Newest first.
    pub rejections: Vec<RejectionView>,
}

/// One refused request: no header values, no query values, no body.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RejectionView {
    /// RFC 3339.
    pub at: String,
    /// The source it came in on.
    pub source: String,
    /// Our id of the request, as in the answer's `Hookgate-Request-Id`.
    pub request_id: Option<String>,
    /// Who sent it.
    pub peer: Option<String>,
    /// The request method.
    pub method: String,
    /// The path without tokens, and the names in the query.
    pub target: String,
    /// The reason, from a closed list.
    pub reason: String,
    /// What exactly.
    pub detail: String,
    /// Let through all the same: the source's mode is `observe`.
    pub observed: bool,
    /// Names of its headers, the first few dozen.
    pub headers: Vec<String>,
    /// Size of the body.
    pub body_bytes: u64,
    /// SHA-256 of the body in hex, if it was examined.
    pub body_sha256: Option<String>,
    /// The search for the mistake: `pending`, `done`, or `skipped` (too many at once, body too large).
    pub examination: String,
    /// The mistake, if it is a known one.
    pub diagnosis: Option<DiagnosisView>,
}

/// A mistake with which made good the signature would hold.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DiagnosisView {
    /// From a closed list.
    pub mistake: String,
    /// What happened.
    pub explanation: String,
    /// Which source, provider, header, ... it is about.
    pub clue: Option<String>,
    /// What to do about it.
    pub way_out: String,
}

impl From<&Record> for RejectionView {
    fn from(record: &Record) -> Self {
        let (examination, diagnosis) = match &record.finding {
            Finding::Pending => ("pending", None),
            Finding::Skipped => ("skipped", None),
            Finding::Unknown => ("done", None),
            Finding::Mistake(diagnosis) => ("done", Some(diagnosis)),
        };
        Self {
            at: record.at.rfc3339(),
            source: record.source.to_string(),
            request_id: record.request_id.as_deref().map(ToOwned::to_owned),
            peer: record.peer.map(|peer| peer.to_string()),
            method: record.method.to_string(),
            target: record.target.to_string(),
            reason: record.reason.as_str().to_owned(),
            detail: record.detail.to_string(),
            observed: record.observed,
            headers: record.headers.iter().map(ToString::to_string).collect(),
            body_bytes: u64::try_from(record.body_bytes).unwrap_or(u64::MAX),
            body_sha256: record.body_sha256.as_deref().map(ToOwned::to_owned),
            examination: examination.to_owned(),
            diagnosis: diagnosis.map(DiagnosisView::from),
        }
    }
}

impl From<&Diagnosis> for DiagnosisView {
    fn from(diagnosis: &Diagnosis) -> Self {
        Self {
            mistake: diagnosis.mistake.as_str().to_owned(),
            explanation: diagnosis.mistake.explanation().to_owned(),
            clue: diagnosis.clue.as_deref().map(ToOwned::to_owned),
            way_out: diagnosis.mistake.way_out().to_owned(),
        }
    }
}

/// Which rejections, as in the query string.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only of this source.
    source: Option<String>,
    /// Only with this reason.
    #[param(schema_with = reasons)]
    reason: Option<String>,
    /// At most this many; 50 if absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// List what was refused recently, newest first, and why.
#[utoipa::path(get, path = "/api/v1/rejections", tag = "rejections",
    operation_id = "list_rejections", params(ListQuery),
    responses((status = 200, description = "Up to `limit`", body = RejectionList), Refused<400>, Guarded))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<RejectionList>, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!(
            "limit is a number from 1 to {LIMIT_MAX}"
        )));
    }
    let filter = RejectionFilter {
        source: query.source,
        reason: query.reason.as_deref().map(reason).transpose()?,
    };
    let records = admin.gate.rejections().list(&filter, limit);
    let rejections = records.iter().map(RejectionView::from).collect();
    Ok(Json(RejectionList { rejections }))
}

/// All reasons, for the API's description.
fn reasons() -> Object {
    let words = Reason::ALL.iter().map(|reason| reason.as_str());
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(words)).build()
}

fn reason(word: &str) -> Result<Reason, ApiError> {
    let mut known = Reason::ALL.iter().copied();
    known.find(|reason| reason.as_str() == word).ok_or_else(|| {
        let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        ApiError::bad_request(format!("reason is one of {}", known.join(", ")))
    })
}
