//! "Why was this rejected?": recent refused requests, each with the mistake behind it if it is known.
//!
//! Memory only. Each source has a share of its own, so that a flood on one does not push out what
//! another had. The search for the mistake runs behind the answer, in one task, one request at a
//! time; who comes when it is busy, or too often, goes without. So neither the answer nor its time
//! tells a sender anything, and a flood of forgeries costs next to nothing.

mod examine;
mod record;
mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{broadcast, mpsc};

pub(super) use examine::Noted;
pub use record::{Finding, Record};
pub(super) use ring::Ring;

use super::source::Source;
use crate::clock::Clock;
use crate::event::Received;
use crate::shutdown::Stage;
use crate::verify::{DIAGNOSED_BYTES_MAX, Diagnostician, Reason, Rejection};
use examine::{Examiner, Job};

/// Requests that wait for their examination; each holds a body of at most [`DIAGNOSED_BYTES_MAX`].
const QUEUE_MAX: usize = 4;

/// The operator's view of what was refused; cheap to clone.
#[derive(Clone)]
pub struct Rejections {
    sources: Arc<[Arc<Source>]>,
    told: broadcast::Sender<Record>,
}

/// Rejections that one who looks on may be behind.
pub(super) const BEHIND_MAX: usize = 128;

/// Which rejections.
#[derive(Clone, Debug, Default)]
pub struct RejectionFilter {
    /// Only of this source.
    pub source: Option<String>,
    /// Only with this reason.
    pub reason: Option<Reason>,
}

impl Rejections {
    /// Of these sources, which tell `told` of each once it was examined.
    pub(super) fn new(sources: Vec<Arc<Source>>, told: broadcast::Sender<Record>) -> Self {
        Self {
            sources: sources.into(),
            told,
        }
    }

    /// Rejections from now on, each once it was examined; who is far behind misses some.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Record> {
        self.told.subscribe()
    }

    /// The newest first, at most `limit`.
    #[must_use]
    pub fn list(&self, filter: &RejectionFilter, limit: usize) -> Vec<Record> {
        let wanted = |source: &&Arc<Source>| {
            let name = filter.source.as_deref();
            name.is_none_or(|name| source.name.as_str() == name)
        };
        let mut records: Vec<_> = self
            .sources
            .iter()
            .filter(wanted)
            .flat_map(|source| source.rejections().newest(filter.reason, limit))
            .collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.number));
        records.truncate(limit);
        records
    }
}

/// Takes refused requests from the gate.
pub(super) struct Recorder {
    jobs: mpsc::Sender<Job>,
    clock: Clock,
    next: AtomicU64,
}

impl Recorder {
    /// Starts the task that looks for mistakes.
    pub(super) fn start(
        rejections: Rejections,
        diagnostician: Diagnostician,
        clock: Clock,
        stage: &Stage,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let examiner = Examiner {
            sources: rejections.sources,
            diagnostician,
        };
        stage.spawn(examine::run(queue, Arc::new(examiner), stage.clone()));
        Self {
            jobs,
            clock,
            next: AtomicU64::new(0),
        }
    }

    /// Records a request that failed verification, `observed` if it was let through all the same.
    /// It never waits: the log line is written here, or behind the examination.
    pub(super) fn note(
        &self,
        source: &Arc<Source>,
        received: &Received,
        rejection: &Rejection,
        observed: bool,
    ) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let verifier = source.verifier();
        let target = verifier.shown_target(received);
        let record = Record::new(number, &source.name, received, &target, rejection, observed);
        let fits = received.body.len() <= DIAGNOSED_BYTES_MAX;
        let admitted = {
            let mut ring = source.rejections();
            ring.push(record);
            fits && ring.admit(self.clock.steady())
        };
        let noted = Noted {
            number,
            peer: received.peer,
            rejection: rejection.clone(),
            observed,
        };
        let room = self.jobs.try_reserve().ok().filter(|_| admitted);
        match room {
            Some(room) => room.send(Job {
                source: Arc::clone(source),
                noted,
                received: received.clone(),
            }),
            None => source.conclude(&noted, Finding::Skipped, None),
        }
    }
}
