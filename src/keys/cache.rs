//! What was fetched, for how long it counts, and when it may be asked for again. No I/O, no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::client::FetchError;
use super::public::PublicKey;
use super::wanted::Wanted;
use crate::clock::UnixMillis;
use crate::net::Party;

/// Places that are remembered.
const ENTRIES_MAX: usize = 64;
/// How long keys count, whatever their sender says.
const FRESH_MIN: Duration = Duration::from_mins(5);
const FRESH_MAX: Duration = Duration::from_hours(24);
/// How long they count if it says nothing.
const FRESH: Duration = Duration::from_hours(1);
/// For so long after that they are still used when they cannot be fetched again.
const STALE_MAX: Duration = Duration::from_hours(24);
/// A key that was not there is asked for again after this time, and so is a set that lacks a key.
const ABSENT: Duration = Duration::from_mins(1);
/// So is what could not be fetched.
const FAILED: Duration = Duration::from_secs(10);
/// Fetches in a minute of what is not known yet, for each host or pattern that is allowed: requests
/// name places before they are verified.
const NEW_PER_MINUTE_MAX: u32 = 30;
/// As many of them are kept for peers that have caused none in this minute,
const FIRST_PER_MINUTE: u32 = 20;
/// and one peer causes no more than this: a genuine sender needs one or two keys.
const NEW_PER_PEER_MAX: u32 = 5;

/// What there is for a request.
pub enum Cached {
    /// Keys, of which one may be the wanted one.
    Keys(Arc<[PublicKey]>),
    /// It was asked for a moment ago, and there is no such key.
    Unknown,
    /// It has to be fetched.
    Missing,
}

#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Box<str>, Entry>,
    /// By host or pattern, whose number is the configuration's.
    spent: HashMap<Box<str>, Minute>,
    /// The same for what verified requests ask for.
    visited: HashMap<Box<str>, Minute>,
}

/// What was fetched in one minute.
#[derive(Default)]
struct Minute {
    minute: i64,
    fetches: u32,
    by_peer: HashMap<Party, u32>,
}

impl Minute {
    /// Takes one fetch out of the minute. A peer that speaks for many has no share of its own.
    fn spend(&mut self, party: Option<Party>, now: UnixMillis) -> Result<(), FetchError> {
        let minute = now.seconds().div_euclid(60);
        if self.minute != minute {
            *self = Self {
                minute,
                ..Self::default()
            };
        }
        let caused = party.and_then(|party| self.by_peer.get(&party).copied());
        let limit = match caused {
            Some(NEW_PER_PEER_MAX..) => 0,
            Some(_) => NEW_PER_MINUTE_MAX - FIRST_PER_MINUTE,
            None => NEW_PER_MINUTE_MAX,
        };
        if self.fetches >= limit {
            return Err(FetchError::Busy);
        }
        self.fetches += 1;
        if let Some(party) = party {
            *self.by_peer.entry(party).or_default() += 1;
        }
        Ok(())
    }
}

struct Entry {
    /// The last keys; none if there was no such key.
    keys: Arc<[PublicKey]>,
    fresh_until: UnixMillis,
    keep_until: UnixMillis,
    asked_at: UnixMillis,
    /// Why the last fetch brought nothing.
    failure: Option<FetchError>,
    used_at: UnixMillis,
}

impl Entry {
    fn new(now: UnixMillis) -> Self {
        Self {
            keys: Arc::new([]),
            fresh_until: now,
            keep_until: now,
            asked_at: now,
            failure: None,
            used_at: now,
        }
    }

    fn look(&self, wanted: &Wanted, now: UnixMillis) -> Cached {
        let ago = now.since(self.asked_at);
        let has = now < self.keep_until && wanted.is_in(&self.keys);
        let fresh = now < self.fresh_until;
        match &self.failure {
            _ if has && fresh => Cached::Keys(Arc::clone(&self.keys)),
            Some(_) if has && ago < FAILED => Cached::Keys(Arc::clone(&self.keys)),
            None if !has && ago < ABSENT => Cached::Unknown,
            Some(_) | None => Cached::Missing,
        }
    }
}

impl Cache {
    pub(super) fn look(&mut self, wanted: &Wanted, now: UnixMillis) -> Cached {
        let Some(entry) = self.entries.get_mut(&wanted.place()) else {
            return Cached::Missing;
        };
        entry.used_at = now;
        entry.look(wanted, now)
    }

    /// Whether something missing may be fetched now, for a request of this peer.
    ///
    /// # Errors
    /// It failed a moment ago, or too much that is new was asked for.
    pub(super) fn admit(
        &mut self,
        wanted: &Wanted,
        party: Option<Party>,
        now: UnixMillis,
    ) -> Result<(), FetchError> {
        if let Some(entry) = self.entries.get(&wanted.place())
            && let Some(failure) = &entry.failure
            && now.since(entry.asked_at) < FAILED
        {
            return Err(failure.clone());
        }
        if self.is_in_use(wanted) {
            return Ok(());
        }
        let minute = self.spent.entry(wanted.target.allowed_by().into());
        minute.or_default().spend(party, now)
    }

    /// Whether it was there before: keys that senders use are always renewed, whoever else spends
    /// the minute or the fetches.
    pub(super) fn is_in_use(&self, wanted: &Wanted) -> bool {
        let entry = self.entries.get(&wanted.place());
        entry.is_some_and(|entry| wanted.is_in(&entry.keys))
    }

    /// Whether a verified request may have its address called now. Forgers cannot use this up.
    ///
    /// # Errors
    /// It is too much in one minute.
    pub(super) fn admit_visit(
        &mut self,
        allowed_by: &str,
        now: UnixMillis,
    ) -> Result<(), FetchError> {
        let minute = self.visited.entry(allowed_by.into());
        minute.or_default().spend(None, now)
    }

    /// Remembers what a fetch brought. Keys stay known over a failure.
    pub(super) fn settle(
        &mut self,
        wanted: &Wanted,
        result: Result<(Vec<PublicKey>, Option<Duration>), FetchError>,
        now: UnixMillis,
    ) {
        let entry = self.entry(wanted.place(), now);
        entry.asked_at = now;
        match result {
            Ok((keys, max_age)) => {
                let fresh = max_age.unwrap_or(FRESH).clamp(FRESH_MIN, FRESH_MAX);
                entry.fresh_until = now.plus(fresh);
                entry.keep_until = entry.fresh_until.plus(STALE_MAX);
                entry.keys = keys.into();
                entry.failure = None;
            }
            Err(error) => entry.failure = Some(error),
        }
    }

    /// The entry for a place. When there are too many, one without keys goes first, then the one
    /// that was used longest ago.
    fn entry(&mut self, place: Box<str>, now: UnixMillis) -> &mut Entry {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&place) {
            let rank = |entry: &Entry| (!entry.keys.is_empty(), entry.used_at);
            let last = self.entries.iter().min_by_key(|(_, entry)| rank(entry));
            if let Some(place) = last.map(|(place, _)| place.clone()) {
                self.entries.remove(&place);
            }
        }
        self.entries.entry(place).or_insert_with(|| Entry::new(now))
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
