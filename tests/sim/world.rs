//! One run: the lives of the gate one after the other, what goes wrong in them, and the end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use hookgate::clock::Clock;
use hookgate::entropy::Entropy;
use hookgate::shutdown::Stage;
use hookgate::store::{Content, Filter, State, Store, StoreError, StoredEvent, Summary};
use simdisk::Disk;
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, yield_now};

use crate::app::{App, PATIENCE};
use crate::gate::{self, RETRY_MAX, Running};
use crate::history::{History, Timeline};
use crate::network::{Door, app_address};
use crate::oracle::{self, Stored};
use crate::schedule::{End, Life, Schedule};
use crate::sender::{START, Senders};
use crate::trouble::Trouble;
use crate::under::Simulated;

/// By then everything is taken or dead once faults have stopped: the longest wait for a retry, the
/// attempts under way, and what the disk and the probe of the app take.
const DRAINED_AFTER: Duration = Duration::from_secs(20 + 2 * 5 + 10);
/// By then every genuine message is acknowledged once faults have stopped.
const ACKNOWLEDGED_AFTER: Duration = Duration::from_secs(30);

/// A run under way.
pub(crate) struct World {
    schedule: Arc<Schedule>,
    history: History,
    senders: Senders,
    disk: Disk,
    /// The same as a store takes it.
    under: Arc<Simulated>,
    entropy: Entropy,
    rng: Rng,
    /// True time.
    now: Duration,
    life: usize,
    /// Events that a start has found delivered.
    delivered: HashSet<String>,
    breaks: Vec<String>,
}

/// What came of a run.
pub(crate) struct Report {
    pub(crate) history: History,
    pub(crate) breaks: Vec<String>,
}

/// How a life ended.
enum Ended {
    Power,
    Exit,
    Order,
    /// It was the last one, and everything was looked at.
    Checked,
}

/// Runs a schedule to its end.
pub(crate) fn run(schedule: Schedule, told: bool) -> Report {
    let schedule = Arc::new(schedule);
    let history = History::new(told);
    let disk = Disk::new(schedule.seed);
    let world = World {
        senders: Senders::new(&schedule, &history),
        under: Arc::new(Simulated::new(disk.clone())),
        disk,
        entropy: Entropy::seeded(schedule.seed),
        rng: Rng::with_seed(!schedule.seed),
        now: Duration::ZERO,
        life: 0,
        delivered: HashSet::new(),
        breaks: Vec::new(),
        history: history.clone(),
        schedule,
    };
    let breaks = world.run();
    Report { history, breaks }
}

/// Time stands still unless everybody waits.
fn in_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(future)
}

impl World {
    fn run(mut self) -> Vec<String> {
        let lives = self.schedule.lives.clone();
        let mut checked = false;
        for (number, life) in lives.iter().enumerate() {
            let last = number + 1 == lives.len();
            self.break_starts(life.broken_starts);
            checked = self.live(*life, last && self.schedule.liveness);
        }
        if !checked {
            // What is left of the faults is over: one more start.
            let quiet = Life {
                length: Duration::ZERO,
                steps: 0,
                end: End::Kill,
                lag: Duration::ZERO,
                fault: None,
                full: None,
                broken_starts: 0,
                pause: Duration::ZERO,
            };
            let checked = if self.schedule.liveness {
                self.live(quiet, true)
            } else {
                self.look()
            };
            if !checked {
                self.breaks
                    .push("the store cannot be opened on a disk without faults".into());
            }
        }
        let seen = self.history.seen();
        self.breaks.extend(oracle::answers(&self.schedule, &seen));
        self.breaks
            .extend(oracle::deliveries(&self.schedule, &seen));
        self.breaks.extend(oracle::turns(&self.schedule, &seen));
        drop(seen);
        self.breaks
    }

    /// Starts that the power cuts off.
    fn break_starts(&mut self, times: u32) {
        for _ in 0..times {
            let nth = self.rng.u64(0..40);
            self.disk
                .fail_nth(nth, simdisk::Fault::Crash, simdisk::Repeat::Once);
            let disk = self.disk.clone();
            in_a_runtime(async {
                let clock = Clock::simulated(START.plus(self.now));
                let opened = gate::open(&self.schedule, &self.under, &clock, &self.entropy);
                disk.crash();
                drop(opened);
            });
            self.history
                .note(self.now, format_args!("a start broken off"));
            self.history.seen().faults += 1;
        }
    }

