//! The last hour in samples, for the page's charts: what `/metrics` counts, noted every ten seconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use prometheus::proto::{Metric, MetricFamily};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::Admin;
use super::view::Guarded;
use crate::clock::{Clock, UnixMillis};
use crate::metrics::Metrics;
use crate::shutdown::Stage;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(10);
/// An hour of them.
const SAMPLES_MAX: usize = 360;

/// Samples that say what came from which source.
const SOURCES_KEPT: usize = 12;

/// The last hour.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Seconds between two samples.
    pub every_s: u64,
    /// Oldest first.
    pub samples: Vec<Sample>,
}

/// What happened between the sample before and this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// RFC 3339.
    pub at: String,
    /// Events stored.
    pub stored: u64,
    /// Repeats.
    pub duplicate: u64,
    /// Requests refused for what they were.
    pub rejected: u64,
    /// Events that the app took.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events waiting for the app, at the end.
    pub pending: u64,
    /// Dead letters, at the end.
    pub dead: u64,
    /// 99 of 100 requests were answered within this, in milliseconds; estimated from buckets.
    pub ack_p99_ms: Option<f64>,
    /// Half of the deliveries came within this after receipt, in milliseconds; estimated likewise.
    pub delivery_p50_ms: Option<f64>,
    /// 99 of 100 did.
    pub delivery_p99_ms: Option<f64>,
    /// Events stored by source, for the newest dozen samples; zeros are left out.
    pub sources: BTreeMap<String, u64>,
}

/// The samples that are kept.
#[derive(Clone, Default)]
pub(super) struct Samples(Arc<Mutex<VecDeque<Sample>>>);

impl Samples {
    /// Starts taking samples, until the stage stops.
    pub(super) fn start(metrics: Metrics, clock: Clock, stage: &Stage) -> Self {
        let samples = Self::default();
        let (kept, stopping) = (samples.clone(), stage.clone());
        stage.spawn(async move {
            let mut before = Totals::of(&metrics.gather());
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await; // the first comes at once
            loop {
                tokio::select! {
                    () = stopping.stopping() => return,
                    _ = ticks.tick() => {}
                }
                let now = Totals::of(&metrics.gather());
                kept.push(now.since(&before, clock.wall()));
                before = now;
            }
        });
        samples
    }

    fn push(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        // Names of sources by the hundred would add up.
        let past = samples.len().checked_sub(SOURCES_KEPT);
        if let Some(past) = past.and_then(|at| samples.get_mut(at)) {
            past.sources = BTreeMap::new();
        }
        samples.push_back(sample);
    }

    fn all(&self) -> Vec<Sample> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().cloned().collect()
    }
}

/// The last hour in samples of ten seconds.
#[utoipa::path(get, path = "/api/v1/history", tag = "gate", operation_id = "history",
    responses((status = 200, description = "Up to an hour", body = History), Guarded))]
pub(super) async fn history(State(admin): State<Arc<Admin>>) -> Json<History> {
    Json(History {
        every_s: EVERY.as_secs(),
        samples: admin.kept.samples.all(),
    })
}

/// What was counted up to an instant.
#[derive(Default)]
struct Totals {
    stored: BTreeMap<String, u64>,
    duplicate: u64,
    rejected: u64,
    delivered: u64,
    failed: u64,
    pending: u64,
    dead: u64,
    ack: Buckets,
    delivery: Buckets,
}

/// Upper bound in seconds and observations up to it, of all sources together.
#[derive(Clone, Default)]
struct Buckets(Vec<(f64, u64)>);

impl Totals {
    fn of(families: &[MetricFamily]) -> Self {
        let mut totals = Self::default();
        for family in families {
            for metric in family.get_metric() {
                totals.add(family.name(), metric);
            }
        }
        totals
    }

    fn add(&mut self, family: &str, metric: &Metric) {
        let label = |name: &str| {
            let found = metric.get_label().iter().find(|pair| pair.name() == name);
            found.map_or("", |pair| pair.value())
        };
        let counted = whole(metric.get_counter().get_value());
        let stands = whole(metric.get_gauge().get_value());
        match (family, label("outcome"), label("state")) {
            ("hookgate_requests_total", "stored" | "conflict", _) => {
                *self.stored.entry(label("source").to_owned()).or_default() += counted;
            }
            ("hookgate_requests_total", "duplicate", _) => self.duplicate += counted,
            ("hookgate_requests_total", "rejected", _) => self.rejected += counted,
            ("hookgate_attempts_total", "delivered", _) => self.delivered += counted,
            ("hookgate_attempts_total", _, _) => self.failed += counted,
            ("hookgate_events", _, "pending") => self.pending += stands,
            ("hookgate_events", _, "dead") => self.dead += stands,
            ("hookgate_ack_duration_seconds", _, _) => self.ack.add(metric),
            ("hookgate_delivery_latency_seconds", _, _) => self.delivery.add(metric),
            _ => {}
        }
    }

