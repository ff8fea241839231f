//! What is counted about reviews.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::kubernetes::Skip;
use crate::kubernetes::skip::Reason;

/// Upper bounds in seconds: an API server waits no longer than the last.
const BUCKETS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

pub(super) struct Metrics {
    injected: IntCounter,
    skipped: IntCounterVec,
    refused: IntCounter,
    pub(super) seconds: Histogram,
    pub(super) events_dropped: IntCounter,
    pub(super) certificate_expiry: IntGauge,
}

impl Metrics {
    pub(super) fn new(metrics: &crate::metrics::Metrics) -> Self {
        let skipped = metrics.counters(
            "hookgate_injector_skipped_total",
            "Pods that got no gate, by reason",
            &["reason"],
        );
        for reason in Reason::ALL {
            skipped.with_label_values(&[reason.name()]);
        }
        Self {
            injected: metrics.counter("hookgate_injector_injected_total", "Pods that got a gate"),
            skipped,
            refused: metrics.counter(
                "hookgate_injector_refused_total",
                "Requests that were no admission review",
            ),
            seconds: metrics.histogram(
                "hookgate_injector_review_duration_seconds",
                "From a review's last byte to its answer",
                &BUCKETS,
            ),
            events_dropped: metrics.counter(
                "hookgate_injector_events_dropped_total",
                "Kubernetes Events that could not be written",
            ),
            certificate_expiry: metrics.gauge(
                "hookgate_injector_certificate_expiry_timestamp_seconds",
                "End of the certificate that the injector made itself; 0 if it was given one",
            ),
        }
    }

    pub(super) fn count(&self, outcome: &Result<Vec<String>, Skip>) {
        match outcome {
            Ok(_) => self.injected.inc(),
            Err(skip) => self.skipped.with_label_values(&[skip.reason.name()]).inc(),
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.inc();
    }
}
