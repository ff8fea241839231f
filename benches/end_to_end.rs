//! A thousand signed events over 32 connections: until all are acknowledged, and until the app has
//! all of them. Sender, gate and app share this process and its cores, so only the ratio between two
//! runs on one machine means anything.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot set up should stop; its tasks end with it"
)]

mod parts;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookgate::net::Address;
use http::Request;
use http_body_util::{BodyExt, Full};
use parts::{Taken, connect, requests, start};

const EVENTS: usize = 1_000;
const CONNECTIONS: usize = 32;

/// Waits until the app has taken this many.
async fn reaches(taken: &Taken, count: usize) {
    loop {
        let changed = taken.changed.notified();
        if taken.count.load(Ordering::Acquire) >= count {
            return;
        }
        changed.await;
    }
}

/// Sends all requests over the connections; returns when all are acknowledged.
async fn send(address: &Address, mut requests: Vec<Request<Full<Bytes>>>) {
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let share = requests.split_off(requests.len() - EVENTS / CONNECTIONS);
        let address = address.clone();
        senders.push(tokio::spawn(async move {
            let mut sender = connect(&address).await;
            for request in share {
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

fn end_to_end(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (gateway, taken) = runtime.block_on(start(directory.path()));
    let address = gateway.listening().first().unwrap().clone();

    let mut group = criterion.benchmark_group("end to end");
    group
        .throughput(Throughput::Elements(
            (EVENTS / CONNECTIONS * CONNECTIONS) as u64,
        ))
        .sample_size(10);
    for (name, until_delivered) in [("acknowledged", false), ("delivered", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let mut total = Duration::ZERO;
                    for _ in 0..rounds {
                        let before = taken.count.load(Ordering::Acquire);
                        let requests = requests(EVENTS);
                        let started = Instant::now();
                        send(&address, requests).await;
                        let acknowledged = started.elapsed();
                        reaches(&taken, before + EVENTS / CONNECTIONS * CONNECTIONS).await;
                        total += if until_delivered {
                            started.elapsed()
                        } else {
                            acknowledged
                        };
                    }
                    total
                })
            });
        });
    }
    group.finish();
    drop(runtime.block_on(gateway.stop()));
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
