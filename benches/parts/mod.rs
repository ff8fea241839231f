//! Gate, app and signed requests for the benchmarks of the whole way, all in one process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
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
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

const SECRET: &str = "hookgate-bench-secret";

/// What the app has taken.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) count: AtomicUsize,
    pub(crate) changed: Notify,
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

/// Signed requests of 1 KiB, each an event of its own.
pub(crate) fn requests(count: usize) -> Vec<Request<Full<Bytes>>> {
    let provider = Catalogue::embedded().get("hmac").unwrap();
    let secret = Secret::new("secret", SECRET);
    let clock = Clock::real();
    let mut requests = Vec::with_capacity(count);
    for _ in 0..count {
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

/// A connection to one of the gate's listeners.
pub(crate) async fn connect(address: &Address) -> SendRequest<Full<Bytes>> {
    let stream = address.connect().await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A gate on the store below `directory`, with one source and an app that takes everything.
pub(crate) async fn start(directory: &Path) -> (Gateway, Arc<Taken>) {
    let socket = directory.join("app.sock");
    let flags = [
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("app.url", &format!("unix:{}", socket.display())),
        ("store.path", &directory.join("store").display().to_string()),
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
    let taken = Arc::new(Taken::default());
    tokio::spawn(app(socket, Arc::clone(&taken)));
    let gateway = Gateway::start(config, Clock::real(), Metrics::new())
        .await
        .unwrap();
    (gateway, taken)
}
