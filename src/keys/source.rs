//! Where public keys come from: a cache that verification asks, and one flight at a time to fill it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::cache::{Cache, Cached};
use super::client::{Client, Config, FetchError};
use super::metrics::Metrics;
use super::target::Target;
use super::wanted::Wanted;
use crate::clock::Clock;
use crate::net::Party;
use crate::shutdown::Stage;

/// Fetches under way at a time of what is not known yet; as many places at most are renewed beside
/// them as are remembered.
const FLIGHTS_MAX: usize = 8;
/// Of these, for requests of one peer.
const FLIGHTS_PER_PEER_MAX: usize = 2;

/// The keys of senders that publish them; cheap to clone, and all clones are one.
#[derive(Clone)]
pub struct KeySource(Arc<Inner>);

struct Inner {
    client: Client,
    clock: Clock,
    metrics: Metrics,
    stage: Stage,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    cache: Cache,
    flights: HashMap<Box<str>, Flight>,
}

/// A fetch under way.
struct Flight {
    /// The peer whose request caused it.
    party: Option<Party>,
    landing: Landing,
}

/// The outcome of a fetch under way, once there is one.
type Landing = watch::Receiver<Option<Result<(), FetchError>>>;

impl KeySource {
    /// A source that knows nothing yet. Its fetches are tasks of the stage.
    #[must_use]
    pub fn new(config: Config, clock: Clock, metrics: Metrics, stage: Stage) -> Self {
        Self(Arc::new(Inner {
            client: Client::new(config),
            clock,
            metrics,
            stage,
            known: Mutex::default(),
        }))
    }

    /// A source that knows nothing, for tests of what asks it.
    #[cfg(test)]
    pub(crate) fn for_test(now: crate::clock::UnixMillis) -> Self {
        let metrics = Metrics::new(&crate::metrics::Metrics::new());
        let clock = Clock::manual(now);
        Self::new(Config::default(), clock, metrics, Stage::default())
    }

    /// What is known now. It never waits.
    #[must_use]
    pub fn cached(&self, wanted: &Wanted) -> Cached {
        let now = self.0.clock.steady();
        self.0.known().cache.look(wanted, now)
    }

    /// Fetches what is missing for a request of this peer; all who want the same wait for the same
    /// fetch. After that [`KeySource::cached`] has keys, or knows that there is no such key.
    ///
    /// # Errors
    /// Nothing could be fetched, and no older keys can stand in. This is our trouble, not the
    /// sender's.
    pub async fn fetch(&self, wanted: &Wanted, peer: Option<IpAddr>) -> Result<(), FetchError> {
        let boarded = self.board(wanted, Party::of(peer));
        if matches!(boarded, Err(FetchError::Busy)) {
            self.0.metrics.count(&boarded);
        }
        let Some(mut landing) = boarded? else {
            return Ok(());
        };
        let outcome = landing.wait_for(Option::is_some).await;
        let outcome = outcome.map_or(None, |outcome| (*outcome).clone());
        match (outcome, self.cached(wanted)) {
            (Some(Ok(())), _) | (_, Cached::Keys(_)) => Ok(()),
            (Some(Err(error)), _) => Err(error),
            // Its task is gone: we are shutting down, or it panicked.
            (None, _) => Err(FetchError::Broken),
        }
    }

    /// Calls the target that a verified request names, and forgets the answer (an SNS subscription is
    /// confirmed in this way).
    ///
    /// # Errors
    /// It could not be called, or answered something other than 200.
    pub async fn visit(&self, target: &Target) -> Result<(), FetchError> {
        let now = self.0.clock.steady();
        let admitted = self.0.known().cache.admit_visit(target.allowed_by(), now);
        let result = match admitted {
            Ok(()) => self.0.client.send(target, None).await.map(drop),
            Err(error) => Err(error),
        };
        self.0.report(target, &result);
        result
    }

    /// The fetch to wait for, begun if need be; `None` if there is nothing to wait for any more.
    fn board(&self, wanted: &Wanted, party: Option<Party>) -> Result<Option<Landing>, FetchError> {
        let now = self.0.clock.steady();
        let place = wanted.place();
        let mut known = self.0.known();
        // One whose task panicked never lands.
        known
            .flights
            .retain(|_, flight| flight.landing.has_changed().is_ok());
        if let Some(flight) = known.flights.get(&place) {
            return Ok(Some(flight.landing.clone()));
        }
        if !matches!(known.cache.look(wanted, now), Cached::Missing) {
            return Ok(None);
        }
        if !known.has_room(party) && !known.cache.is_in_use(wanted) {
            return Err(FetchError::Busy);
        }
        known.cache.admit(wanted, party, now)?;
        let (landed, landing) = watch::channel(None);
        let flight = Flight {
            party,
            landing: landing.clone(),
        };
        known.flights.insert(place.clone(), flight);
        drop(known);
        let (inner, wanted) = (Arc::clone(&self.0), wanted.clone());
        // A task of its own: a sender that goes away must not end what others wait for.
        self.0.stage.spawn(async move {
            let outcome = inner.bring(&wanted).await;
            inner.known().flights.remove(&place);
            landed.send_replace(Some(outcome));
        });
        Ok(Some(landing))
    }
}

impl Known {
    /// Whether one more flight may begin for a peer.
    fn has_room(&self, party: Option<Party>) -> bool {
        let of_peer = self.flights.values();
        let of_peer = of_peer.filter(|flight| party.is_some() && flight.party == party);
        self.flights.len() < FLIGHTS_MAX && of_peer.count() < FLIGHTS_PER_PEER_MAX
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches, and remembers what came of it.
    async fn bring(&self, wanted: &Wanted) -> Result<(), FetchError> {
        let answer = self.client.send(&wanted.target, wanted.question()).await;
        let result = match answer {
            Ok(answer) => wanted.read(&answer.body).map(|keys| (keys, answer.max_age)),
            Err(error) if wanted.is_absence(&error) => Ok((Vec::new(), None)),
            Err(error) => Err(error),
        };
        self.report(&wanted.target, &result);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let now = self.clock.steady();
        self.known().cache.settle(wanted, result, now);
        outcome
    }

    /// Only the host is shown: paths and queries can hold tokens.
    fn report<T>(&self, target: &Target, result: &Result<T, FetchError>) {
        self.metrics.count(result);
        if let Err(error) = result {
            tracing::warn!(host = target.host(), %error, "a sender's key or confirmation cannot be fetched");
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
