//! Time, passed in so that tests control it.
//!
//! Two readings, because they answer two questions. [`Clock::wall`] is what people and signatures
//! mean by "now"; it may jump. [`Clock::steady`] is the time that has really passed; it never jumps,
//! so due times, retention and leases are counted on it, and a clock set wrong or corrected changes
//! only which signed timestamps are in tolerance.
//!
//! Steady time begins as wall time, once. A later process goes on from what the last one wrote down
//! ([`Clock::go_on_from`]): how long nobody was there only the wall clock knows, so it is believed, but
//! no more than [`AWAY_MAX`] of it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::planted::{Bug, planted};

/// An instant in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The instant `after` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The instant `before` earlier; saturates at the beginning of time.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(before.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// RFC 3339 in UTC with milliseconds, for headers, logs and the API.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }
}

/// Time without a process that a start believes the wall clock. Beyond, retention and windows stand
/// still while nobody is there: what is kept is kept for longer. No retry waits longer than this at
/// the default `app.retry.max`, so all are due after it.
pub const AWAY_MAX: Duration = Duration::from_hours(1);

/// Both readings at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What [`Clock::wall`] said.
    pub wall: UnixMillis,
    /// What [`Clock::steady`] said.
    pub steady: UnixMillis,
}

/// The two readings of time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// What steady time is ahead of the source's, in milliseconds; settled once.
    ahead: Arc<OnceLock<i64>>,
}

#[derive(Clone, Debug)]
enum Source {
    Real {
        started: Instant,
        started_at: UnixMillis,
    },
    Manual(Arc<AtomicI64>),
    Simulated {
        started: tokio::time::Instant,
        started_at: UnixMillis,
        /// By how much wall time has jumped since.
        jumped: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn real() -> Self {
        Self::of(Source::Real {
            started: Instant::now(),
            started_at: machine_wall(),
        })
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(at: UnixMillis) -> Self {
        Self::of(Source::Manual(Arc::new(AtomicI64::new(at.0))))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            ahead: Arc::default(),
        }
    }

    /// Lets steady time go on from the last reading of an earlier process; with `None` there was no
    /// such process. Only the first call counts: within a process steady time never jumps.
    pub fn go_on_from(&self, last: Option<Reading>) {
        let ahead = || {
            let last = last.filter(|_| !planted(Bug::TrustWallClockAtStart))?;
            let away = self.wall().since(last.wall).min(AWAY_MAX);
            Some(last.steady.plus(away).0.saturating_sub(self.unsettled().0))
        };
        self.ahead.get_or_init(|| ahead().unwrap_or(0));
    }

    /// Both at once, to go on from later.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading {
            wall: self.wall(),
            steady: self.steady(),
        }
    }

    /// A clock that keeps the time of the Tokio runtime, which a simulation pauses: both readings
    /// begin at `at`, and only [`Clock::jump`] parts them.
    #[doc(hidden)]
    #[must_use]
    pub fn simulated(at: UnixMillis) -> Self {
        Self::of(Source::Simulated {
            started: tokio::time::Instant::now(),
            started_at: at,
            jumped: Arc::default(),
        })
    }

    /// Wall time: for signed timestamps and for what people read.
    #[must_use]
    pub fn wall(&self) -> UnixMillis {
        match &self.source {
            Source::Real { .. } => machine_wall(),
            Source::Manual(at) => UnixMillis(at.load(Ordering::SeqCst)),
            Source::Simulated { jumped, .. } => {
                let UnixMillis(right) = self.unsettled();
                UnixMillis(right.saturating_add(jumped.load(Ordering::SeqCst)))
            }
        }
    }

    /// Time that never jumps: for due times, retention and leases.
    #[must_use]
    pub fn steady(&self) -> UnixMillis {
        let ahead = self.ahead.get().copied().unwrap_or(0);
        UnixMillis(self.unsettled().0.saturating_add(ahead))
    }

    fn unsettled(&self) -> UnixMillis {
        match &self.source {
            Source::Real {
                started,
                started_at,
            } => started_at.plus(started.elapsed()),
            Source::Manual(at) => UnixMillis(at.load(Ordering::SeqCst)),
            Source::Simulated {
                started,
                started_at,
                ..
            } => started_at.plus(started.elapsed()),
        }
    }

    /// Sets the wall time of a simulated clock forward or back, as a person or NTP does; another
    /// clock is left alone.
    #[doc(hidden)]
    pub fn jump(&self, by: i64) {
        if let Source::Simulated { jumped, .. } = &self.source {
            jumped.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Moves a manual clock on; a real one is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.source {
            at.fetch_add(
                i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the machine's clock is read"
)]
fn machine_wall() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_rfc3339_with_milliseconds() {
        assert_eq!(
            UnixMillis(1_735_689_600_007).rfc3339(),
            "2025-01-01T00:00:00.007Z"
        );
    }

    #[test]
    fn steady_time_goes_on_where_it_was_and_believes_the_wall_an_hour_at_most() {
        let (hour, year) = (Duration::from_hours(1), Duration::from_hours(24 * 365));
        let last = Reading {
            wall: UnixMillis(1_000_000_000_000),
            steady: UnixMillis(900_000_000_000),
        };
        for (wall, steady) in [
            (last.wall.plus(hour / 2), last.steady.plus(hour / 2)),
            (last.wall.plus(year * 10), last.steady.plus(hour)),
            (last.wall.minus(year * 10), last.steady),
        ] {
            let clock = Clock::manual(wall);
            clock.go_on_from(Some(last));
            assert_eq!((clock.wall(), clock.steady()), (wall, steady));
            clock.go_on_from(None);
            clock.advance(hour);
            assert_eq!(clock.steady(), steady.plus(hour));
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(UnixMillis(5));
        assert_eq!(clock.steady(), UnixMillis(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall(), UnixMillis(1005));
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_a_simulated_clock_moves_wall_time_alone() {
        let clock = Clock::simulated(UnixMillis(5));
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.jump(-3000);
        assert_eq!(clock.steady(), UnixMillis(1005));
        assert_eq!(clock.wall(), UnixMillis(-1995));
    }
}
