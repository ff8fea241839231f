//! Against a real TLS server on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::TcpListener;

use super::*;
use crate::clock::UnixMillis;
use crate::keys::test_server::{Server, pem};

const URL: &str = "https://keys.example.com/keys?v=1";

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn jwk(kid: &str) -> String {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"KID",
        "x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}"#;
    jwk.replace("KID", kid)
}

fn set(kids: &[&str]) -> String {
    let keys: Vec<_> = kids.iter().map(|kid| jwk(kid)).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn target(url: &str) -> Target {
    Target::configured(url).unwrap()
}

fn wanted(kid: &str) -> Wanted {
    Wanted::jwks(target(URL), Some(kid))
}

/// Starts a fetch and goes away; the outcome if there is one at once.
async fn begin(keys: &KeySource, wanted: &Wanted) -> Option<Result<(), FetchError>> {
    tokio::select! {
        biased;
        outcome = keys.fetch(wanted, None) => Some(outcome),
        () = std::future::ready(()) => None,
    }
}

struct World {
    server: Server,
    keys: KeySource,
    clock: Clock,
    metrics: crate::metrics::Metrics,
}

impl World {
    async fn new() -> Self {
        let (server, address) = Server::start(answer(200, set(&["a"]))).await;
        let (clock, metrics) = (
            Clock::manual(UnixMillis(1_735_689_600_000)),
            crate::metrics::Metrics::new(),
        );
        let keys = source(only("authority", address), &clock, &metrics);
        Self {
            server,
            keys,
            clock,
            metrics,
        }
    }

    async fn error(&self, wanted: &Wanted) -> String {
        let error = self.keys.fetch(wanted, None).await.err();
        error.map_or("none".to_owned(), |error| error.to_string())
    }

    fn look(&self, wanted: &Wanted) -> String {
        match self.keys.cached(wanted) {
            Cached::Keys(keys) => {
                let kids: Vec<_> = keys.iter().filter_map(|key| key.kid()).collect();
                kids.join(" ")
            }
            Cached::Unknown => "unknown".to_owned(),
            Cached::Missing => "missing".to_owned(),
        }
    }
}

fn only(authority: &str, address: SocketAddr) -> Config {
    let root = CertificateDer::from_pem_slice(pem(authority)).unwrap();
    Config::only(root, address)
}

fn source(config: Config, clock: &Clock, metrics: &crate::metrics::Metrics) -> KeySource {
    let metrics = Metrics::new(metrics);
    KeySource::new(config, clock.clone(), metrics, Stage::default())
}

#[tokio::test]
async fn keys_are_fetched_once_and_then_known() {
    let world = World::new().await;
    let mut answer = answer(200, set(&["a", "b"]));
    let header = "public, MAX-AGE=7200".parse().unwrap();
    answer.headers_mut().insert(CACHE_CONTROL, header);
    world.server.will(answer);
    assert_eq!(world.look(&wanted("a")), "missing");
    for _ in 0..3 {
        world.keys.fetch(&wanted("a"), None).await.unwrap();
    }
    assert_eq!(world.look(&wanted("b")), "a b");
    let asked = world.server.asked();
    assert_eq!(
        asked,
        [(Method::GET, "/keys?v=1".to_owned(), String::new())]
    );
    world.clock.advance(Duration::from_secs(7199));
    assert_eq!(world.look(&wanted("b")), "a b");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.look(&wanted("b")), "missing");
}

#[tokio::test]
async fn all_who_want_the_same_wait_for_one_fetch() {
    let world = World::new().await;
    world.server.hold();
    let (a, b) = (wanted("a"), wanted("b"));
    let keys = &world.keys;
    let (first, second, third, ()) = tokio::join!(
        keys.fetch(&a, None),
        keys.fetch(&a, None),
        keys.fetch(&b, None),
        async { world.server.release(1) }
    );
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(world.server.asked().len(), 1);
    assert_eq!(
        (world.look(&a), world.look(&b)),
        ("a".into(), "unknown".into())
    );
}

