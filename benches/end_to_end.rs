//! A thousand signed events over 32 connections: until all are acknowledged, and until the app has
//! all of them. Sender, gate and app share this process and its cores, so only the ratio between two
//! runs on one machine means anything.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot set up should stop; its tasks end with it"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookgate::clock::Clock;
use hookgate::config::{Config, Inputs};
use hookgate::event::EventId;
use hookgate::gateway::Gateway;
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::providers::Catalogue;
use hookgate::secret::Secret;
use hookgate::verify::{Unsigned, sign};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

const EVENTS: usize = 1_000;
const CONNECTIONS: usize = 32;
const SECRET: &str = "hookgate-bench-secret";

/// What the app has taken.
#[derive(Default)]
struct Taken {
    count: AtomicUsize,
    changed: Notify,
}

impl Taken {
    async fn reaches(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::Acquire) >= count {
                return;
            }
            changed.await;
        }
    }
}

async fn app(path: std::path::PathBuf, taken: Arc<Taken>) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let taken = Arc::clone(&taken);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await.unwrap();
                taken.count.fetch_add(1, Ordering::Release);
                taken.changed.notify_waiters();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn requests() -> Vec<Request<Full<Bytes>>> {
    let provider = Catalogue::embedded().get("hmac").unwrap();
    let secret = Secret::new("secret", SECRET);
    let clock = Clock::real();
    let mut requests = Vec::with_capacity(EVENTS);
    for _ in 0..EVENTS {
        let id = EventId::new(clock.wall()).to_string();
        let note = "x".repeat(960);
        let body = format!(r#"{{"id":"{id}","type":"order.created","note":"{note}"}}"#);
        let mut unsigned = Unsigned {
            method: Method::POST,
            url: "/hook".to_owned(),
            headers: Vec::new(),
            body: body.into(),
        };
        sign(
            &provider,
            None,
            &secret,
            &BTreeMap::new(),
            &mut unsigned,
            clock.wall(),
            &id,
        )
        .unwrap();
        let mut request = Request::post("/hook").header("host", "bench");
        for (name, value) in unsigned.headers {
            request = request.header(name, value);
        }
        requests.push(request.body(Full::new(unsigned.body)).unwrap());
    }
    requests
}

/// Sends all requests over the connections; returns when all are acknowledged.
async fn send(address: &Address, mut requests: Vec<Request<Full<Bytes>>>) {
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let share = requests.split_off(requests.len() - EVENTS / CONNECTIONS);
        let address = address.clone();
        senders.push(tokio::spawn(async move {
            let stream = address.connect().await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
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
    let socket = directory.path().join("app.sock");
    let flags = [
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("app.url", &format!("unix:{}", socket.display())),
        (
            "store.path",
            &directory.path().join("store").display().to_string(),
        ),
        ("store.allow_volatile", "true"),
        ("sources.bench.provider", "hmac"),
        ("sources.bench.path", "/hook"),
        ("sources.bench.secret", SECRET),
    ];
    let flags = flags
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
    let config = Config::load(&Inputs {
        flags,
        ..Inputs::default()
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let taken = Arc::new(Taken::default());
    runtime.spawn(app(socket, Arc::clone(&taken)));
    let gateway = runtime
        .block_on(Gateway::start(config, Clock::real(), Metrics::new()))
        .unwrap();
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
                        let requests = requests();
                        let started = Instant::now();
                        send(&address, requests).await;
                        let acknowledged = started.elapsed();
                        taken
                            .reaches(before + EVENTS / CONNECTIONS * CONNECTIONS)
                            .await;
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
