//! Lists of a large store: how long one call takes, and how many calls it takes to the end of what is
//! rare.
//!
//!   HOOKGATE_BENCH_EVENTS=1000000 cargo bench --bench lists
//!
//! Not with criterion: filling the store takes longer than all that is measured.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot set up should stop, prints its figures, and is set by its environment"
)]

use std::time::{Duration, Instant};

use hookgate::clock::{Clock, UnixMillis};
use hookgate::store::bench::EngineBench;
use hookgate::store::{Config, Filter, Keep, State, Store};

/// Events filled in by one commit.
const BATCH: u64 = 1_000;

/// An event that there is, far from both ends.
const KNOWN: u64 = 20_000;

fn main() {
    let count = std::env::var("HOOKGATE_BENCH_EVENTS").ok();
    let count: u64 = count.map_or(50_000, |count| count.parse().expect("a number"));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let started = Instant::now();
    let mut engine = EngineBench::open(directory.path()).expect("a store");
    for _ in 0..count / BATCH {
        assert!(engine.fill(BATCH), "a commit");
    }
    drop(engine);
    println!("{count} events stored in {:?}", started.elapsed());

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let started = Instant::now();
    let forever = Duration::from_hours(24 * 365);
    let config = Config {
        path: directory.path().to_path_buf(),
        bytes_max: 1 << 40,
        low_space_bytes: 0,
        allow_volatile: true,
        keep: Keep {
            delivered: forever,
            dead: forever,
            ids: forever,
        },
        backlog_bytes_max: 8 << 20,
        dedup_windows: std::collections::HashMap::new(),
        disk: None,
    };
    let store = Store::open(config, Clock::real(), runtime.handle()).expect("the store");
    println!("opened in {:?}\n", started.elapsed());
    println!(
        "{:34} {:>9} {:>9} {:>6} {:>7} {:>9}",
        "filter", "first", "slowest", "calls", "events", "all"
    );
    runtime.block_on(async {
        for (name, filter, pages_max) in filters() {
            measure(&store, name, filter, pages_max).await;
        }
        store.close().await.expect("an orderly end");
    });
}

/// Each with the most pages of it that are read.
fn filters() -> Vec<(&'static str, Filter, usize)> {
    let all = Filter::default();
    let source = |name: &str| Filter {
        source: Some(name.into()),
        ..Filter::default()
    };
    let state = |state| Filter {
        state: Some(state),
        ..Filter::default()
    };
    let id = |id: &str, dedup_ids| Filter {
        id: Some(id.into()),
        dedup_ids,
        ..Filter::default()
    };
    let rare = Filter {
        event_type: Some("rare.thing".into()),
        ..Filter::default()
    };
    let later = Filter {
        since: Some(UnixMillis(i64::MAX)),
        ..Filter::default()
    };
    let before = Filter {
        until: Some(UnixMillis(1)),
        ..Filter::default()
    };
    let known = vec![("bench".into(), KNOWN.to_le_bytes().to_vec())];
    let known = id(&format!("evt_{KNOWN:024}"), known);
    let end = usize::MAX;
    vec![
        ("none, twenty pages", all, 20),
        ("source=stripe, twenty pages", source("stripe"), 20),
        ("state=dead, to the end", state(State::Dead), end),
        ("state=pending, to the end", state(State::Pending), end),
        ("source=rare, to the end", source("rare"), end),
        ("type=rare.thing, to the end", rare, end),
        ("since=(later than all), to the end", later, end),
        ("until=(before all), to the end", before, end),
        ("id=(one that is known), one page", known, 1),
        ("id=(nobody's), to the end", id("nothing", Vec::new()), end),
    ]
}

async fn measure(store: &Store, name: &str, filter: Filter, pages_max: usize) {
    let (mut cursor, mut calls, mut events) = (None, 0, 0);
    let (mut first, mut slowest, started) = (None, Duration::ZERO, Instant::now());
    while calls < pages_max {
        let asked = Instant::now();
        let page = store
            .list(filter.clone(), 50, cursor)
            .await
            .expect("a page");
        let took = asked.elapsed();
        first.get_or_insert(took);
        slowest = slowest.max(took);
        calls += 1;
        events += page.events.len();
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let ms = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1e3);
    println!(
        "{name:34} {:>9} {:>9} {calls:>6} {events:>7} {:>9}",
        ms(first.unwrap_or_default()),
        ms(slowest),
        ms(started.elapsed())
    );
}