    /// One life of the gate; whether it was looked at in the end.
    fn live(&mut self, life: Life, finale: bool) -> bool {
        self.life += 1;
        let ended = in_a_runtime(async {
            let timeline = Timeline::of(self.life, self.now);
            let ended = self.lived(&life, timeline, finale).await;
            self.now = timeline.now();
            self.history.note(
                self.now,
                format_args!("life {} ends: {}", self.life, ended.word()),
            );
            match ended {
                Ended::Power => self.disk.crash(),
                Ended::Exit | Ended::Order | Ended::Checked => self.disk.kill(),
            }
            if matches!(ended, Ended::Power | Ended::Exit) {
                self.history.seen().crashes.push(self.now);
            }
            ended
        });
        self.disk.set_free_bytes(u64::MAX);
        self.now += life.pause;
        matches!(ended, Ended::Checked)
    }

    async fn lived(&mut self, life: &Life, timeline: Timeline, finale: bool) -> Ended {
        let clock = Clock::simulated(START.plus(self.now));
        let (longest, lags) = (life.lag, Mutex::new(self.rng.fork()));
        self.under
            .lags(move || longest.mul_f64(lags.lock().expect("a lock").f64()));
        let store = match gate::open(&self.schedule, &self.under, &clock, &self.entropy) {
            Ok(store) => store,
            Err(error) => {
                self.history
                    .note(self.now, format_args!("no start: {error}"));
                return Ended::Power;
            }
        };
        self.check_start(&store).await;
        let stage = Stage::in_place();
        let app = App::new(&self.schedule, &self.history, timeline, &stage);
        let (door, listen) = Door::new(self.schedule.wire_bytes);
        let addresses = (listen, app_address(&app));
        let (schedule, entropy) = (&self.schedule, &self.entropy);
        let running = Running::start(schedule, store, &clock, entropy, addresses).await;
        let mut tasks = self.senders(&stage, timeline, &door, false);
        let trouble = Trouble {
            schedule: Arc::clone(&self.schedule),
            history: self.history.clone(),
            timeline,
        };
        let disk = self.disk.clone();
        tasks.push(stage.spawn(trouble.clone().of_the_clock(clock.clone())));
        tasks.push(stage.spawn(trouble.clone().of_an_operator(running.store.clone())));
        tasks.push(stage.spawn(trouble.of_the_disk(*life, disk)));
        if let Some(ended) = self.goes_on(life, &running.store, timeline).await {
            return ended;
        }
        if finale {
            tasks.iter().for_each(JoinHandle::abort);
            clock.jump(START.plus(timeline.now()).0 - clock.wall().0);
            let struck = self.disk.struck();
            self.disk.heal();
            self.disk.set_free_bytes(u64::MAX);
            self.under.lags(|| Duration::ZERO);
            app.calm_down();
            return match self.drain(&running, &stage, timeline, &door).await {
                // A fault of before that shows only now: the next life has none.
                Err(_) if struck => Ended::Exit,
                Err(error) => {
                    self.breaks.push(format!(
                        "the store failed on a disk without faults: {error}"
                    ));
                    Ended::Checked
                }
                Ok(()) => Ended::Checked,
            };
        }
        match life.end {
            End::Power => Ended::Power,
            End::Kill => Ended::Exit,
            End::Stop => match running.stop().await && !self.disk.is_down() {
                // What the app has taken could not be written down to the very end.
                true if self.disk.still_fails() => Ended::Exit,
                true => Ended::Order,
                false => Ended::Exit,
            },
        }
    }

    /// Until its time is over; how it ended, if the store failed before.
    async fn goes_on(&mut self, life: &Life, store: &Store, timeline: Timeline) -> Option<Ended> {
        let over = async {
            tokio::time::sleep(life.length).await;
            for _ in 0..life.steps {
                yield_now().await;
            }
        };
        let error = tokio::select! {
            biased;
            error = store.failed() => error,
            () = over => return None,
        };
        self.history
            .note(timeline.now(), format_args!("the store failed: {error}"));
        let power = self.disk.is_down() || self.rng.u32(0..4) == 0;
        Some(if power { Ended::Power } else { Ended::Exit })
    }

