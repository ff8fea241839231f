//! The registry and its text form; each component declares its own families beside what they measure.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// All metric families of one gateway; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Registry);

/// Upper bounds in seconds for what a sender waits: from the store's flush to providers' time-outs.
/// Providers hang up after 3, 5 or 10 seconds.
pub const ACK_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0,
];

/// Upper bounds in seconds for a commit: from a fast disk to one after which `/livez` gives up.
pub const COMMIT_BUCKETS: [f64; 16] = [
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// Upper bounds in bytes for the bodies of events: the last is beyond the usual `server.body_max`.
pub const BODY_BUCKETS: [f64; 9] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// Upper bounds in seconds for what the app takes, up to the longest usual attempt.
pub const ATTEMPT_BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0, 60.0,
];

/// Upper bounds in seconds from receipt to delivery: at once, after retries, after an outage.
pub const LATENCY_BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 7_200.0, 43_200.0,
    259_200.0,
];

impl Metrics {
    /// A registry with the facts of this build and, on Linux, of the process.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self(Registry::new());
        #[cfg(target_os = "linux")]
        metrics.register(prometheus::process_collector::ProcessCollector::for_self());
        let build = metrics.gauges(
            "hookgate_build_info",
            "Always 1; the version is in the label",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// The Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.gather())
            .unwrap_or_default()
    }

    /// All families as they stand.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }

    /// Adds a family, or a collector that makes several when asked.
    #[expect(
        clippy::expect_used,
        reason = "names are constants, each registered once per gateway"
    )]
    pub fn register(&self, collector: impl Collector + 'static) {
        self.0
            .register(Box::new(collector))
            .expect("a metric family with a name of its own");
    }

    /// A counter without labels.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.added(IntCounter::with_opts(Opts::new(name, help)))
    }

    /// Counters by label.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.added(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.added(IntGauge::with_opts(Opts::new(name, help)))
    }

    /// Gauges by label.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.added(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram without labels.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.added(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        ))
    }

    /// Histograms by label.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        self.added(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        ))
    }

    #[expect(
        clippy::expect_used,
        reason = "names, labels and buckets are constants"
    )]
    fn added<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("a well-formed metric family");
        self.register(family.clone());
        family
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
