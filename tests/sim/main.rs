//! The whole system from a seed: senders, the gate with all its real parts, the app, crashes and
//! faults in one process, in simulated time. An oracle compares what the senders were told with what
//! the app got and what the disk kept.
//!
//! `HOOKGATE_TEST_SCHEDULES` says how many schedules run, `HOOKGATE_TEST_FIRST_SEED` where they begin;
//! `HOOKGATE_TEST_SEED` runs one alone and prints what happens in it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a harness fails loudly and says what it did"
)]

mod app;
mod gate;
mod history;
mod http;
mod mail;
mod network;
mod oracle;
mod schedule;
mod sender;
#[path = "../senders/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod senders;
#[path = "../it/support/sender.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod signing;
mod trouble;
#[path = "../simdisk/under.rs"]
mod under;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use schedule::Schedule;

const SCHEDULES: u64 = 5_000;
/// Schedules run on so many threads.
const THREADS: usize = 2;

fn from_environment(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let text = std::env::var(name);
    text.ok().map(|text| text.parse().expect("a number"))
}

/// Counts over many runs.
#[derive(Default, Debug)]
struct Tally {
    schedules: u64,
    requests: u64,
    acknowledged: u64,
    crashes: u64,
    faults: u64,
    repeats: u64,
    /// Seeds whose runs broke something, and what.
    broken: Vec<(u64, Vec<String>)>,
}

impl Tally {
    fn add(&mut self, seed: u64, report: &world::Report) {
        let seen = report.history.seen();
        self.schedules += 1;
        self.requests += seen.requests;
        self.acknowledged += oracle::acknowledgements(&seen) as u64;
        self.crashes += seen.crashes.len() as u64;
        self.faults += seen.faults;
        self.repeats += oracle::repeats(&seen) as u64;
        if !report.breaks.is_empty() {
            self.broken.push((seed, report.breaks.clone()));
        }
    }
}

#[test]
fn whatever_fails_the_promises_hold() {
    if let Some(seed) = from_environment("HOOKGATE_TEST_SEED") {
        return replay(seed);
    }
    let first = from_environment("HOOKGATE_TEST_FIRST_SEED").unwrap_or(0);
    let count = from_environment("HOOKGATE_TEST_SCHEDULES").unwrap_or(SCHEDULES);
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = tally.lock().expect("a lock").broken.len() >= 5;
                    if seed >= first + count || enough {
                        return;
                    }
                    let report = world::run(Schedule::of(seed), false);
                    tally.lock().expect("a lock").add(seed, &report);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("a lock");
    println!(
        "simulated schedules: {}, requests {}, acknowledged {}, crashes {}, faults {}, repeats {}, \
         invariant breaks {}",
        tally.schedules,
        tally.requests,
        tally.acknowledged,
        tally.crashes,
        tally.faults,
        tally.repeats,
        tally.broken.len()
    );
    for (seed, breaks) in &tally.broken {
        println!(
            "{breaks:#?}\nreplay: HOOKGATE_TEST_SEED={seed} cargo nextest run --test sim --no-capture"
        );
    }
    assert!(tally.broken.is_empty(), "see above");
}

fn replay(seed: u64) {
    let schedule = Schedule::of(seed);
    println!("{schedule:#?}");
    let report = world::run(schedule, true);
    for line in report.history.seen().lines.iter().flatten() {
        println!("{line}");
    }
    assert!(report.breaks.is_empty(), "{:#?}", report.breaks);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let runs = [(), ()].map(|()| world::run(Schedule::of(seed), true));
        let [first, second] = &runs;
        let lines =
            |report: &world::Report| report.history.seen().lines.clone().unwrap_or_default();
        let (one, other) = (lines(first), lines(second));
        let parts = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(parts, None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
        assert_eq!(first.history.trace_hash(), second.history.trace_hash());
    }
}
