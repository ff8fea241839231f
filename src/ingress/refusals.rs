//! Why requests were refused, as a metric: what a status alone does not tell an operator.

use prometheus::{IntCounter, IntCounterVec};

use super::ack::{Refusal, Trouble};

/// Why a request of a source got no success: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalReason {
    Malformed,
    Method,
    Slow,
    TooLarge,
    Unverified,
    Rate,
    PeerRate,
    Unhandled,
    Unspeakable,
    Trouble(Trouble),
}

impl RefusalReason {
    const OF_SENDERS: [Self; 9] = [
        Self::Malformed,
        Self::Method,
        Self::Slow,
        Self::TooLarge,
        Self::Unverified,
        Self::Rate,
        Self::PeerRate,
        Self::Unhandled,
        Self::Unspeakable,
    ];

    /// While the store is opened, nobody knows the sources yet.
    fn all() -> impl Iterator<Item = Self> {
        let ours = Trouble::ALL.into_iter();
        let ours = ours.filter(|trouble| *trouble != Trouble::Starting);
        let ours = ours.map(Self::Trouble);
        Self::OF_SENDERS.into_iter().chain(ours)
    }

    fn of(refusal: &Refusal) -> Self {
        match refusal {
            // The last two belong to no source.
            Refusal::Malformed(_) | Refusal::TargetTooLong | Refusal::NotFound => Self::Malformed,
            Refusal::Method => Self::Method,
            Refusal::Slow => Self::Slow,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Unverified => Self::Unverified,
            Refusal::Limited(_) => Self::Rate,
            Refusal::Failing(_) => Self::PeerRate,
            Refusal::Unhandled(_) => Self::Unhandled,
            Refusal::Unspeakable(_) => Self::Unspeakable,
            Refusal::Unavailable(trouble) => Self::Trouble(*trouble),
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::Unverified => "unverified",
            Self::Rate => "rate",
            Self::PeerRate => "peer_rate",
            Self::Unhandled => "unhandled",
            Self::Unspeakable => "unspeakable",
            Self::Trouble(trouble) => trouble.as_str(),
        }
    }
}

/// The counters of one source.
pub(super) struct Refusals(Vec<(RefusalReason, IntCounter)>);

impl Refusals {
    pub(super) fn new(family: &IntCounterVec, source: &str) -> Self {
        let counters = RefusalReason::all()
            .map(|reason| (reason, family.with_label_values(&[source, reason.label()])));
        Self(counters.collect())
    }

    pub(super) fn count(&self, refusal: &Refusal) {
        let reason = RefusalReason::of(refusal);
        let mut known = self.0.iter();
        if let Some((_, counter)) = known.find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }
}
