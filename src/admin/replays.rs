//! Replaying many events at once: whatever fits a filter, oldest first, at a rate.
//!
//! One at a time, behind the answer that starts it. What has been made due again is durable; after a
//! restart the rest is as it was, and the same call goes on with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::filter::{Asked, Conditions, Named};
use super::view::{ApiError, Guarded, Refused};
use crate::shutdown::Stage;
use crate::store::{Filter, Store, StoreError};

/// Events made due by one commit.
const BATCH: usize = 100;
/// Events counted by one read.
const COUNTED: usize = 1_000;
/// Highest rate that can be asked for; as quickly as possible is quicker.
const RATE_MAX: u32 = 10_000;

/// How far a bulk replay is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BulkReplay {
    /// `dry_run`, `running`, `done`, `stopped` or `failed`.
    pub state: String,
    /// Events found so far that fit the filter.
    pub matched: u64,
    /// Of these, due now, or under way already.
    pub replayed: u64,
    /// Of these, left alone: there is nothing left of them to deliver.
    pub skipped: u64,
    /// RFC 3339.
    pub started_at: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// What of a bulk replay is beside the filter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Manner {
    /// Only count what fits.
    dry_run: Option<bool>,
    /// Events per second; as quickly as possible if absent.
    #[param(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
}

impl Named for Manner {
    const NAMES: &'static [&'static str] = &["dry_run", "rate"];
}

/// The bulk replay that runs, or ran last.
#[derive(Default)]
pub(super) struct BulkReplays(Mutex<Option<Arc<Job>>>);

struct Job {
    replayed: IntCounter,
    progress: Mutex<BulkReplay>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Job {
    fn progress(&self) -> BulkReplay {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update(&self, update: impl FnOnce(&mut BulkReplay)) {
        update(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl BulkReplays {
    fn current(&self) -> Option<Arc<Job>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A new one, unless one runs.
    fn begin(&self, started_at: String, replayed: &IntCounter) -> Option<Arc<Job>> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|job| job.progress().state == "running")
        {
            return None;
        }
        let job = Arc::new(Job {
            replayed: replayed.clone(),
            progress: Mutex::new(BulkReplay::begun("running", started_at)),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        *current = Some(Arc::clone(&job));
        Some(job)
    }
}

impl BulkReplay {
    fn begun(state: &str, started_at: String) -> Self {
        Self {
            state: state.to_owned(),
            matched: 0,
            replayed: 0,
            skipped: 0,
            started_at,
            error: None,
        }
    }
}

/// Deliver all events again that fit a filter, oldest first; at least one condition is needed.
#[utoipa::path(post, path = "/api/v1/replay", tag = "replay", operation_id = "start_replay",
    params(Conditions, Manner),
    responses((status = 200, description = "The count of a dry run", body = BulkReplay),
        (status = 202, description = "It runs; ask GET for its progress", body = BulkReplay),
        Refused<400>, Refused<409>, Guarded))]
pub(super) async fn start(
    State(admin): State<Arc<Admin>>,
    Asked(conditions, how): Asked<Manner>,
) -> Result<(StatusCode, Json<BulkReplay>), ApiError> {
    if conditions.is_empty() {
        return Err(ApiError::bad_request(
            "say which events: source, state, type, id, since or until (since=1970-01-01T00:00:00Z is all of them)",
        ));
    }
    if how.rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(ApiError::bad_request(format!(
            "rate is a number from 1 to {RATE_MAX}"
        )));
    }
    let mut filter = conditions.filter()?;
    let now = admin.clock.wall();
    // What comes in from now on is none of it.
    filter.until = Some(filter.until.map_or(now, |until| until.min(now)));
    if how.dry_run == Some(true) {
        let mut counted = BulkReplay::begun("dry_run", now.rfc3339());
        counted.matched = count(&admin.store, filter).await?;
        return Ok((StatusCode::OK, Json(counted)));
    }
    let counter = &admin.kept.replayed_by_filter;
    let begun = admin.kept.replays.begin(now.rfc3339(), counter);
    let job = begun.ok_or_else(|| {
        ApiError::new(
            StatusCode::CONFLICT,
            "already_running",
            "another bulk replay is running; wait for it, or stop it with DELETE /api/v1/replay",
        )
    })?;
    tracing::info!(?filter, rate = how.rate, "bulk replay started");
    let progress = job.progress();
    let (store, intake) = (admin.store.clone(), admin.health.intake.clone());
    admin.stage.spawn(run(job, store, filter, how.rate, intake));
    Ok((StatusCode::ACCEPTED, Json(progress)))
}

/// The bulk replay that runs, or ran last.
#[utoipa::path(get, path = "/api/v1/replay", tag = "replay", operation_id = "replay_progress",
    responses((status = 200, description = "How far it is, or how it ended", body = BulkReplay), Refused<404>, Guarded))]
