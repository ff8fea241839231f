//! A store on a simulated disk, run in place, through any number of lives.

use std::sync::Arc;
use std::time::Duration;

use simdisk::Disk;
use tokio::runtime::Runtime;

use super::super::support::{START, attempt, config, id_of};
use super::model::{Model, Sent, Stand, verified};
use super::under::Simulated;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::store::*;

/// What is done to the store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Accept(Sent),
    /// Takes the next event and reports on it; waits until that is durable, or not.
    Settle(Report, bool),
    Replay(usize),
    Erase(usize),
    Flush,
    /// Time passes, in hours.
    Wait(u16),
    /// Closes in order and opens again.
    Reopen,
}

/// What the app said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    Delivered,
    Retry,
    Dead,
    Nothing,
}

/// How a life ends out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The power fails.
    Crash,
    /// The process dies, and the page cache lives on.
    Kill,
}

/// The store while a process lives.
struct Life {
    store: Store,
    runtime: Runtime,
}

/// Disk, store and model.
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) model: Model,
    config: Config,
    clock: Clock,
    life: Option<Life>,
    lives: u64,
    /// Second syncs that may be: they came from starts that failed.
    excused: usize,
    /// Names that a start has made durable.
    names: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let disk = Disk::new(seed);
        let mut config = config(&disk.path());
        config.disk = Some(Arc::new(Simulated::new(disk.clone())));
        // Some events fit into memory, some do not.
        config.backlog_bytes_max = 40_000;
        Self {
            disk,
            model: Model::default(),
            config,
            clock: Clock::manual(START),
            life: None,
            lives: 0,
            excused: 0,
            names: Vec::new(),
        }
    }

    /// A process starts; whether the store opens.
    pub(super) fn start(&mut self) -> bool {
        self.lives += 1;
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let entropy = Entropy::seeded(self.lives);
        let clock = self.clock.clone();
        let store = Store::open_in_place(&self.config, clock, entropy, runtime.handle());
        let Ok(store) = store else {
            return false;
        };
        self.names = self.disk.names();
        self.life = Some(Life { store, runtime });
        true
    }

    fn run<T>(&self, what: impl AsyncFnOnce(&Store) -> T) -> T {
        let life = self.life.as_ref().expect("the store is open");
        life.runtime.block_on(what(&life.store))
    }

    /// The store has failed, or was not opened: the process has to end.
    pub(super) fn failed(&self) -> bool {
        let failed = |life: &Life| life.store.shared().failed.borrow().is_some();
        self.life.as_ref().is_none_or(failed)
    }

    pub(super) fn step(&mut self, step: Step) {
        // A time-ordered id, and a time of its own, for each.
        self.clock.advance(Duration::from_millis(1));
        self.model.aged(self.clock.steady(), self.config.keep);
        match step {
            Step::Accept(sent) => drop(self.accept(sent)),
            Step::Settle(report, flush) => {
                self.settle(report);
                if flush {
                    self.flush();
                }
            }
            Step::Replay(n) => {
                if let Some(id) = self.model.nth(n) {
                    let answer = self.run(async |store| store.replay(vec![id]).await);
                    self.model.replayed(id, answer.ok());
                }
            }
            Step::Erase(n) => {
                if let Some(id) = self.model.nth(n) {
                    let _ = self.run(async |store| store.erase(id).await);
                    self.model.erased(id, self.clock.steady());
                }
            }
            Step::Flush => self.flush(),
            Step::Wait(hours) => self.wait(Duration::from_hours(hours.into())),
            Step::Reopen => {
                self.flush();
                if let Some(Life { store, runtime }) = self.life.take() {
                    let _ = runtime.block_on(store.close()); // its disk may fail
                }
                self.start();
            }
        }
    }

    pub(super) fn accept(&mut self, sent: Sent) -> Result<Receipt, StoreError> {
        let answer = self.run(async |store| store.accept(verified(sent)).await);
        self.model.answered(sent, &answer);
        answer
    }

    /// What was refused comes again, and now nothing fails.
    pub(super) fn senders_try_again(&mut self) {
        for sent in self.model.refused() {
            self.accept(sent).expect("nothing fails any more");
        }
    }

    /// The number of an event, when those before it are delivered.
    pub(super) fn number_of(&self, id: u8) -> u64 {
        loop {
            let lease = self.lease().expect("it is due");
            if id_of(&lease) == id.to_string() {
                return lease.seq;
            }
            let delivered = Settlement::Delivered(attempt("answered"));
            self.run(async |store| store.settle(lease, delivered));
        }
    }

    /// Damaged and lost events that the store knows of.
    pub(super) fn damaged(&self) -> u64 {
        self.run(async |store| store.stats()).damaged
    }

    /// The next event, if one is due.
    fn lease(&self) -> Option<Lease> {
        let longest = Duration::from_millis(5);
        self.run(async |store| tokio::time::timeout(longest, store.lease()).await.ok())
    }

    /// Whether an event was due.
    fn settle(&mut self, report: Report) -> bool {
        let Some(lease) = self.lease() else {
            return false;
        };
        self.model.leased(&lease.event);
        let now = self.clock.steady();
        let (id, attempt) = (lease.event.id, attempt("answered"));
        let (stand, settlement) = match report {
            Report::Delivered => (Stand::Delivered, Settlement::Delivered(attempt)),
            Report::Retry => {
                let next_at = now.plus(Duration::from_secs(60));
                (Stand::Pending, Settlement::Retry { next_at, attempt })
            }
            Report::Dead => {
                let (attempt, reason) = (Some(attempt), DeadReason::GaveUp);
                (Stand::Dead, Settlement::Dead { attempt, reason })
            }
            Report::Nothing => return true,
        };
        self.run(async |store| store.settle(lease, settlement));
        self.model.settled(id, stand, now);
        true
    }

    fn flush(&mut self) {
        if self.run(async |store| store.flush().await).is_ok() {
            self.model.flushed();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        // Retries come due, retention is looked at, and the mark is written.
        self.run(async |store| {
            store.nudge();
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
    }

    /// The process ends, with or without the power.
    pub(super) fn end(&mut self, end: End) {
        let mut again = self.disk.second_syncs();
        again.drain(..self.excused);
        if self.life.is_none() {
            // SQLite takes back what it could not commit to a new file; nobody was promised anything.
            self.excused += again.len();
        } else {
            assert!(again.is_empty(), "syncs of {again:?} were tried again");
        }
        if self.life.is_some() && self.failed() {
            assert!(self.refuses(), "it acknowledges after it has failed");
        }
        match end {
            End::Kill if !self.disk.is_down() => self.disk.kill(),
            End::Kill | End::Crash => {
                self.disk.crash();
                let names = self.disk.names();
                let kept = |name: &&String| names.contains(name);
                let lost: Vec<_> = self.names.iter().filter(|name| !kept(name)).collect();
                assert!(lost.is_empty(), "{lost:?} had no durable name");
            }
        }
        self.life = None;
    }

    fn refuses(&mut self) -> bool {
        let answer = self.run(async |store| store.accept(verified(("a", 250, 0))).await);
        matches!(answer, Err(StoreError::Fatal(_)))
    }

    /// Everything that the store has, judged.
    pub(super) fn check(&mut self) {
        let events = self.run(async |store| {
            let mut events = Vec::new();
            let mut page = store.list(Filter::default(), 1000, None).await.unwrap();
            loop {
                for summary in &page.events {
                    events.extend(store.show(summary.id).await.unwrap());
                }
                let Some(next) = page.next else { break };
                let more = store.list(Filter::default(), 1000, Some(next)).await;
                page = more.unwrap();
            }
            events
        });
        self.model.aged(self.clock.steady(), self.config.keep);
        self.model.found(&events);
        let counts = self.run(async |store| store.counts());
        let counted = counts
            .sources
            .iter()
            .map(|of| [of.pending, of.delivered, of.dead]);
        let counted = counted.fold([0; 3], |sum, of| std::array::from_fn(|n| sum[n] + of[n]));
        let there = State::ALL.map(|state| {
            let of = events.iter().filter(|event| event.summary.state == state);
            of.count() as u64
        });
        assert_eq!(counted, there, "the counts are those of the events");
        assert_eq!(self.damaged(), 0, "nothing is damaged or known to be lost");
    }

    /// The app takes everything.
    pub(super) fn drain(&mut self) {
        self.wait(Duration::from_hours(1));
        while self.settle(Report::Delivered) {
            self.flush();
        }
        self.flush();
        self.model.drained();
    }

    /// The disk is whole again: new events are taken soon, without a restart.
    pub(super) fn recovers_by_itself(&mut self) {
        for _ in 0..5 {
            self.run(async |_| tokio::time::sleep(Duration::from_secs(1)).await);
            if self.accept(("a", 240, 0)).is_ok() {
                return;
            }
        }
        panic!("it takes no events although nothing fails any more");
    }
}
