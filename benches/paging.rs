//! Somebody looks through a large store: what that costs those who send meanwhile.
//!
//!   HOOKGATE_BENCH_EVENTS=1000000 cargo bench --bench paging
//!
//! With `HOOKGATE_BENCH_DIRECTORY` the store is made there, if it is not there yet, and stays.
//!
//! Windows with and without somebody who pages take turns, so that both see the same machine; what is
//! compared is the time from when a request was due to be sent until it was acknowledged. Sender, gate
//! and app share this process and its cores: only the ratios mean anything.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot set up should stop, prints its figures, and is set by its environment"
)]

mod parts;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate::net::Address;
use hookgate::store::bench::EngineBench;
use http::Request;
use http_body_util::{BodyExt, Full};
use parts::{connect, requests, start};

/// Events filled in by one commit.
const BATCH: u64 = 1_000;
const CONNECTIONS: usize = 32;
/// Requests in a second.
const RATE: usize = 400;
const WINDOW: Duration = Duration::from_secs(3);
/// Windows of each kind.
const ROUNDS: usize = 12;

/// Somebody who pages.
#[derive(Clone, Copy)]
struct Pager {
    name: &'static str,
    query: &'static str,
    /// From one page to the next.
    rest: Duration,
}

const PAGERS: [Pager; 3] = [
    Pager {
        name: "five pages a second",
        query: "limit=50",
        rest: Duration::from_millis(200),
    },
    Pager {
        name: "page after page",
        query: "limit=50",
        rest: Duration::ZERO,
    },
    Pager {
        name: "a type that is rare, look after look",
        query: "limit=50&type=rare.thing",
        rest: Duration::ZERO,
    },
];

fn main() {
    let count = std::env::var("HOOKGATE_BENCH_EVENTS").ok();
    let count: u64 = count.map_or(50_000, |count| count.parse().expect("a number"));
    let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let kept = std::env::var_os("HOOKGATE_BENCH_DIRECTORY").map(PathBuf::from);
    let directory = kept.as_deref().unwrap_or(temporary.path());
    if !directory.join("store").exists() {
        fill(directory, count);
        println!("{count} events stored");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let before = memory();
        let (gateway, _taken) = start(directory).await;
        let to = gateway.listening().first().unwrap().clone();
        let admin = gateway.admin_listening().first().unwrap().clone();
        println!(
            "memory: {before} KiB before the start, {} KiB after",
            memory()
        );
        println!(
            "\n{:38} {:>15} {:>15} {:>6} {:>7} {:>20}",
            "milliseconds", "alone p50 p99", "beside p50 p99", "ratio", "pages", "page p50 p99 max"
        );
        for pager in PAGERS {
            compare(&to, &admin, pager).await;
        }
        println!("\nmemory: {} KiB after all that", memory());
        drop(gateway.stop().await);
    });
}

fn fill(directory: &Path, count: u64) {
    let mut engine = EngineBench::open(&directory.join("store")).expect("a store");
    for _ in 0..count / BATCH {
        assert!(engine.fill(BATCH), "a commit");
    }
}

/// Resident memory of this process in KiB.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.unwrap_or("unknown").split_whitespace();
    words.take(1).collect()
}

async fn compare(to: &Address, admin: &Address, pager: Pager) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut pages, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (mut p99_alone, mut p99_beside) = (0.0, 0.0);
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let mut took = send(to).await;
                p99_alone = percentile(&mut took, 99);
                alone.extend(took);
            } else {
                let (mut took, looked) = tokio::join!(send(to), page_through(admin, pager));
                p99_beside = percentile(&mut took, 99);
                beside.extend(took);
                pages.extend(looked);
            }
        }
        ratios.push(p99_beside / p99_alone);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{:38} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {:>6.2} {:>7} {:>6.1} {:>6.1} {:>6.1}",
        pager.name,
        percentile(&mut alone, 50),
        percentile(&mut alone, 99),
        percentile(&mut beside, 50),
        percentile(&mut beside, 99),
        ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
        pages.len(),
        percentile(&mut pages, 50),
        percentile(&mut pages, 99),
        percentile(&mut pages, 100),
    );
}

/// Milliseconds from when each request was due to be sent until its answer was there.
async fn send(to: &Address) -> Vec<f64> {
    let share = RATE * usize::try_from(WINDOW.as_secs()).expect("seconds") / CONNECTIONS;
    let gap = WINDOW / u32::try_from(share).expect("a number");
    let mut requests = requests(share * CONNECTIONS);
    let began = Instant::now() + gap;
    let mut senders = Vec::new();
    for n in 0..CONNECTIONS {
        let share: Vec<_> = requests.split_off(requests.len() - share);
        let offset = gap * u32::try_from(n).expect("a number") / 32;
        let to = to.clone();
        senders.push(tokio::spawn(async move {
            let mut sender = connect(&to).await;
            let mut took = Vec::new();
            for (request, due) in share
                .into_iter()
                .zip((0..).map(|n| began + offset + gap * n))
            {
                tokio::time::sleep_until(due.into()).await;
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                took.push(due.elapsed().as_secs_f64() * 1e3);
            }
            took
        }));
    }
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.unwrap());
    }
    took
}

/// Looks at one page after the other for as long as a window is open, and at the first one again after
/// the last; milliseconds that each took.
async fn page_through(admin: &Address, pager: Pager) -> Vec<f64> {
    let mut sender = connect(admin).await;
    let until = Instant::now() + WINDOW;
    let (mut took, mut cursor) = (Vec::new(), String::new());
    while Instant::now() < until {
        let target = format!("/api/v1/events?{}{cursor}", pager.query);
        let request = Request::get(target).header("host", "localhost");
        // The gate ends a connection after so many requests.
        if sender.ready().await.is_err() {
            sender = connect(admin).await;
        }
        let asked = Instant::now();
        let response = sender.send_request(request.body(Full::default()).unwrap());
        let body: Bytes = response.await.unwrap().collect().await.unwrap().to_bytes();
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        let page: serde_json::Value = serde_json::from_slice(&body).expect("a page");
        let next = page.get("next").and_then(serde_json::Value::as_str);
        cursor = next
            .map(|next| format!("&cursor={next}"))
            .unwrap_or_default();
        tokio::time::sleep(pager.rest).await;
    }
    took
}

/// The value that `percent` of all do not exceed; sorts them.
fn percentile(all: &mut [f64], percent: usize) -> f64 {
    all.sort_by(f64::total_cmp);
    let at = (all.len() * percent).div_ceil(100).saturating_sub(1);
    all.get(at).copied().unwrap_or_default()
}
