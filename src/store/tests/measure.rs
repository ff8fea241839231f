//! Figures, not checks; run by hand:
//! `cargo test --profile bench --lib measure -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use super::support::*;
use crate::verify::Verified;

static BODY: [u8; 1024] = [b'x'; 1024];

fn cpu() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = usage
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// 256 producers, each waits for its receipt; 32 consumers mark everything delivered.
#[test]
#[ignore = "measures, and takes minutes; CONTRIBUTING.md says how to run it"]
fn accept_and_deliver() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut store = Fixture::new();
        // Ids are time-ordered, so the time must move.
        store.config.path = store.dir.path().join("measured");
        store.store = open(&store.config, &crate::clock::Clock::real()).unwrap();
        let (began, used) = (Instant::now(), cpu());
        let mut tasks = tokio::task::JoinSet::new();
        let (producers, each) = (256u32, 1000u32);
        for producer in 0..producers {
            let store = store.store.clone();
            tasks.spawn(async move {
                for n in 0..each {
                    let id = format!("evt_{producer}_{n}");
                    store
                        .accept(Verified::for_test("stripe", &id, &BODY))
                        .await
                        .unwrap();
                }
            });
        }
        let mut consumers = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let store = store.store.clone();
            consumers.spawn(async move {
                loop {
                    let lease = store.lease().await;
                    store.settle(lease, delivered());
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let total = u64::from(producers * each);
        while store.counts("stripe").1 < total {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (took, used) = (began.elapsed(), cpu() - used);
        let total = total as f64;
        println!(
            "{:.0} events/s, {:.1} us CPU per event, last commit {:?}",
            total / took.as_secs_f64(),
            used.as_secs_f64() * 1e6 / total,
            store.store.stats().last_commit
        );
    });
}
