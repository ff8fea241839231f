//! What a durable commit costs, by size of the batch, and what a repeat costs.

#![expect(
    clippy::expect_used,
    reason = "without a store there is nothing to measure"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hookgate::store::bench::EngineBench;

fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory for the store");
    let mut engine = EngineBench::open(dir.path()).expect("a store");
    let mut group = c.benchmark_group("commit_1KiB");
    group
        .sample_size(20)
        .measurement_time(std::time::Duration::from_secs(2));
    for size in [1, 16, 128] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(size.to_string(), |bench| {
            bench.iter_custom(|rounds| {
                let batches: Vec<_> = (0..rounds).map(|_| engine.events(size)).collect();
                let started = std::time::Instant::now();
                for events in &batches {
                    assert!(engine.commit(events));
                }
                started.elapsed()
            });
        });
    }
    group.finish();
}

fn repeats(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory for the store");
    let mut engine = EngineBench::open(dir.path()).expect("a store");
    let first = engine.events(1024);
    assert!(engine.commit(&first));
    let mut group = c.benchmark_group("duplicates");
    group
        .sample_size(20)
        .measurement_time(std::time::Duration::from_secs(2));
    group.throughput(Throughput::Elements(128));
    let repeats = engine.repeats(128);
    group.bench_function("128", |bench| {
        bench.iter_batched(
            || (),
            |()| assert!(engine.commit(&repeats)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, commits, repeats);
criterion_main!(benches);