    fn senders(
        &self,
        stage: &Stage,
        timeline: Timeline,
        door: &Door,
        calm: bool,
    ) -> Vec<JoinHandle<()>> {
        let all = 0..self.schedule.sendings.len();
        let start = |number| {
            let senders = self.senders.clone();
            stage.spawn(senders.run(number, timeline, door.clone(), calm))
        };
        all.map(start).collect()
    }

    /// Faults have stopped: everything is acknowledged, and then taken or dead, in time.
    async fn drain(
        &mut self,
        running: &Running,
        stage: &Stage,
        timeline: Timeline,
        door: &Door,
    ) -> Result<(), StoreError> {
        self.history.note(timeline.now(), format_args!("calm"));
        let senders = self.senders(stage, timeline, door, true);
        let done = async {
            for sender in senders {
                let _ = sender.await;
            }
        };
        let store = &running.store;
        let done = tokio::select! {
            biased;
            error = store.failed() => {
                self.history.note(timeline.now(), format_args!("the store failed: {error}"));
                return Err(error);
            }
            done = tokio::time::timeout(ACKNOWLEDGED_AFTER, done) => done,
        };
        if done.is_err() {
            self.breaks
                .push("a genuine message is not acknowledged although nothing fails".into());
        }
        tokio::time::sleep(DRAINED_AFTER).await;
        store.flush().await?;
        let stored = self.check_end(store).await;
        self.breaks.extend(oracle::drained(&self.schedule, &stored));
        Ok(())
    }

    /// The last look of a run whose faults went on to the end.
    fn look(&mut self) -> bool {
        in_a_runtime(async {
            let clock = Clock::simulated(START.plus(self.now));
            let opened = gate::open(&self.schedule, &self.under, &clock, &self.entropy);
            let Ok(store) = opened else {
                return false;
            };
            self.check_start(&store).await;
            self.check_end(&store).await;
            self.disk.kill();
            true
        })
    }

    async fn check_start(&mut self, store: &Store) {
        let summaries = listed(store).await;
        let line = summaries.iter().map(|one| one.state.as_str());
        let line: Vec<_> = line.collect();
        self.history.note(
            self.now,
            format_args!("life {} starts: {line:?}", self.life),
        );
        let seen = self.history.seen();
        self.breaks
            .extend(oracle::start(&seen, &summaries, &self.delivered));
        drop(seen);
        let delivered = summaries.iter().filter(|one| one.state == State::Delivered);
        self.delivered = delivered.map(|one| one.id.to_string()).collect();
    }

    async fn check_end(&mut self, store: &Store) -> Vec<Stored> {
        let mut stored = Vec::new();
        for summary in listed(store).await {
            match store.show(summary.id).await {
                Ok(Some(event)) => stored.push(as_stored(event)),
                Ok(None) => self
                    .breaks
                    .push(format!("{} is listed and not there", summary.id)),
                Err(error) => self
                    .breaks
                    .push(format!("{} cannot be read: {error}", summary.id)),
            }
        }
        let counts = store.counts();
        let sum: u64 = counts
            .sources
            .iter()
            .map(|of| of.pending + of.delivered + of.dead)
            .sum();
        if sum != stored.len() as u64 {
            self.breaks.push(format!(
                "{sum} events are counted and {} stored",
                stored.len()
            ));
        }
        let seen = self.history.seen();
        self.breaks
            .extend(oracle::stored(&self.schedule, &seen, &stored));
        drop(seen);
        stored
    }
}

impl Ended {
    fn word(&self) -> &'static str {
        match self {
            Self::Power => "power cut",
            Self::Exit => "killed",
            Self::Order => "in order",
            Self::Checked => "checked",
        }
    }
}

fn as_stored(event: StoredEvent) -> Stored {
    let StoredEvent {
        summary, content, ..
    } = event;
    Stored {
        id: summary.id.to_string(),
        source: summary.source.to_string(),
        state: summary.state,
        body: match content {
            Content::Whole(event) => Some(event.body.to_vec()),
            Content::Erased | Content::Damaged => None,
        },
    }
}

async fn listed(store: &Store) -> Vec<Summary> {
    let page = store.list(Filter::default(), 1_000, None).await;
    page.expect("a disk that can be read").events
}

// The two figures of the bound that other files own.
const _: () = assert!(RETRY_MAX.as_secs() == 20 && PATIENCE.as_secs() == 5);
