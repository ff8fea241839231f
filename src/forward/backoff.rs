//! When to try again. Pure: the random number is passed in.

use std::time::Duration;

use crate::planted::{Bug, planted};

/// Exponential back-off with full jitter, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// Longest wait at all.
    pub max: Duration,
    /// An event that has not been taken by then is a dead letter.
    pub give_up_after: Duration,
}

/// Longest wait of those who will soon be gone. Not shorter: these attempts count, and how long the next
/// process waits depends on how many there were.
pub const HURRY: Duration = Duration::from_secs(5);

impl RetryPolicy {
    /// The same for a process that is about to end.
    #[must_use]
    pub fn in_a_hurry(self) -> Self {
        Self {
            first: self.first.min(HURRY),
            max: self.max.min(HURRY),
            ..self
        }
    }

    /// The wait after the `failures`-th failure (1, 2, ...): a `random` share (0 to 1) of the longest
    /// wait, so that events which failed together do not come back together. What the app asked for
    /// with `Retry-After` is the least, up to [`RetryPolicy::max`].
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64, asked: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.max);
        let jittered = ceiling.mul_f64(random.clamp(0.0, 1.0));
        if planted(Bug::RetryAfterUnbounded) {
            return asked.unwrap_or_default().max(jittered);
        }
        asked.map_or(jittered, |asked| asked.min(self.max).max(jittered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        first: Duration::from_secs(1),
        max: Duration::from_secs(3600),
        give_up_after: Duration::from_secs(72 * 3600),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let longest: Vec<_> = [1, 2, 3, 12, 13, u32::MAX]
            .map(|n| POLICY.delay(n, 1.0, None).as_secs())
            .into();
        assert_eq!(longest, [1, 2, 4, 2048, 3600, 3600]);
    }

    #[test]
    fn the_app_may_ask_for_more_time_but_not_for_ever() {
        assert_eq!(
            POLICY
                .delay(1, 0.0, Some(Duration::from_secs(30)))
                .as_secs(),
            30
        );
        assert_eq!(
            POLICY
                .delay(1, 0.0, Some(Duration::from_secs(1_000_000)))
                .as_secs(),
            3600
        );
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest(failures: u32, random: f64, asked: Option<u32>) {
            let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
            let random = if random.is_nan() { 0.5 } else { random };
            prop_assert!(POLICY.delay(failures, random, asked) <= POLICY.max);
        }
    }
}
