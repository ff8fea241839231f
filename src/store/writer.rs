//! The one that writes: group commit, then the backlog, then upkeep.
//!
//! Everything that queued while the last commit ran goes into the next one. The answers of a
//! commit travel in one message to a task that completes them from inside the runtime: waking
//! them from its thread one by one doubles the p99. After a fatal error nothing is written,
//! synced or checkpointed again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::backlog::Ready;
use super::engine::{
    Batch, Claim, Claimed, Committed, Engine, EngineError, Mark, NewEvent, Outcome, Policy,
};
use super::error::{Shortage, StoreError};
use super::intake::{Answer, Order, Work};
use super::shared::{Shared, lock};
use super::{Receipt, ReceiptKind, wide};
use crate::clock::{Clock, UnixMillis};
use crate::event::EventId;
use crate::planted::{Bug, planted};

/// Events read back per turn, so that commits are not held up.
const CLAIM_EVENTS_MAX: usize = 256;
/// Bytes read back per turn.
const CLAIM_BYTES_MAX: usize = 1 << 20;
/// While there is a shortage, space is looked at this often.
const SHORTAGE_LOOK: Duration = Duration::from_millis(500);
/// What could not be read is tried again after this.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Between two rounds of pruning.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

/// The answers of one commit.
pub(super) type Answers = Vec<(Answer<Receipt>, Result<Receipt, StoreError>)>;

/// The writer's own state.
pub(super) struct Writer {
    pub(super) engine: Box<dyn Engine>,
    pub(super) shared: Arc<Shared>,
    pub(super) answers: mpsc::Sender<Answers>,
    pub(super) clock: Clock,
    pub(super) policy: Policy,
    /// Damaged records that become dead letters in the next commit.
    pub(super) quarantined: Vec<Mark>,
    pub(super) prune_at: UnixMillis,
    pub(super) busy: bool,
    pub(super) short: bool,
    /// Events that are due could not be read.
    pub(super) unread: bool,
    /// The last commit failed; said once, not each time.
    pub(super) failing: bool,
    /// To rest before the next turn.
    pub(super) tired: bool,
    /// So often may the last turn be tried again: what it could not write the app gets twice.
    pub(super) farewells: u8,
}

/// Completes the answers of each commit; ends with the writer.
pub(super) async fn answer(mut commits: mpsc::Receiver<Answers>) {
    while let Some(answers) = commits.recv().await {
        for (answer, result) in answers {
            // The sender may have gone away; the event is stored all the same.
            let _ = answer.send(result);
        }
    }
}

impl Writer {
    /// How long there is nothing to do unless something arrives.
    pub(super) fn sleep(&self) -> Option<Duration> {
        if self.busy || !self.quarantined.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.steady();
        let due = self.engine.due_at().filter(|due| *due > now);
        let next = due.map_or(self.prune_at, |due| due.min(self.prune_at));
        // A millisecond more, so that a timer which fires early does not spin.
        let rest = next.since(now) + Duration::from_millis(1);
        Some(match (self.short, self.unread) {
            (true, _) => rest.min(SHORTAGE_LOOK),
            (false, true) => rest.min(READ_AGAIN),
            (false, false) => rest,
        })
    }

    pub(super) fn turn(&mut self, mut work: Work) -> Result<(), Arc<str>> {
        let idle = work.is_empty();
        self.look_for_room(&mut work);
        if !work.is_empty() {
            self.commit(work)?;
        }
        self.busy = false;
        self.refill()?;
        self.upkeep(idle)
    }

    /// Refuses new events while there is no room; everything else goes on.
    fn look_for_room(&mut self, work: &mut Work) {
        let room = self.engine.room(&self.policy);
        let shortage = room.err();
        if shortage.is_some() != self.short {
            self.short = shortage.is_some();
            match shortage {
                Some(shortage) => tracing::error!(%shortage, "the store takes no new events"),
                // Whether it does, the next commit says.
                None if self.failing => {}
                None => tracing::info!("the store takes new events again"),
            }
            // Pruning may make room.
            self.prune_at = self.clock.steady();
        }
        self.shared.intake.set_shortage(shortage);
        if let Some(shortage) = shortage {
            work.events.clear();
            self.answer_all(&mut work.answers, &StoreError::Full(shortage));
        }
    }

    fn answer_all(&self, answers: &mut Vec<Answer<Receipt>>, error: &StoreError) {
        let refused = answers.drain(..).map(|answer| (answer, Err(error.clone())));
        self.send(refused.collect());
    }

    fn send(&self, answers: Answers) {
        if !answers.is_empty() {
            match self.answers.try_send(answers) {
                Err(TrySendError::Full(answers)) => drop(self.answers.blocking_send(answers)),
                // Fails only when the runtime is gone, and everyone who waits with it.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
            }
        }
    }

