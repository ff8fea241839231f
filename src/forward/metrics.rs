//! What forwarding counts.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::outcome::Label;
use crate::event::SourceName;
use crate::metrics::{ATTEMPT_BUCKETS, LATENCY_BUCKETS};
use crate::store::DeadReason;
use crate::trace::Tracer;

/// The families of forwarding, with the counters of each source looked up once.
pub struct Metrics {
    pub(super) tracer: Tracer,
    pub(super) app_up: IntGauge,
    in_flight: IntGauge,
    concurrency: IntGauge,
    sources: HashMap<SourceName, SourceMetrics>,
    /// For events of sources that are no longer configured.
    other: SourceMetrics,
}

struct SourceMetrics {
    attempts: [IntCounter; Label::ALL.len()],
    duration: Histogram,
    latency: Histogram,
    dead: [IntCounter; DEAD.len()],
}

/// Why the forwarder gives up on an event.
const DEAD: [DeadReason; 2] = [DeadReason::GaveUp, DeadReason::Refused];

/// An attempt under way.
pub(super) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Declares the families; every source starts at zero.
    pub fn new(
        metrics: &crate::metrics::Metrics,
        sources: impl Iterator<Item = SourceName>,
    ) -> Self {
        let attempts = metrics.counters(
            "hookgate_attempts_total",
            "Attempts to hand an event to the app, by how they ended",
            &["source", "outcome"],
        );
        let duration = metrics.histograms(
            "hookgate_attempt_duration_seconds",
            "Time an attempt took",
            &ATTEMPT_BUCKETS,
            &["source"],
        );
        let latency = metrics.histograms(
            "hookgate_delivery_latency_seconds",
            "Time from receipt to delivery",
            &LATENCY_BUCKETS,
            &["source"],
        );
        let dead = metrics.counters(
            "hookgate_dead_letters_total",
            "Events that became dead letters after an attempt, by reason",
            &["source", "reason"],
        );
        let of = |name: &str| SourceMetrics {
            dead: DEAD.map(|reason| dead.with_label_values(&[name, reason.as_str()])),
            attempts: Label::ALL.map(|label| attempts.with_label_values(&[name, label.as_str()])),
            duration: duration.with_label_values(&[name]),
            latency: latency.with_label_values(&[name]),
        };
        Self {
            tracer: Tracer::default(),
            app_up: metrics.gauge(
                "hookgate_app_up",
                "Whether the app accepted the last connection",
            ),
            in_flight: metrics.gauge(
                "hookgate_attempts_in_flight",
                "Attempts to hand an event to the app that are under way",
            ),
            concurrency: metrics.gauge(
                "hookgate_attempts_in_flight_max",
                "Attempts that may be under way at once (app.concurrency)",
            ),
            sources: sources
                .map(|name| {
                    let of = of(name.as_str());
                    (name, of)
                })
                .collect(),
            other: of("(removed)"),
        }
    }

    /// With spans.
    #[must_use]
    pub fn with_tracer(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Whether the app accepted the last connection.
    #[must_use]
    pub fn app_up(&self) -> &IntGauge {
        &self.app_up
    }

    pub(super) fn may_run(&self, workers: usize) {
        let workers = i64::try_from(workers).unwrap_or(i64::MAX);
        self.concurrency.set(workers);
    }

    /// One attempt more under way, until this is dropped.
    pub(super) fn begun(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A dead letter more.
    pub(super) fn died(&self, source: &SourceName, reason: DeadReason) {
        let counters = DEAD.iter().zip(&self.source(source).dead);
        for (_, counter) in counters.filter(|(known, _)| **known == reason) {
            counter.inc();
        }
    }

    fn source(&self, name: &SourceName) -> &SourceMetrics {
        self.sources.get(name).unwrap_or(&self.other)
    }

    pub(super) fn attempted(&self, source: &SourceName, label: Label, took: Duration) {
        let metrics = self.source(source);
        if let Some((_, counter)) = Label::ALL
            .iter()
            .zip(&metrics.attempts)
            .find(|(known, _)| **known == label)
        {
            counter.inc();
        }
        metrics.duration.observe(took.as_secs_f64());
    }

    pub(super) fn delivered(&self, source: &SourceName, latency: Duration) {
        self.source(source).latency.observe(latency.as_secs_f64());
    }
}
