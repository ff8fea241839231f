//! Thousands of damaged stores: whatever was done to the files, no wrong byte is delivered, nothing
//! panics, nothing that was acknowledged vanishes without being counted, and a sender who repeats an
//! event is told that it is stored only if it is.
//!
//! `HOOKGATE_TEST_DAMAGES` says how many seeds (1,000), `HOOKGATE_TEST_FIRST_SEED` from which on;
//! `HOOKGATE_TEST_SEED` runs one. A store that has failed keeps its files open until its process ends, as
//! it must, so much more than 10,000 in one process run out of descriptors.

mod original;
mod trial;
mod wreck;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::number_from_environment;
use crate::store::lock;
use original::Original;
use trial::{Trial, Verdict};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn trial(originals: &[Original], seed: u64) -> (Verdict, Vec<String>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let original = &originals[random.usize(0..originals.len())];
    let mut files = original.files.clone();
    let done = wreck::damage(&mut files, &original.earlier, &mut random);
    let runtime = runtime();
    let run = AssertUnwindSafe(|| runtime.block_on(Trial::of(original, &files).run()));
    match catch_unwind(run) {
        Ok(verdict) => (verdict, done),
        Err(panic) => {
            println!(
                "seed {seed}: {done:?}\nreplay: HOOKGATE_TEST_SEED={seed} cargo nextest run --lib whatever_is_damaged"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_is_damaged_no_wrong_byte_is_delivered_and_nothing_vanishes_in_silence() {
    let runtime = runtime();
    let originals = [true, false].map(|closed| runtime.block_on(Original::make(closed)));
    if let Some(seed) = number_from_environment("HOOKGATE_TEST_SEED") {
        // With the store's own words.
        let log = tracing_subscriber::fmt().with_test_writer().finish();
        let _ = tracing::subscriber::set_global_default(log);
        println!("seed {seed}: {:?}", trial(&originals, seed));
        return;
    }
    let seeds = number_from_environment("HOOKGATE_TEST_DAMAGES").unwrap_or(1000);
    let first = number_from_environment("HOOKGATE_TEST_FIRST_SEED").unwrap_or(0);
    let (next, verdicts) = (AtomicU64::new(first), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let (verdict, _) = trial(&originals, seed);
                    *lock(&verdicts).entry(verdict).or_insert(0_u64) += 1;
                }
            });
        }
    });
    let verdicts = lock(&verdicts);
    let of = |verdict| verdicts.get(&verdict).copied().unwrap_or(0);
    println!(
        "{seeds} damaged stores: {} reported damage and went on, {} refused to start and said why, {} were unharmed; 0 wrong bytes, 0 empty starts, 0 vanished in silence, 0 panics",
        of(Verdict::Reported),
        of(Verdict::Refused),
        of(Verdict::Unharmed)
    );
}