    /// What came after `before`, which was taken earlier.
    fn since(&self, before: &Self, at: UnixMillis) -> Sample {
        let sources = self.stored.iter().filter_map(|(source, stored)| {
            let before = before.stored.get(source).copied().unwrap_or(0);
            let stored = stored.saturating_sub(before);
            (stored > 0).then(|| (source.clone(), stored))
        });
        let sources: BTreeMap<_, _> = sources.collect();
        let (ack, delivery) = (
            self.ack.since(&before.ack),
            self.delivery.since(&before.delivery),
        );
        Sample {
            at: at.rfc3339(),
            stored: sources.values().sum(),
            duplicate: self.duplicate.saturating_sub(before.duplicate),
            rejected: self.rejected.saturating_sub(before.rejected),
            delivered: self.delivered.saturating_sub(before.delivered),
            failed: self.failed.saturating_sub(before.failed),
            pending: self.pending,
            dead: self.dead,
            ack_p99_ms: ack.quantile_ms(0.99),
            delivery_p50_ms: delivery.quantile_ms(0.5),
            delivery_p99_ms: delivery.quantile_ms(0.99),
            sources,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and far below 2^53; the cast saturates"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

impl Buckets {
    fn add(&mut self, metric: &Metric) {
        let histogram = metric.get_histogram();
        let bounds = histogram.get_bucket().iter();
        let bounds = bounds.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        let mut bounds: Vec<_> = bounds.filter(|(bound, _)| bound.is_finite()).collect();
        bounds.push((f64::INFINITY, histogram.get_sample_count()));
        if self.0.is_empty() {
            self.0 = bounds;
        } else {
            for ((_, all), (_, count)) in self.0.iter_mut().zip(bounds) {
                *all += count;
            }
        }
    }

    fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().map(|(_, count)| *count);
        let both = self.0.iter().zip(before.chain(std::iter::repeat(0)));
        Self(
            both.map(|((bound, count), before)| (*bound, count.saturating_sub(before)))
                .collect(),
        )
    }

    /// As `histogram_quantile` of Prometheus: linear within the bucket, the highest bound beyond it.
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total = self
            .0
            .last()
            .map(|(_, count)| *count)
            .filter(|count| *count > 0)?;
        let rank = share * total as f64;
        let mut below = (0.0, 0);
        for (bound, count) in &self.0 {
            if *count as f64 >= rank {
                let width = (count - below.1) as f64;
                let part = if width > 0.0 {
                    (rank - below.1 as f64) / width
                } else {
                    1.0
                };
                let seconds = match bound.is_finite() {
                    true => below.0 + (bound - below.0) * part,
                    false => below.0,
                };
                return Some((seconds * 1e6).round() / 1e3);
            }
            below = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_says_what_came_since_the_one_before() {
        let metrics = Metrics::new();
        let requests = metrics.counters("hookgate_requests_total", "x", &["source", "outcome"]);
        let attempts = metrics.counters("hookgate_attempts_total", "x", &["source", "outcome"]);
        let events = metrics.gauges("hookgate_events", "x", &["source", "state"]);
        let count = |source: &str, outcome: &str, by| {
            requests.with_label_values(&[source, outcome]).inc_by(by);
        };
        count("a", "stored", 5);
        count("b", "rejected", 1);
        let before = Totals::of(&metrics.gather());
        count("a", "stored", 2);
        count("a", "conflict", 1);
        count("b", "stored", 4);
        count("b", "rejected", 3);
        count("b", "duplicate", 6);
        attempts.with_label_values(&["a", "delivered"]).inc_by(7);
        attempts.with_label_values(&["b", "timeout"]).inc_by(8);
        events.with_label_values(&["a", "pending"]).set(9);
        events.with_label_values(&["b", "pending"]).set(1);
        events.with_label_values(&["b", "dead"]).set(2);
        let sample = Totals::of(&metrics.gather()).since(&before, UnixMillis(0));
        let expected = Sample {
            at: "1970-01-01T00:00:00Z".to_owned(),
            stored: 7,
            duplicate: 6,
            rejected: 3,
            delivered: 7,
            failed: 8,
            pending: 10,
            dead: 2,
            sources: [("a".to_owned(), 3), ("b".to_owned(), 4)].into(),
            ..Sample::default()
        };
        assert_eq!(
            sample,
            Sample {
                at: sample.at.clone(),
                ..expected
            }
        );
    }

    #[test]
    fn quantiles_are_read_from_the_buckets_as_prometheus_does() {
        let metrics = Metrics::new();
        let name = "hookgate_ack_duration_seconds";
        let ack = metrics.histograms(name, "x", &[0.1, 0.2, 0.4], &["source"]);
        let before = Totals::of(&metrics.gather());
        let quiet = before.since(&before, UnixMillis(0));
        assert_eq!(quiet.ack_p99_ms, None);
        for _ in 0..50 {
            ack.with_label_values(&["a"]).observe(0.15);
            ack.with_label_values(&["b"]).observe(0.3);
        }
        let buckets = Totals::of(&metrics.gather()).ack.since(&before.ack);
        assert_eq!(buckets.quantile_ms(0.5), Some(200.0));
        assert_eq!(buckets.quantile_ms(0.25), Some(150.0));
        assert_eq!(buckets.quantile_ms(0.99), Some(396.0));
        ack.with_label_values(&["a"]).observe(9.0);
        let buckets = Totals::of(&metrics.gather()).ack;
        assert_eq!(buckets.quantile_ms(1.0), Some(400.0), "the highest bound");
    }

    #[test]
    fn an_hour_is_kept() {
        let samples = Samples::default();
        for stored in 0..400 {
            samples.push(Sample {
                stored,
                ..Sample::default()
            });
        }
        let kept = samples.all();
        assert_eq!((kept.len(), kept[0].stored), (360, 40));
    }
}