#[tokio::test]
async fn a_fetch_outlives_the_sender_that_caused_it() {
    let world = World::new().await;
    world.server.hold();
    let a = wanted("a");
    assert!(begin(&world.keys, &a).await.is_none());
    world.server.release(1);
    world.keys.fetch(&a, None).await.unwrap();
    assert_eq!(
        (world.look(&a), world.server.asked().len()),
        ("a".into(), 1)
    );
}

#[tokio::test]
async fn only_so_many_fetches_are_under_way() {
    let world = World::new().await;
    world.server.hold();
    let place = |number: usize| {
        let url = format!("https://keys.example.com/{number}");
        Wanted::jwks(target(&url), None)
    };
    for number in 0..FLIGHTS_MAX {
        assert!(begin(&world.keys, &place(number)).await.is_none());
    }
    let refused = begin(&world.keys, &place(FLIGHTS_MAX)).await;
    assert!(matches!(refused, Some(Err(FetchError::Busy))));
    let busy = "hookgate_key_fetches_total{outcome=\"busy\"} 1\n";
    assert!(world.metrics.text().contains(busy));
    world.server.release(FLIGHTS_MAX + 1);
    for number in 0..FLIGHTS_MAX {
        world.keys.fetch(&place(number), None).await.unwrap();
    }
    world.keys.fetch(&place(FLIGHTS_MAX), None).await.unwrap();
    assert_eq!(world.server.asked().len(), FLIGHTS_MAX + 1);
}

/// One forger with eight slow keys kept everybody else's from being fetched: all flights were its.
#[tokio::test]
async fn one_peer_does_not_have_all_the_fetches_under_way() {
    let world = World::new().await;
    world.server.hold();
    let forger = Some("192.0.2.1".parse().unwrap());
    let genuine = Some("192.0.2.2".parse().unwrap());
    let place = |number: usize| {
        let url = format!("https://keys.example.com/{number}");
        Wanted::jwks(target(&url), None)
    };
    for number in 0..FLIGHTS_MAX {
        let place = place(number);
        let outcome = tokio::select! {
            biased;
            outcome = world.keys.fetch(&place, forger) => Some(outcome),
            () = std::future::ready(()) => None,
        };
        let refused = matches!(outcome, Some(Err(FetchError::Busy)));
        assert_eq!(refused, number >= FLIGHTS_PER_PEER_MAX, "{number}");
    }
    world.server.release(FLIGHTS_PER_PEER_MAX + 1);
    world.keys.fetch(&wanted("a"), genuine).await.unwrap();
    assert_eq!(world.look(&wanted("a")), "a");
}

#[tokio::test]
async fn keys_that_are_in_use_are_renewed_whatever_else_is_under_way() {
    let world = World::new().await;
    world.keys.fetch(&wanted("a"), None).await.unwrap();
    world.clock.advance(Duration::from_hours(2));
    world.server.hold();
    for number in 0..FLIGHTS_MAX {
        let url = format!("https://keys.example.com/{number}");
        let place = Wanted::jwks(target(&url), None);
        assert!(begin(&world.keys, &place).await.is_none());
    }
    assert!(begin(&world.keys, &wanted("a")).await.is_none());
    world.server.release(FLIGHTS_MAX + 1);
    world.keys.fetch(&wanted("a"), None).await.unwrap();
    assert_eq!(world.look(&wanted("a")), "a");
}

