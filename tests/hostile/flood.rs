//! Requests that nobody signed, of every shape: what they leave behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::machine::figure;
use crate::program::Home;
use crate::size;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes, tampered};

/// Name and labels of every series.
async fn series(home: &Home) -> BTreeSet<String> {
    let answer = home.get("/metrics").await;
    let lines = answer.text().lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a value").0.to_owned())
        .collect()
}

fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("a folder");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("its type").is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().expect("its size").len(),
        }
    });
    sizes.sum()
}

/// The n-th of a kind that nobody has seen before: path, id, agent, method, query, signature, headers.
fn request(stripe: &Sender, n: usize) -> Vec<u8> {
    let agent = format!("Host: h{n}.example\r\nUser-Agent: agent-{n}\r\nX-{n}: {n}\r\n");
    match n % 5 {
        0 => format!("POST /path-{n} HTTP/1.1\r\n{agent}Content-Length: 0\r\n\r\n").into(),
        1 => {
            format!("POST /webhooks/source-{n} HTTP/1.1\r\n{agent}Content-Length: 0\r\n\r\n").into()
        }
        2 => format!("M{n} /webhooks/stripe HTTP/1.1\r\n{agent}Content-Length: 0\r\n\r\n").into(),
        3 => {
            let query = format!("POST /webhooks/stripe?q{n}={n}&id=evt_{n} HTTP/1.1\r\n");
            format!(
                "{query}{agent}Stripe-Signature: t={n},v1={n:064x}\r\nContent-Length: 0\r\n\r\n"
            )
            .into()
        }
        _ => bytes(&tampered(&stripe.event(&format!("evt_{n}")))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unverified_requests_fill_neither_store_nor_metrics_nor_log_nor_memory() {
    let stripe = Sender::new("stripe");
    let mut home = Home::new(&stripe);
    home.set("log.level", "info");
    let program = home.start();
    home.ready().await;
    let store = home.path().join("store");
    let (series_before, bytes_before) = (series(&home).await, bytes_below(&store));
    let resident = || figure(program.pid(), "status", "VmRSS") / 1024;
    let (resident_before, lines_before) = (resident(), home.log().lines().count());

    let (count, began) = (size("FORGED_REQUESTS", 2000), Instant::now());
    let mut connection = Connection::open(&home.gate()).await;
    for n in 0..count {
        let answer = connection.ask(&request(&stripe, n)).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    let seconds = began.elapsed().as_secs_f64();

    let kept = home.get("/api/v1/rejections?limit=500").await;
    let records = kept.json()["rejections"].as_array().expect("a list").len();
    let log = home.log();
    let lines = log.lines().count() - lines_before;
    let added = series(&home).await.difference(&series_before).count();
    let grown = bytes_below(&store).abs_diff(bytes_before);
    println!(
        "forged requests: {count} in {seconds:.1} s; series +{added}, store +{grown} bytes, ids {}, \
         {records} records in {} bytes, {lines} log lines in {} bytes, memory {resident_before} -> {} MiB",
        home.metric("hookgate_store_ids").await,
        kept.body.len(),
        log.len(),
        resident(),
    );
    assert_eq!((added, grown), (0, 0));
    assert_eq!(home.metric("hookgate_store_ids").await.to_bits(), 0);
    assert!(records <= 100 && kept.body.len() <= 128 * 1024);
    // Twenty at once, five a second, and those that the examinations behind them owe.
    let bound = 20.0 + 5.0 * (seconds + 1.0);
    assert!((lines as f64) <= bound, "{lines} lines");
    assert!(resident() <= resident_before + 16, "{} MiB", resident());
}
