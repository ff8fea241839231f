//! What ingress counts. Every label value comes from the configuration or a closed list, and every
//! combination exists from the start, at zero.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::ack::Refusal;
use super::gate::Taken;
use super::outcome::Outcome;
use super::refusals::Refusals;
use super::rejections::Finding;
use super::source::SourceConfig;
use crate::clock::UnixMillis;
use crate::metrics::{ACK_BUCKETS, BODY_BUCKETS};
use crate::planted::{Bug, planted};
use crate::trace::Tracer;
use crate::verify::{Mistake, Reason};

/// The families of ingress, and its spans.
pub struct Metrics {
    pub(super) tracer: Tracer,
    requests: IntCounterVec,
    refusals: IntCounterVec,
    info: IntGaugeVec,
    body_bytes: HistogramVec,
    in_flight: IntGauge,
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
    /// With spans.
    #[must_use]
    pub fn with_tracer(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Declares the families.
    #[must_use]
    pub fn new(metrics: &crate::metrics::Metrics) -> Self {
        let unrouted = metrics.counters(
            "hookgate_unrouted_requests_total",
            "Requests that belong to no source",
            &["reason"],
        );
        Self {
            tracer: Tracer::default(),
            malformed: unrouted.with_label_values(&["malformed"]),
            not_found: unrouted.with_label_values(&["not_found"]),
            method: unrouted.with_label_values(&["method"]),
            panics: metrics.counter(
                "hookgate_panics_total",
                "Requests answered 500, or 503, because of a bug in hookgate",
            ),
            unrouted,
            requests: metrics.counters(
                "hookgate_requests_total",
                "Requests of senders by how they ended",
                &["source", "outcome"],
            ),
            refusals: metrics.counters(
                "hookgate_refusals_total",
                "Requests that got no success, by reason: the sender's, or ours",
                &["source", "reason"],
            ),
            info: metrics.gauges(
                "hookgate_source_info",
                "Always 1; what the source is configured to be is in the labels",
                &["source", "provider", "mode", "ack"],
            ),
            body_bytes: metrics.histograms(
                "hookgate_event_body_bytes",
                "Size of the bodies of verified events, repeats included",
                &BODY_BUCKETS,
                &["source"],
            ),
            in_flight: metrics.gauge(
                "hookgate_requests_in_flight",
                "Requests of senders between head and answer",
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
            | Refusal::Unavailable(_)
            | Refusal::Unhandled(_)
            | Refusal::Unspeakable(_) => self.malformed.inc(),
        }
    }

    /// One request more between head and answer, until this is dropped.
    pub(super) fn begun<'a>(&self, source: &'a SourceMetrics) -> InFlight<'a> {
        self.in_flight.inc();
        InFlight {
            requests: self.in_flight.clone(),
            source: Some(source),
        }
    }

    /// The counters of one source, looked up once.
    pub(super) fn source(&self, config: &SourceConfig) -> SourceMetrics {
        let (name, secrets) = (config.name.as_str(), &config.secret_labels);
        let labels = [
            name,
            &config.about.provider.id,
            if config.about.observe {
                "observe"
            } else {
                "enforce"
            },
            config.ack.name(),
        ];
        self.info.with_label_values(&labels).set(1);
        SourceMetrics {
            refusals: Refusals::new(&self.refusals, name),
            body_bytes: self.body_bytes.with_label_values(&[name]),
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
                .map(|label| SecretMetrics {
                    label: label.clone(),
                    matches: self.secret_matches.with_label_values(&[name, label]),
                    last_at: LastSeen::default(),
                })
                .collect(),
            ack_duration: self.ack_duration.with_label_values(&[name]),
            last_at: Outcome::ALL.map(|_| LastSeen::default()),
        }
    }
}

/// A request between head and answer; the sender may go away at any moment.
pub(super) struct InFlight<'a> {
    requests: IntGauge,
    /// Until it is answered.
    source: Option<&'a SourceMetrics>,
}

