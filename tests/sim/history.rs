//! What the sender and the app saw, in true time: the evidence that the oracle judges.

use std::fmt::{self, Arguments};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// One try of a sender that ended with an answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) sending: usize,
    pub(crate) life: usize,
    pub(crate) at: Duration,
    /// The gate's clock was wrong while the request was under way.
    pub(crate) skewed: bool,
    /// The whole request was sent at once.
    pub(crate) whole: bool,
    pub(crate) status: u16,
    /// `Hookgate-Status`.
    pub(crate) kind: String,
    /// `Hookgate-Event-Id`.
    pub(crate) event: String,
}

/// One request that the app has read to its end.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) event: String,
    pub(crate) source: String,
    pub(crate) body: Vec<u8>,
    pub(crate) attempt: u32,
    pub(crate) replay: bool,
    pub(crate) life: usize,
    pub(crate) at: Duration,
    pub(crate) outcome: Outcome,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(
            f,
            "life {} at {at:.3} attempt {} {:?}",
            self.life, self.attempt, self.outcome
        )
    }
}

/// What the app did with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Has not answered.
    Open,
    /// Answered 2xx, whole and in time.
    Taken { at: Duration },
    /// Answered something else, whole and in time.
    Refused {
        at: Duration,
        status: u16,
        retry_after: Option<u64>,
    },
    /// Answered whole, at about the time when the gate loses its patience.
    Late { status: u16 },
    /// The connection ended before the answer did, or the answer came too late.
    Unclear,
}

/// All that was seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    pub(crate) deliveries: Vec<Delivery>,
    /// When each life ended without order.
    pub(crate) crashes: Vec<Duration>,
    /// Events that an operator made due again, and when.
    pub(crate) replayed: Vec<(String, Duration)>,
    pub(crate) faults: u64,
    pub(crate) requests: u64,
    hasher: DefaultHasher,
    /// Every line, to print it.
    pub(crate) lines: Option<Vec<String>>,
}

/// The evidence of one run; clones are the same one.
#[derive(Clone)]
pub(crate) struct History(Arc<Mutex<Seen>>);

impl History {
    pub(crate) fn new(told: bool) -> Self {
        let lines = told.then(Vec::new);
        Self(Arc::new(Mutex::new(Seen {
            lines,
            ..Seen::default()
        })))
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, at: Duration, what: Arguments<'_>) {
        let line = format!("{:>10.3} {what}", at.as_secs_f64());
        let mut seen = self.seen();
        seen.hasher.write(line.as_bytes());
        if let Some(lines) = &mut seen.lines {
            lines.push(line);
        }
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        self.seen().hasher.finish()
    }
}

/// True time, which goes on over the lives of the gate.
#[derive(Clone, Copy)]
pub(crate) struct Timeline {
    /// Which one it is.
    pub(crate) life: usize,
    base: Duration,
    started: Instant,
}

impl Timeline {
    /// A life begins.
    pub(crate) fn of(life: usize, base: Duration) -> Self {
        Self {
            life,
            base,
            started: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.base + self.started.elapsed()
    }

    /// Waits until that time; not at all if it is over.
    pub(crate) async fn until(&self, at: Duration) {
        tokio::time::sleep_until(self.started + at.saturating_sub(self.base)).await;
    }
}