#[tokio::test]
async fn a_fetch_that_panicked_is_in_nobodys_way() {
    let world = World::new().await;
    let (_, landing) = watch::channel(None);
    let others = (1..FLIGHTS_MAX).map(|number| format!("https://a.example.com/{number}").into());
    for place in others.chain([wanted("a").place()]) {
        let flight = Flight {
            party: None,
            landing: landing.clone(),
        };
        world.keys.0.known().flights.insert(place, flight);
    }
    world.keys.fetch(&wanted("a"), None).await.unwrap();
    assert_eq!(world.look(&wanted("a")), "a");
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_a_minute() {
    let world = World::new().await;
    for _ in 0..3 {
        world.keys.fetch(&wanted("new"), None).await.unwrap();
        assert_eq!(world.look(&wanted("new")), "unknown");
    }
    assert_eq!(world.server.asked().len(), 1);
    world.server.will(answer(200, set(&["a", "new"])));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.look(&wanted("a")), "a");
    world.keys.fetch(&wanted("new"), None).await.unwrap();
    assert_eq!(world.look(&wanted("new")), "a new");
    assert_eq!(world.server.asked().len(), 2);
}

#[tokio::test]
async fn old_keys_stand_in_for_those_that_cannot_be_fetched() {
    let world = World::new().await;
    world.keys.fetch(&wanted("a"), None).await.unwrap();
    world.server.will(answer(500, ""));
    world.clock.advance(Duration::from_hours(2));
    for _ in 0..3 {
        world.keys.fetch(&wanted("a"), None).await.unwrap();
        assert_eq!(world.look(&wanted("a")), "a");
    }
    assert_eq!(world.server.asked().len(), 2);
    world.clock.advance(Duration::from_hours(24));
    assert!(world.error(&wanted("a")).await.contains("500"));
    assert_eq!(world.look(&wanted("a")), "missing");
}

