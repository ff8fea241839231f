//! The layer in real apps: requests over sockets through axum and hyper, and as a bare service.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail loudly"
)]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use axum::{Extension, Router};
use bytes::Bytes;
use hookgate::clock::{Clock, UnixMillis};
use hookgate::providers::Catalogue;
use hookgate::secret::Secret;
use hookgate::verify::{Unsigned, sign};
use hookgate::{Provider, Reason, Verified, Webhooks, WebhooksBuilder};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const SECRET: &str = "whsec_of_the_tests";
/// JSON that would not survive being parsed and printed again.
const BODY: &[u8] = b"{ \"id\":\"evt_1\" ,\r\n\"type\":\"invoice.paid\", \"n\":1.0, \"caf\\u00e9\":\"\xc3\xa9\" }\n";

fn stripe() -> WebhooksBuilder {
    Webhooks::provider("stripe")
        .secret(SECRET)
        .clock(Clock::manual(NOW))
}

/// A request to `url` as Stripe signs it.
fn signed(url: &str, secret: &str, body: impl Into<Bytes>) -> Unsigned {
    let provider = Catalogue::embedded().get("stripe").expect("shipped");
    signed_by(&provider, url, secret, body)
}

fn signed_by(provider: &Provider, url: &str, secret: &str, body: impl Into<Bytes>) -> Unsigned {
    let mut request = Unsigned {
        method: Method::POST,
        url: url.to_owned(),
        headers: Vec::new(),
        body: body.into(),
    };
    let (secret, none) = (Secret::new("secret", secret), BTreeMap::new());
    sign(provider, None, &secret, &none, &mut request, NOW, "evt_1").expect("it can be signed");
    request
}

fn genuine() -> Unsigned {
    signed("/hooks", SECRET, BODY)
}

/// The bytes of a request on the wire, whose connection ends with the answer.
fn wire(request: &Unsigned) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: {}\r\n",
        request.method,
        request.url,
        request.body.len()
    );
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", &request.body].concat()
}

/// For services that are called without a socket.
fn message<B>(request: &Unsigned, body: B) -> Request<B> {
    let mut message = Request::post(&request.url);
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    message.body(body).expect("a request")
}

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    async fn axum(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let serve = async { axum::serve(listener, app).await.expect("it serves") };
        Self::running(address, serve)
    }

    fn running(address: SocketAddr, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(serve);
        Self {
            address,
            _task: task,
        }
    }

    /// The whole answer to these bytes.
    async fn ask(&self, request: &[u8]) -> String {
        let asking = async {
            let mut stream = TcpStream::connect(self.address).await.expect("it listens");
            stream.write_all(request).await.expect("it reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("it answers");
            String::from_utf8(answer).expect("text")
        };
        let asked = tokio::time::timeout(Duration::from_secs(30), asking).await;
        asked.expect("an answer in time")
    }
}

/// Says what the handler saw, and counts its calls.
async fn handler(
    Extension(event): Extension<Arc<Verified>>,
    Extension(calls): Extension<Arc<AtomicUsize>>,
    body: Bytes,
) -> String {
    calls.fetch_add(1, Ordering::SeqCst);
    assert_eq!(event.body(), &body);
    assert_eq!(event.received_at(), NOW);
    format!(
        "{} {} {} {} {}",
        event.source(),
        event.scheme(),
        event.provider_event_id().unwrap_or("-"),
        event.event_type().unwrap_or("-"),
        hex::encode(body),
    )
}

/// An app whose one route the webhooks are let into, and how often its handler was called.
fn app(webhooks: &Webhooks) -> (Router, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/hooks", post(handler))
        .layer(webhooks.layer())
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(Arc::clone(&calls)));
    (router, calls)
}

fn is_refused(answer: &str, status: &str, text: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.ends_with(&format!("\r\n\r\n{text}"))
}

