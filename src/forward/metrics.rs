//! What forwarding counts.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::outcome::Label;
use crate::event::SourceName;
use crate::metrics::{ATTEMPT_BUCKETS, LATENCY_BUCKETS};

/// The families of forwarding, with the counters of each source looked up once.
pub struct Metrics {
    pub(super) app_up: IntGauge,
    sources: HashMap<SourceName, SourceMetrics>,
    /// For events of sources that are no longer configured.
    other: SourceMetrics,
}

struct SourceMetrics {
    attempts: [IntCounter; Label::ALL.len()],
    duration: Histogram,
    latency: Histogram,
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
        let of = |name: &str| SourceMetrics {
            attempts: Label::ALL.map(|label| attempts.with_label_values(&[name, label.as_str()])),
            duration: duration.with_label_values(&[name]),
            latency: latency.with_label_values(&[name]),
        };
        Self {
            app_up: metrics.gauge(
                "hookgate_app_up",
                "Whether the app accepted the last connection",
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

    /// Whether the app accepted the last connection.
    #[must_use]
    pub fn app_up(&self) -> &IntGauge {
        &self.app_up
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