    fn commit(&mut self, mut work: Work) -> Result<(), Arc<str>> {
        let engine = &self.engine;
        self.shared.backlog.admit(
            work.events
                .iter_mut()
                .map(|new| (&new.event, &mut new.claimed)),
            |source| engine.waiting(source),
        );
        let (replays, erasures) = wanted(&work.orders);
        let now = self.clock.steady();
        let batch = Batch {
            now,
            events: &work.events,
            marks: &work.marks,
            replays: &replays,
            erasures: &erasures,
            hasten: work.orders.iter().find_map(|order| match order {
                Order::Hasten(beyond, _) => Some(now.plus(*beyond)),
                Order::Replay(..) | Order::Erase(..) | Order::Find(..) | Order::Flush(_) => None,
            }),
        };
        if planted(Bug::AckBeforeCommit) {
            let early = |new| Ok(receipt(new, Outcome::Stored { seq: 0 }));
            let answers = std::mem::take(&mut work.answers).into_iter();
            self.send(answers.zip(work.events.iter().map(early)).collect());
        }
        let started = Instant::now();
        match self.engine.commit(&batch) {
            Ok(committed) => {
                self.shared.observe(started.elapsed(), work.events.len());
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the store commits again");
                }
                self.finish(work, committed);
                Ok(())
            }
            Err(error) => self.fail(work, error),
        }
    }

    /// After a durable commit: backlog first, then the answers.
    fn finish(&mut self, mut work: Work, mut committed: Committed) {
        self.shared.publish(std::mem::take(&mut committed.touched));
        self.shared.stats(self.engine.stats());
        let backlog = &self.shared.backlog;
        let offered = work.marks.len() - work.unoffered;
        if offered > 0 {
            let offered = work.marks.iter().take(offered);
            backlog.done(offered.map(|mark| &mark.event));
        }
        let erased = committed.erased.iter().flatten();
        erased.for_each(|seq| backlog.remove(*seq));
        let stored = work.events.iter().zip(&committed.outcomes);
        let stored = stored.zip(&work.answers);
        backlog.offer(stored.filter_map(|((new, outcome), answer)| {
            if planted(Bug::DropTheHandlersCommit) && answer.is_closed() {
                return None;
            }
            ready(new, *outcome)
        }));
        let receipts = work
            .events
            .iter()
            .zip(&committed.outcomes)
            .map(|(new, outcome)| receipt(new, *outcome));
        let answers = std::mem::take(&mut work.answers);
        self.send(answers.into_iter().zip(receipts.map(Ok)).collect());
        self.shared.watch.tell(&work, &committed);
        let settled = work.marks.iter();
        let settled = settled.map(|mark| (mark.event.id, &mark.settlement));
        self.shared.handled.tell(settled);
        let hastened = committed.hastened;
        let (replayed, erased) = (committed.replayed, committed.erased);
        let (mut replayed, mut erased) = (replayed.into_iter(), erased.into_iter());
        for order in work.orders {
            // Whoever asked may have gone away.
            match order {
                Order::Replay(ids, answer) => {
                    let due = replayed.by_ref().take(ids.len()).filter(|due| *due);
                    drop(answer.send(Ok(wide(due.count()))));
                }
                Order::Erase(id, answer) => {
                    self.shared.handled.forget(id);
                    drop(answer.send(Ok(erased.next().flatten().is_some())));
                }
                Order::Flush(answer) => drop(answer.send(Ok(()))),
                Order::Hasten(_, answer) => drop(answer.send(Ok(hastened))),
                Order::Find(_, answer) if answer.is_closed() => {}
                Order::Find(keys, answer) => drop(answer.send(Ok(self.engine.find(&keys)))),
            }
        }
    }

    /// After a failed commit nothing of it is acknowledged. Settlements are kept for the next one.
    fn fail(&mut self, mut work: Work, error: EngineError) -> Result<(), Arc<str>> {
        lock(&self.shared.stats).failed_commits += 1;
        let (answer, fatal) = match error {
            EngineError::Full => {
                let found = self.engine.room(&self.policy).err();
                let shortage = found.unwrap_or(Shortage::Disk {
                    free: 0,
                    needed: self.policy.low_space_bytes,
                });
                self.short = true;
                self.shared.intake.set_shortage(Some(shortage));
                (StoreError::Full(shortage), None)
            }
            EngineError::Unavailable(why) => (StoreError::Unavailable(why), None),
            EngineError::Fatal(why) if planted(Bug::KeepsAnsweringAfterFailedSync) => {
                (StoreError::Unavailable(why), None)
            }
            EngineError::Fatal(why) => (StoreError::Fatal(Arc::clone(&why)), Some(why)),
        };
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %answer, events = work.events.len(), "a commit failed; events are refused until one succeeds");
        }
        self.answer_all(&mut work.answers, &answer);
        let offered = work.marks.len() - work.unoffered;
        self.quarantined = work.marks.split_off(offered);
        for mark in work.marks.drain(..) {
            self.shared.intake.settle(mark);
        }
        refuse(work, &answer);
        if let Some(why) = fatal {
            return Err(why);
        }
        self.tired = true;
        Ok(())
    }

    /// Reads events back from disk while there is room for them in memory.
    fn refill(&mut self) -> Result<(), Arc<str>> {
        let now = self.clock.steady();
        if self.engine.due_at().is_none_or(|due| due > now) {
            return Ok(());
        }
        let (full, free) = self.shared.backlog.full();
        let claim = Claim {
            events_max: CLAIM_EVENTS_MAX,
            bytes_max: (free / 2).clamp(1, CLAIM_BYTES_MAX),
            full: &full,
        };
        self.shared.backlog.want_more();
        if free == 0 {
            return Ok(());
        }
        let claimed = self.engine.claim_due(now, &claim);
        self.unread = claimed.is_err();
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(EngineError::Fatal(why)) => return Err(why),
            Err(error) => {
                tracing::warn!(%error, "waiting events could not be read; trying again");
                return Ok(());
            }
        };
        self.busy |= !claimed.is_empty();
        let quarantined = &mut self.quarantined;
        self.shared
            .backlog
            .offer(claimed.into_iter().filter_map(|claimed| match claimed {
                Claimed::Ready(ready) => Some(ready),
                Claimed::Damaged(mark) => {
                    tracing::error!(
                        seq = mark.seq,
                        "a stored event is damaged; it becomes a dead letter"
                    );
                    quarantined.push(mark);
                    None
                }
            }));
        Ok(())
    }

    /// Pruning and the engine's own upkeep, in small slices.
    fn upkeep(&mut self, idle: bool) -> Result<(), Arc<str>> {
        let now = self.clock.steady();
        let used = self.engine.stats().used_bytes;
        let crowded = used > self.policy.bytes_max - self.policy.bytes_max / 16;
        if now >= self.prune_at || (crowded && !idle) {
            match self.engine.prune(&self.policy, now) {
                Ok(pruned) => {
                    self.shared.publish(pruned.touched);
                    if pruned.more {
                        self.busy = true;
                    } else {
                        self.prune_at = now.plus(PRUNE_EVERY);
                    }
                }
                Err(EngineError::Fatal(why)) => return Err(why),
                Err(error) => {
                    tracing::warn!(%error, "pruning failed; trying again");
                    // A part of it may be done.
                    if let Ok(counts) = self.engine.counts() {
                        self.shared.publish(counts);
                    }
                    self.prune_at = now.plus(PRUNE_EVERY);
                }
            }
        }
        match self.engine.maintain(now) {
            Ok(again) => self.busy |= again,
            Err(EngineError::Fatal(why)) => return Err(why),
            Err(error) => tracing::warn!(%error, "upkeep of the store failed; trying again"),
        }
        self.shared.stats(self.engine.stats());
        Ok(())
    }
}