#[tokio::test]
async fn a_genuine_request_reaches_the_handler_byte_for_byte() {
    let (router, calls) = app(&stripe().secret("whsec_the_next_one").build().unwrap());
    let server = Server::axum(router).await;
    let large: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    for (secret, body, id) in [
        (SECRET, BODY, "evt_1 invoice.paid"),
        ("whsec_the_next_one", BODY, "evt_1 invoice.paid"),
        (SECRET, b"", "- -"),
        (SECRET, &large, "- -"),
    ] {
        let request = signed("/hooks", secret, Bytes::copy_from_slice(body));
        let answer = server.ask(&wire(&request)).await;
        let seen = format!("\r\n\r\nstripe hmac-sha256 {id} {}", hex::encode(body));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:.200}");
        assert!(answer.ends_with(&seen), "{answer:.200}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn what_does_not_verify_never_reaches_the_handler_and_is_told_nothing() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reasons);
    let webhooks =
        stripe().on_reject(move |rejection| noted.lock().unwrap().push(rejection.reason));
    let (router, calls) = app(&webhooks.build().unwrap());
    let server = Server::axum(router).await;

    let mut changed = genuine();
    let mut bytes = changed.body.to_vec();
    *bytes.last_mut().expect("a byte") = b' ';
    changed.body = bytes.into();
    let stranger = signed("/hooks", "whsec_of_somebody", BODY);
    let mut bare = genuine();
    bare.headers.clear();
    let mut doubled = genuine();
    doubled.headers.extend(stranger.headers.clone());
    for request in [&changed, &stranger, &bare, &doubled] {
        let answer = server.ask(&wire(request)).await;
        let text = "the request could not be verified";
        assert!(is_refused(&answer, "401", text), "{answer}");
    }

    let seen = std::mem::take(&mut *reasons.lock().unwrap());
    let expected = [
        Reason::Mismatch,
        Reason::Mismatch,
        Reason::NoHeader,
        Reason::Malformed,
    ];
    assert_eq!(seen, expected);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[test]
fn a_timestamp_out_of_tolerance_is_refused() {
    let clock = Clock::manual(NOW);
    let webhooks = stripe()
        .clock(clock.clone())
        .tolerance(Duration::from_secs(10));
    let webhooks = webhooks.build().unwrap();
    let request = message(&genuine(), Bytes::from_static(BODY));
    clock.advance(Duration::from_secs(10));
    assert!(webhooks.verify(&request).is_ok());
    clock.advance(Duration::from_secs(1));
    let rejection = webhooks.verify(&request).expect_err("too old");
    assert_eq!(rejection.reason, Reason::Stale);
}

#[tokio::test]
async fn other_methods_are_told_to_post() {
    let (router, calls) = app(&stripe().build().unwrap());
    let server = Server::axum(router).await;
    for method in [Method::GET, Method::PUT] {
        let mut request = genuine();
        request.method = method;
        let answer = server.ask(&wire(&request)).await;
        assert!(
            is_refused(&answer, "405", "webhooks are sent with POST"),
            "{answer}"
        );
        assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent_or_as_soon_as_it_is() {
    let (router, _) = app(&stripe().body_max(BODY.len()).build().unwrap());
    let server = Server::axum(router).await;
    let announced = format!(
        "POST /hooks HTTP/1.1\r\nHost: app\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        BODY.len() + 1
    );
    let chunked = format!(
        "POST /hooks HTTP/1.1\r\nHost: app\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{}\r\n",
        BODY.len() + 1,
        "x".repeat(BODY.len() + 1)
    );
    for request in [announced, chunked] {
        let answer = server.ask(request.as_bytes()).await;
        assert!(
            is_refused(&answer, "413", "the body is too large"),
            "{answer}"
        );
    }
    let answer = server.ask(&wire(&genuine())).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    let (router, _) = app(&stripe()
        .body_timeout(Duration::from_millis(1))
        .build()
        .unwrap());
    let server = Server::axum(router).await;
    let head =
        b"POST /hooks HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    let answer = server.ask(head).await;
    assert!(
        is_refused(&answer, "408", "the body did not arrive in time"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_scheme_that_signs_the_url_sees_what_the_sender_wrote_in_a_nested_router() {
    let provider = Provider::from_toml(
        "billing",
        r#"
        title = "Billing"
        docs = "https://billing.example.com/webhooks"
        [[scheme]]
        kind = "mac"
        algorithm = "hmac-sha256"
        signature = { from = "header:X-Signature" }
        content = "{url}{body}"
        "#,
    );
    let provider = provider.unwrap();
    let webhooks = Webhooks::custom(provider.clone()).secret(SECRET);
    let webhooks = webhooks.public_url("https://hooks.example.com/");
    let (router, _) = app(&webhooks.clock(Clock::manual(NOW)).build().unwrap());
    let server = Server::axum(Router::new().nest("/deep/down", router)).await;

    let target = "/deep/down/hooks?b=2&a=%7e";
    let url = format!("https://hooks.example.com{target}");
    let mut request = signed_by(&provider, &url, SECRET, BODY);
    target.clone_into(&mut request.url);
    let answer = server.ask(&wire(&request)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    request.url = "/deep/down/hooks?b=2".to_owned();
    let answer = server.ask(&wire(&request)).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn a_scheme_that_signs_the_host_finds_it_where_http2_has_it() {
    let webhooks = Webhooks::provider("hmac")
        .scheme("content = '{header:host} {body}'")
        .secret(SECRET)
        .build()
        .unwrap();
    let provider = Catalogue::embedded().get("hmac").expect("shipped");
    let mut request = signed_by(&provider, "/hooks", SECRET, "hooks.example.com {}");
    request.body = Bytes::from_static(b"{}");
    for (url, is_right) in [
        ("https://hooks.example.com/hooks", true),
        ("https://example.com/hooks", false),
    ] {
        url.clone_into(&mut request.url);
        let request = message(&request, request.body.clone());
        assert_eq!(webhooks.verify(&request).is_ok(), is_right, "{url}");
    }
}

#[test]
fn a_token_can_be_the_last_segment_of_the_path() {
    let webhooks = Webhooks::provider("sieve")
        .scheme("kind = 'token'\nsignature = { from = 'path:token' }")
        .secret("t0ken")
        .build()
        .unwrap();
    for (path, is_right) in [
        ("/hooks/t0ken", true),
        ("/hooks/token", false),
        ("/t0ken/x", false),
    ] {
        let request = Request::post(path).body(Bytes::new()).unwrap();
        let verdict = webhooks.verify(&request);
        assert_eq!(verdict.is_ok(), is_right, "{path}");
        assert!(!format!("{verdict:?}").contains("t0ken"), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_layer_that_wants_axums_body_fits_behind_a_change_of_type() {
    let stack = ServiceBuilder::new()
        .layer(stripe().build().unwrap().layer())
        .map_request(|request: Request<Full<Bytes>>| request.map(axum::body::Body::new))
        .layer(axum::middleware::from_fn(
            async |request: axum::extract::Request, next: axum::middleware::Next| {
                assert!(request.extensions().get::<Arc<Verified>>().is_some());
                next.run(request).await
            },
        ));
    let router = Router::new().route("/hooks", post(async || "done").layer(stack));
    let server = Server::axum(router).await;
    let answer = server.ask(&wire(&genuine())).await;
    assert!(answer.ends_with("\r\n\r\ndone"), "{answer}");
}

#[tokio::test]
async fn a_plain_hyper_server_takes_the_service() {
    let inner = service_fn(async |request: Request<Full<Bytes>>| {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let service = stripe().build().unwrap().layer().layer(inner);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let serve = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let serve = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            serve.await.expect("it serves");
        }
    };
    let server = Server::running(address, serve);

    let answer = server.ask(&wire(&genuine())).await;
    let body = std::str::from_utf8(BODY).expect("text");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(body),
        "{answer}"
    );
    let answer = server.ask(&wire(&signed("/hooks", "whsec_no", BODY))).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

/// A body that is sent as a script says, and then keeps the receiver waiting.
struct Script(VecDeque<Result<Frame<Bytes>, &'static str>>);

impl Script {
    fn of<const N: usize>(frames: [Result<Frame<Bytes>, &'static str>; N]) -> Self {
        Self(frames.into())
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0
            .pop_front()
            .map_or(Poll::Pending, |frame| Poll::Ready(Some(frame)))
    }
}

/// Counts how often it is asked whether it is ready, and keeps the bodies it is called with.
#[derive(Clone, Default)]
struct Inner {
    asked: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let verified = request.extensions().get::<Arc<Verified>>();
        let body = verified.expect("the evidence").body().clone();
        self.bodies.lock().unwrap().push(body);
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_inner_service_is_asked_only_for_what_is_verified() {
    let inner = Inner::default();
    let service = stripe().build().unwrap().layer().layer(inner.clone());
    let forged = message(
        &signed("/hooks", "whsec_no", BODY),
        Full::new(Bytes::from_static(BODY)),
    );
    let answer = service.clone().oneshot(forged).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(inner.asked.load(Ordering::SeqCst), 0);

    // In one piece it is the sender's own memory, not a copy.
    let sent = Bytes::copy_from_slice(BODY);
    let request = message(&genuine(), Full::new(sent.clone()));
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(inner.asked.load(Ordering::SeqCst), 1);
    assert_eq!(inner.bodies.lock().unwrap()[0].as_ptr(), sent.as_ptr());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let service = stripe().build().unwrap().layer().layer(Inner::default());
    let body = Script::of([Ok(Frame::data(Bytes::from_static(BODY))), Err("reset")]);
    let answer = service.oneshot(message(&genuine(), body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn memory_for_bodies_is_bounded_until_they_are_answered_or_given_up() {
    let body = Bytes::from(vec![b'x'; 100 << 10]);
    let request = signed("/hooks", SECRET, body.clone());
    let max = body.len() + body.len() / 2;
    let webhooks = stripe().body_max(max).bodies_in_flight_max(max);
    let endless = service_fn(async |_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let service = webhooks.build().unwrap().layer().layer(endless);
    let half = || Script::of([Ok(Frame::data(body.clone()))]);

    let mut being_read = Box::pin(service.clone().oneshot(message(&request, half())));
    assert!(poll_once(&mut being_read).is_pending());
    let refused = service.clone().oneshot(message(&request, half())).await;
    assert_eq!(refused.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(being_read);

    let whole = message(&request, Full::new(body.clone()));
    let mut being_answered = Box::pin(service.clone().oneshot(whole));
    assert!(poll_once(&mut being_answered).is_pending());
    let refused = service.clone().oneshot(message(&request, half())).await;
    assert_eq!(refused.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(being_answered);

    let cut = Script::of([Ok(Frame::data(body)), Err("the end of the test")]);
    let answer = service.oneshot(message(&request, cut)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
}