#[tokio::test]
async fn answers_that_are_no_keys_are_errors_and_counted() {
    let world = World::new().await;
    let mut redirect = answer(302, "");
    let elsewhere = "https://keys.example.com/there".parse().unwrap();
    redirect.headers_mut().insert(LOCATION, elsewhere);
    let padded = |length: usize| {
        let set = set(&["a"]);
        let room = " ".repeat(length - set.len());
        format!("{set}{room}")
    };
    for (served, expected, outcome) in [
        (redirect, "302", "status"),
        (answer(404, ""), "404", "status"),
        (answer(204, ""), "204", "status"),
        (answer(200, "<html>"), "JSON Web Key", "no_key"),
        (answer(200, set(&[])), "no public", "no_key"),
        (answer(200, padded(256 * 1024 + 1)), "too long", "too_large"),
        (answer(200, padded(256 * 1024)), "none", "fetched"),
    ] {
        let asked = world.server.asked().len();
        world.server.will(served);
        let error = world.error(&wanted("a")).await;
        assert!(error.contains(expected), "{expected}: {error}");
        let series = format!("hookgate_key_fetches_total{{outcome=\"{outcome}\"}} ");
        assert!(
            !world.metrics.text().contains(&format!("{series}0\n")),
            "{series}"
        );
        // Remembered for a moment, and nothing was followed.
        assert_eq!(world.error(&wanted("a")).await, error);
        assert_eq!(world.server.asked().len(), asked + 1);
        world.clock.advance(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn nobody_answers_for_a_host_without_its_certificate() {
    let world = World::new().await;
    let elsewhere = Wanted::jwks(target("https://other.example.com/keys"), None);
    let error = world.error(&elsewhere).await;
    assert!(error.contains("cannot connect"), "{error}");

    let (_, address) = Server::start(answer(200, "")).await;
    let metrics = crate::metrics::Metrics::new();
    let trusts_others = source(only("another authority", address), &world.clock, &metrics);
    let error = trusts_others.fetch(&wanted("a"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
    assert_eq!(world.server.asked().len(), 0);
}

#[tokio::test]
async fn our_own_network_is_not_called() {
    let clock = Clock::manual(UnixMillis(0));
    let keys = source(Config::default(), &clock, &crate::metrics::Metrics::new());
    for host in ["localhost", "127.0.0.1", "10.0.0.1", "169.254.169.254"] {
        let target = target(&format!("https://{host}/"));
        let fetched = keys.fetch(&Wanted::jwks(target.clone(), None), None).await;
        assert!(matches!(fetched, Err(FetchError::Address)), "{host}");
        let visited = keys.visit(&target).await;
        assert!(matches!(visited, Err(FetchError::Address)), "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Clock::manual(UnixMillis(0));
    let metrics = crate::metrics::Metrics::new();
    let keys = source(only("authority", address), &clock, &metrics);
    let began = tokio::time::Instant::now();
    let error = keys.fetch(&wanted("a"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut), "{error}");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Clock::manual(UnixMillis(0));
    let metrics = crate::metrics::Metrics::new();
    let keys = source(only("authority", address), &clock, &metrics);
    let wanted = wanted("a");
    let (error, ()) = tokio::join!(keys.fetch(&wanted, None), async {
        drop(listener.accept().await);
    });
    assert!(matches!(error, Err(FetchError::Unreachable(_))));
    drop(listener);
    clock.advance(Duration::from_secs(10));
    let error = keys.fetch(&wanted, None).await;
    assert!(matches!(error, Err(FetchError::Unreachable(_))));
}

#[tokio::test]
async fn a_certificate_gives_its_key_or_says_that_there_is_none() {
    let world = World::new().await;
    let certificate = Wanted::certificate(target(URL));
    world.server.will(answer(404, ""));
    assert_eq!(world.error(&certificate).await, "none");
    assert_eq!(world.look(&certificate), "unknown");
    world.clock.advance(Duration::from_secs(60));
    world.server.will(answer(200, pem("certificate")));
    world.keys.fetch(&certificate, None).await.unwrap();
    let Cached::Keys(keys) = world.keys.cached(&certificate) else {
        panic!("no keys");
    };
    assert!(keys[0].suits(crate::keys::SignatureAlgorithm::EcdsaP256Sha256Der));
}

#[tokio::test]
async fn a_key_is_asked_for_by_name_with_the_sources_credentials() {
    let world = World::new().await;
    let wanted = |kid| Wanted::by_name(target(URL), kid, "client \"1\"", "s3cret");
    let key = |kid: &str, end: &str| {
        let key = jwk(kid).replacen('{', &format!(r#"{{"expired_at":{end},"#), 1);
        format!(r#"{{"key":{key},"request_id":"r"}}"#)
    };
    world.server.will(answer(200, key("a", "null")));
    world.keys.fetch(&wanted("a"), None).await.unwrap();
    assert_eq!(world.look(&wanted("a")), "a");
    let (method, _, body) = world.server.asked().remove(0);
    assert_eq!(method, Method::POST);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected =
        serde_json::json!({"client_id": "client \"1\"", "secret": "s3cret", "key_id": "a"});
    assert_eq!(body, expected);

    for (kid, served) in [
        ("ended", answer(200, key("ended", "1735689600"))),
        ("no such", answer(404, "")),
        ("asked", answer(200, key("another", "null"))),
    ] {
        world.server.will(served);
        world.keys.fetch(&wanted(kid), None).await.unwrap();
        assert_eq!(world.look(&wanted(kid)), "unknown", "{kid}");
    }
    for (kid, served, expected) in [
        ("b", answer(400, "{}"), "400"),
        ("c", answer(200, "{}"), "JSON object with a key"),
        (
            "d",
            answer(200, r#"{"key":null}"#),
            "JSON object with a key",
        ),
    ] {
        world.server.will(served);
        let error = world.error(&wanted(kid)).await;
        assert!(error.contains(expected), "{kid}: {error}");
    }
}

#[tokio::test]
async fn a_visit_is_one_get_and_its_answer_is_forgotten() {
    let world = World::new().await;
    let confirm = target("https://keys.example.com/?Action=ConfirmSubscription&Token=t");
    world.keys.visit(&confirm).await.unwrap();
    let asked = world.server.asked();
    let expected = "/?Action=ConfirmSubscription&Token=t".to_owned();
    assert_eq!(asked, [(Method::GET, expected, String::new())]);
    world.server.will(answer(403, ""));
    assert!(world.keys.visit(&confirm).await.is_err());
}
