//! What ingress counts. Every label value comes from the configuration or a closed list, and every
//! combination exists from the start, at zero.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::ack::Refusal;
use super::gate::Taken;
use super::rejections::Finding;
use crate::metrics::ACK_BUCKETS;
use crate::planted::{Bug, planted};
use crate::store::ReceiptKind;
use crate::verify::{Mistake, Reason};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Stored,
    Duplicate,
    Conflict,
    Challenge,
    Rejected,
    Limited,
    Unavailable,
}

impl Outcome {
    fn of(result: &Result<Taken, Refusal>) -> Self {
        match result {
            Ok(Taken::Answered(_)) => Self::Challenge,
            Ok(Taken::Stored(receipt, _)) => match receipt.kind() {
                ReceiptKind::Stored => Self::Stored,
                ReceiptKind::Duplicate => Self::Duplicate,
                ReceiptKind::Conflict => Self::Conflict,
            },
            Err(Refusal::Limited(_) | Refusal::Failing(_)) => Self::Limited,
            Err(Refusal::Unavailable(_)) => Self::Unavailable,
            Err(
                Refusal::Malformed(_)
                | Refusal::TargetTooLong
                | Refusal::NotFound
                | Refusal::Method
                | Refusal::Slow
                | Refusal::TooLarge
                | Refusal::Unverified,
            ) => Self::Rejected,
        }
    }

    const ALL: [Self; 7] = [
        Self::Stored,
        Self::Duplicate,
        Self::Conflict,
        Self::Challenge,
        Self::Rejected,
        Self::Limited,
        Self::Unavailable,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Challenge => "challenge",
            Self::Rejected => "rejected",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The families of ingress.
pub struct Metrics {
    requests: IntCounterVec,
    rejections: IntCounterVec,
    diagnoses: IntCounterVec,
    secret_matches: IntCounterVec,
    ack_duration: HistogramVec,
    unrouted: IntCounterVec,
    malformed: IntCounter,
    not_found: IntCounter,
    method: IntCounter,
    pub(super) panics: IntCounter,
}

impl Metrics {
    /// Declares the families.
    #[must_use]
    pub fn new(metrics: &crate::metrics::Metrics) -> Self {
        let unrouted = metrics.counters(
            "hookgate_unrouted_requests_total",
            "Requests that belong to no source",
            &["reason"],
        );
        Self {
            malformed: unrouted.with_label_values(&["malformed"]),
            not_found: unrouted.with_label_values(&["not_found"]),
            method: unrouted.with_label_values(&["method"]),
            panics: metrics.counter(
                "hookgate_panics_total",
                "Requests answered 500 because of a bug in hookgate",
            ),
            unrouted,
            requests: metrics.counters(
                "hookgate_requests_total",
                "Requests of senders by how they ended",
                &["source", "outcome"],
            ),
            rejections: metrics.counters(
                "hookgate_rejections_total",
                "Requests that failed verification, by reason",
                &["source", "reason"],
            ),
            diagnoses: metrics.counters(
                "hookgate_diagnoses_total",
                "Requests that failed verification and were examined, by the mistake that was found",
                &["source", "mistake"],
            ),
            secret_matches: metrics.counters(
                "hookgate_secret_matches_total",
                "Verified requests by the label of the secret that matched",
                &["source", "secret"],
            ),
            ack_duration: metrics.histograms(
                "hookgate_ack_duration_seconds",
                "Time from a request's head to its answer",
                &ACK_BUCKETS,
                &["source"],
            ),
        }
    }

    /// A request that no source was found for.
    pub(super) fn count_unrouted(&self, refusal: &Refusal, path: &str) {
        if planted(Bug::LabelFromRequest) {
            self.unrouted.with_label_values(&[path]).inc();
        }
        match refusal {
            Refusal::NotFound => self.not_found.inc(),
            Refusal::Method => self.method.inc(),
            Refusal::Malformed(_)
            | Refusal::TargetTooLong
            | Refusal::Slow
            | Refusal::TooLarge
            | Refusal::Unverified
            | Refusal::Limited(_)
            | Refusal::Failing(_)
            | Refusal::Unavailable(_) => self.malformed.inc(),
        }
    }

    /// The counters of one source, looked up once.
    pub(super) fn source(&self, name: &str, secrets: &[Box<str>]) -> SourceMetrics {
        SourceMetrics {
            requests: Outcome::ALL
                .map(|outcome| self.requests.with_label_values(&[name, outcome.label()])),
            rejections: Reason::ALL
                .iter()
                .map(|reason| {
                    (
                        *reason,
                        self.rejections.with_label_values(&[name, reason.as_str()]),
                    )
                })
                .collect(),
            mistakes: Mistake::ALL
                .iter()
                .map(|mistake| {
                    (
                        *mistake,
                        self.diagnoses.with_label_values(&[name, mistake.as_str()]),
                    )
                })
                .collect(),
            unknown_mistakes: self.diagnoses.with_label_values(&[name, "unknown"]),
            secret_matches: secrets
                .iter()
                .map(|secret| {
                    (
                        secret.clone(),
                        self.secret_matches.with_label_values(&[name, secret]),
                    )
                })
                .collect(),
            ack_duration: self.ack_duration.with_label_values(&[name]),
        }
    }
}

/// The counters of one source.
pub(super) struct SourceMetrics {
    requests: [IntCounter; Outcome::ALL.len()],
    rejections: Vec<(Reason, IntCounter)>,
    mistakes: Vec<(Mistake, IntCounter)>,
    unknown_mistakes: IntCounter,
    secret_matches: Vec<(Box<str>, IntCounter)>,
    ack_duration: Histogram,
}

impl SourceMetrics {
    /// One request more, answered after `took`.
    pub(super) fn count(&self, result: &Result<Taken, Refusal>, took: Duration) {
        self.ack_duration.observe(took.as_secs_f64());
        let outcome = Outcome::of(result);
        let counted = Outcome::ALL
            .iter()
            .zip(&self.requests)
            .find(|(known, _)| **known == outcome);
        if let Some((_, counter)) = counted {
            counter.inc();
        }
    }

    pub(super) fn count_rejection(&self, reason: Reason) {
        if let Some((_, counter)) = self.rejections.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    /// What an examination came to; one that was not made is not counted.
    pub(super) fn count_finding(&self, finding: &Finding) {
        match finding {
            Finding::Pending | Finding::Skipped => {}
            Finding::Unknown => self.unknown_mistakes.inc(),
            Finding::Mistake(diagnosis) => {
                let mut known = self.mistakes.iter();
                let counted = known.find(|(known, _)| *known == diagnosis.mistake);
                if let Some((_, counter)) = counted {
                    counter.inc();
                }
            }
        }
    }

    pub(super) fn count_secret_match(&self, label: &str) {
        if let Some((_, counter)) = self
            .secret_matches
            .iter()
            .find(|(known, _)| **known == *label)
        {
            counter.inc();
        }
    }
}
