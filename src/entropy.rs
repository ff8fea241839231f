//! Randomness, passed in so that a simulation repeats it. Never for secrets or keys.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::clock::UnixMillis;

/// Where random numbers come from; cheap to clone.
#[derive(Clone, Debug)]
pub struct Entropy(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Seeded(Arc<Mutex<fastrand::Rng>>),
}

impl Entropy {
    /// What nobody can foretell.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same numbers for the same seed.
    #[doc(hidden)]
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self(Source::Seeded(Arc::new(Mutex::new(rng))))
    }

    /// A share, from 0 to below 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        match &self.0 {
            Source::System => fastrand::f64(),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).f64(),
        }
    }

    /// Any number.
    #[must_use]
    pub fn number(&self) -> u64 {
        match &self.0 {
            Source::System => fastrand::u64(..),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).u64(..),
        }
    }

    /// An id that sorts by `at` (UUID version 7); no two are the same.
    pub(crate) fn id(&self, at: UnixMillis) -> Uuid {
        let (seconds, millis) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let millis = u32::try_from(millis).unwrap_or(0);
        match &self.0 {
            Source::System => {
                let nanos = millis.saturating_mul(1_000_000);
                Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
            }
            Source::Seeded(_) => {
                let millis = seconds.saturating_mul(1000).saturating_add(millis.into());
                let [mut random, more] = [self.number(), self.number()].map(u64::to_be_bytes);
                // Ten bytes are asked for.
                let mut bytes = [0; 10];
                let (first, rest) = bytes.split_at_mut(8);
                first.swap_with_slice(&mut random);
                rest.copy_from_slice(more.split_at(2).0);
                uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_ids() {
        let (one, same) = (Entropy::seeded(7), Entropy::seeded(7));
        let at = UnixMillis(1_735_689_600_007);
        assert_eq!(one.id(at), same.id(at));
        assert_ne!(one.id(at), one.id(at));
        assert_eq!((one.number(), one.share()), {
            same.id(at);
            same.id(at);
            (same.number(), same.share())
        });
    }
}