impl InFlight<'_> {
    /// It is answered now, after `took`.
    pub(super) fn answered(
        mut self,
        result: &Result<Taken, Refusal>,
        took: Duration,
        now: UnixMillis,
    ) {
        if let Some(source) = self.source.take() {
            source.count(result, took, now);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.requests.dec();
        // A panic is answered, and has a count of its own.
        if let Some(source) = self.source.filter(|_| !std::thread::panicking()) {
            source.note(Outcome::Left, None);
        }
    }
}

/// The counters of one source.
pub(super) struct SourceMetrics {
    refusals: Refusals,
    body_bytes: Histogram,
    requests: [IntCounter; Outcome::ALL.len()],
    rejections: Vec<(Reason, IntCounter)>,
    mistakes: Vec<(Mistake, IntCounter)>,
    unknown_mistakes: IntCounter,
    secret_matches: Vec<SecretMetrics>,
    ack_duration: Histogram,
    /// When a request last ended so (wall time).
    last_at: [LastSeen; Outcome::ALL.len()],
}

/// The counter of one secret.
struct SecretMetrics {
    label: Box<str>,
    matches: IntCounter,
    last_at: LastSeen,
}

/// When something happened last (wall time); 0 is never.
#[derive(Default)]
struct LastSeen(AtomicI64);

impl LastSeen {
    fn note(&self, now: UnixMillis) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    fn get(&self) -> Option<UnixMillis> {
        let at = self.0.load(Ordering::Relaxed);
        (at != 0).then_some(UnixMillis(at))
    }
}

impl SourceMetrics {
    /// One request more, answered now after `took`.
    pub(super) fn count(&self, result: &Result<Taken, Refusal>, took: Duration, now: UnixMillis) {
        self.ack_duration.observe(took.as_secs_f64());
        if let Err(refusal) = result {
            self.refusals.count(refusal);
        }
        self.note(Outcome::of(result), Some(now));
    }

    fn note(&self, outcome: Outcome, now: Option<UnixMillis>) {
        let counters = self.requests.iter().zip(&self.last_at);
        let counted = Outcome::ALL
            .iter()
            .zip(counters)
            .find(|(known, _)| **known == outcome);
        if let Some((_, (counter, last_at))) = counted {
            counter.inc();
            now.inspect(|now| last_at.note(*now));
        }
    }

    /// How many requests ended how since the start, in a fixed order.
    pub(super) fn requests(&self) -> [(&'static str, u64); Outcome::ALL.len()] {
        let mut counts = Outcome::ALL.map(|outcome| (outcome.label(), 0));
        for ((_, count), counter) in counts.iter_mut().zip(&self.requests) {
            *count = counter.get();
        }
        counts
    }

    /// When an event was last acknowledged, new or not.
    pub(super) fn last_accepted_at(&self) -> Option<UnixMillis> {
        self.last_of(|outcome| {
            matches!(
                outcome,
                Outcome::Stored | Outcome::Duplicate | Outcome::Conflict
            )
        })
    }

    /// When a request was last refused for what it was.
    pub(super) fn last_rejected_at(&self) -> Option<UnixMillis> {
        self.last_of(|outcome| outcome == Outcome::Rejected)
    }

    fn last_of(&self, wanted: impl Fn(Outcome) -> bool) -> Option<UnixMillis> {
        let ended = Outcome::ALL.into_iter().zip(&self.last_at);
        let ended = ended.filter(|(outcome, _)| wanted(*outcome));
        ended.filter_map(|(_, last_at)| last_at.get()).max()
    }

    /// Label, number of matches and last match of each secret.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, u64, Option<UnixMillis>)> {
        let secrets = self.secret_matches.iter();
        secrets.map(|secret| (&*secret.label, secret.matches.get(), secret.last_at.get()))
    }

    /// A verified event, new or not.
    pub(super) fn count_body(&self, body: &[u8]) {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.body_bytes.observe(f64::from(bytes));
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

    pub(super) fn count_secret_match(&self, label: &str, now: UnixMillis) {
        let mut secrets = self.secret_matches.iter();
        if let Some(secret) = secrets.find(|secret| *secret.label == *label) {
            secret.matches.inc();
            secret.last_at.note(now);
        }
    }
}