pub(super) async fn progress(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<BulkReplay>, ApiError> {
    let job = admin.kept.replays.current().ok_or_else(none)?;
    Ok(Json(job.progress()))
}

/// Stop the bulk replay; what is due again stays so.
#[utoipa::path(delete, path = "/api/v1/replay", tag = "replay", operation_id = "stop_replay",
    responses((status = 200, description = "How it ended", body = BulkReplay), Refused<404>, Guarded))]
pub(super) async fn stop(State(admin): State<Arc<Admin>>) -> Result<Json<BulkReplay>, ApiError> {
    let job = admin.kept.replays.current().ok_or_else(none)?;
    job.stop.cancel();
    // It may be in the middle of a commit, which counts.
    job.ended.cancelled().await;
    Ok(Json(job.progress()))
}

fn none() -> ApiError {
    ApiError::not_found("no bulk replay since the start")
}

async fn count(store: &Store, filter: Filter) -> Result<u64, StoreError> {
    let (mut matched, mut cursor) = (0, None);
    loop {
        let page = store
            .list_oldest_first(filter.clone(), COUNTED, cursor)
            .await?;
        matched += u64::try_from(page.events.len()).unwrap_or(u64::MAX);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(matched),
        }
    }
}

async fn run(job: Arc<Job>, store: Store, filter: Filter, rate: Option<u32>, intake: Stage) {
    // Who waits for the end does not wait for ever, should this one panic.
    let _ended = job.ended.clone().drop_guard();
    let ended = replay_all(&job, &store, filter, rate, &intake).await;
    job.update(|progress| match ended {
        Ok(true) => "done".clone_into(&mut progress.state),
        Ok(false) => "stopped".clone_into(&mut progress.state),
        Err(error) => {
            "failed".clone_into(&mut progress.state);
            progress.error = Some(error.to_string());
        }
    });
    let progress = job.progress();
    let (state, error) = (&progress.state, &progress.error);
    tracing::info!(
        state,
        replayed = progress.replayed,
        skipped = progress.skipped,
        error,
        "bulk replay ended"
    );
}

/// Whether it came to its end. It stops between two commits, never in the middle of one, and when the
/// gate takes no more events.
async fn replay_all(
    job: &Job,
    store: &Store,
    filter: Filter,
    rate: Option<u32>,
    intake: &Stage,
) -> Result<bool, StoreError> {
    let stopped = async || {
        tokio::select! {
            () = job.stop.cancelled() => {}
            () = intake.stopping() => {}
        }
    };
    let began = Instant::now();
    // Ten batches a second at least, so that a rate is no burst.
    let tenth = rate.and_then(|rate| usize::try_from(rate / 10).ok());
    let batch = tenth.map_or(BATCH, |tenth| tenth.clamp(1, BATCH));
    let (mut cursor, mut matched) = (None, 0_u64);
    loop {
        let page = tokio::select! {
            () = stopped() => return Ok(false),
            page = store.list_oldest_first(filter.clone(), batch, cursor) => page?,
        };
        let ids: Vec<_> = page.events.iter().map(|event| event.id).collect();
        let found = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        if found > 0 {
            let replayed = store.replay(ids).await?;
            matched += found;
            job.replayed.inc_by(replayed);
            job.update(|progress| {
                progress.matched += found;
                progress.replayed += replayed;
                progress.skipped += found - replayed.min(found);
            });
        }
        let Some(next) = page.next else {
            return Ok(true);
        };
        cursor = Some(next);
        if let Some(rate) = rate {
            let due = Duration::from_millis(matched.saturating_mul(1000) / u64::from(rate));
            tokio::select! {
                () = stopped() => return Ok(false),
                () = sleep_until(began + due) => {}
            }
        }
    }
}