pub(super) fn wanted(orders: &[Order]) -> (Vec<EventId>, Vec<EventId>) {
    let mut replays = Vec::new();
    let mut erasures = Vec::new();
    for order in orders {
        match order {
            Order::Replay(ids, _) => replays.extend_from_slice(ids),
            Order::Erase(id, _) => erasures.push(*id),
            Order::Find(..) | Order::Flush(_) | Order::Hasten(..) => {}
        }
    }
    (replays, erasures)
}

fn ready(new: &NewEvent, outcome: Outcome) -> Option<Ready> {
    let (Outcome::Stored { seq } | Outcome::Conflict { seq }) = outcome else {
        return None;
    };
    new.claimed.then(|| Ready {
        seq,
        event: Arc::clone(&new.event),
        attempt: 1,
        replay: false,
        pending_since: new.accepted_at,
    })
}

fn receipt(new: &NewEvent, outcome: Outcome) -> Receipt {
    let (event_id, kind) = match outcome {
        Outcome::Stored { .. } => (new.event.id, ReceiptKind::Stored),
        Outcome::Conflict { .. } => (new.event.id, ReceiptKind::Conflict),
        Outcome::Duplicate { of } => (of, ReceiptKind::Duplicate),
    };
    Receipt { event_id, kind }
}

/// Answers everything in `work` with an error.
pub(super) fn refuse(work: Work, error: &StoreError) {
    for answer in work.answers {
        drop(answer.send(Err(error.clone())));
    }
    for order in work.orders {
        match order {
            Order::Replay(_, answer) => drop(answer.send(Err(error.clone()))),
            Order::Erase(_, answer) => drop(answer.send(Err(error.clone()))),
            Order::Find(_, answer) => drop(answer.send(Err(error.clone()))),
            Order::Hasten(_, answer) => drop(answer.send(Err(error.clone()))),
            Order::Flush(answer) => drop(answer.send(Err(error.clone()))),
        }
    }
}
