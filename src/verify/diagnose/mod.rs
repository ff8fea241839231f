//! Why a signature did not hold: the known mistakes are tried, one at a time.
//!
//! A trial changes one thing, in the source's configuration or in the request, and asks whether
//! the signature would hold then, whatever the time. The first that does is named. What this
//! finds is for the operator alone: it runs after the answer, and nothing of it may reach the
//! sender. It makes no decision; a request stays refused whatever is found.
//!
//! The work for one request is bounded by [`BODY_BYTES_MAX`] and the number of trials; how often it
//! is done is the caller's to bound.

mod body;
mod head;
mod mistake;
mod neighbour;
mod scheme;
mod secret;
mod url;

pub use mistake::{Diagnosis, Mistake};

use std::sync::{Arc, OnceLock};

use super::proof::Proof;
use super::rejection::{Reason, Rejection};
use super::rule::Rule;
use super::view::View;
use super::{Config, Verifier};
use crate::clock::UnixMillis;
use crate::event::Received;
use crate::providers::{Catalogue, Provider};

/// A request with a larger body is not diagnosed: each trial hashes it anew.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Names the mistake behind a refused request, if it is a known one.
pub struct Diagnostician {
    catalogue: Catalogue,
    /// All of them: to read the files takes longer than all trials together.
    providers: OnceLock<Vec<Arc<Provider>>>,
}

impl Diagnostician {
    /// Knows all providers.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            providers: OnceLock::new(),
        }
    }

    /// All providers by id, without their samples; read when a request first needs them.
    fn providers(&self) -> &[Arc<Provider>] {
        self.providers.get_or_init(|| {
            let bare = |mut provider: Arc<Provider>| {
                Arc::make_mut(&mut provider).samples = Vec::new();
                provider
            };
            self.catalogue.iter().map(bare).collect()
        })
    }

    /// The mistake behind the refusal of a request by `verifier`; `all` are those of all sources,
    /// and `now` is when it was refused.
    #[must_use]
    pub fn diagnose(
        &self,
        verifier: &Verifier,
        all: &[Arc<Verifier>],
        received: &Received,
        rejection: &Rejection,
        now: UnixMillis,
    ) -> Option<Diagnosis> {
        if rejection.reason == Reason::Address || received.body.len() > BODY_BYTES_MAX {
            return None;
        }
        let case = Case {
            verifier,
            received,
            rejection,
            now,
            verifiers: all,
            diagnostician: self,
        };
        case.diagnose()
    }
}

/// One refused request and what it is compared with.
struct Case<'a> {
    verifier: &'a Verifier,
    received: &'a Received,
    rejection: &'a Rejection,
    now: UnixMillis,
    verifiers: &'a [Arc<Verifier>],
    diagnostician: &'a Diagnostician,
}

impl Case<'_> {
    /// From the likely and cheap to the rest; what only looks at headers comes last.
    fn diagnose(&self) -> Option<Diagnosis> {
        if matches!(self.rejection.reason, Reason::Stale | Reason::Future) {
            return self.timestamp_unit().or_else(|| self.clock_skew());
        }
        self.secret()
            .or_else(|| self.neighbour())
            .or_else(|| self.scheme())
            .or_else(|| self.url())
            .or_else(|| self.body())
            .or_else(|| self.head())
    }

    fn view<'v>(&'v self, verifier: &'v Verifier) -> View<'v> {
        View::of(self.received, &verifier.values, &verifier.public_url)
    }

    /// Whether `verifier` finds a proof in the request that holds, whatever the time.
    fn holds(&self, verifier: &Verifier, view: &View<'_>) -> bool {
        let proves = |rule: &&Rule| !matches!(rule.proof, Proof::Nothing);
        verifier.rules.iter().filter(proves).any(|rule| {
            let outcome = rule.check(view, self.now);
            outcome.map_or_else(
                |rejection| matches!(rejection.reason, Reason::Stale | Reason::Future),
                |_| true,
            )
        })
    }

    /// Whether this source's own verifier would take the request as the view shows it.
    fn holds_for(&self, view: &View<'_>) -> bool {
        self.holds(self.verifier, view)
    }

    /// The source's verifier with one change; `None` if it makes no sense.
    fn altered(&self, alter: impl FnOnce(&mut Config)) -> Option<Verifier> {
        let mut config = self.verifier.config.clone();
        alter(&mut config);
        Verifier::new(config).ok()
    }

    /// Whether the request as it came would hold with one change to the source.
    fn holds_with(&self, alter: impl FnOnce(&mut Config)) -> bool {
        self.altered(alter)
            .is_some_and(|verifier| self.holds(&verifier, &self.view(&verifier)))
    }
}
