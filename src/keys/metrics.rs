//! What fetches are counted as.

use prometheus::{IntCounter, IntCounterVec};

use super::client::FetchError;

/// The families of fetches; every outcome starts at zero.
#[derive(Clone)]
pub struct Metrics {
    fetches: IntCounterVec,
}

const FETCHED: &str = "fetched";
const OUTCOMES: [&str; 9] = [
    FETCHED,
    "busy",
    "address",
    "unreachable",
    "timed_out",
    "broken",
    "status",
    "too_large",
    "no_key",
];

impl Metrics {
    /// Declares the families.
    pub fn new(metrics: &crate::metrics::Metrics) -> Self {
        let fetches = metrics.counters(
            "hookgate_key_fetches_total",
            "Calls for senders' keys and confirmations, by how they ended",
            &["outcome"],
        );
        for outcome in OUTCOMES {
            fetches.with_label_values(&[outcome]);
        }
        Self { fetches }
    }

    pub(super) fn count<T>(&self, result: &Result<T, FetchError>) {
        self.of(result.as_ref().map_or_else(outcome, |_| FETCHED))
            .inc();
    }

    fn of(&self, outcome: &str) -> IntCounter {
        self.fetches.with_label_values(&[outcome])
    }
}

fn outcome(error: &FetchError) -> &'static str {
    match error {
        FetchError::Busy => "busy",
        FetchError::Address => "address",
        FetchError::Unreachable(_) => "unreachable",
        FetchError::TimedOut => "timed_out",
        FetchError::Broken => "broken",
        FetchError::Status(_) => "status",
        FetchError::TooLarge => "too_large",
        FetchError::NoKey(_) => "no_key",
    }
}
