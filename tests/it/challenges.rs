//! Handshakes: answered by the gate alone, only where the provider has one, and never an event.

use std::collections::BTreeMap;

use hookgate::clock::Clock;
use hookgate::gateway::Gateway;
use hookgate::metrics::Metrics;
use hookgate::providers::Provider;
use hookgate::secret::Secret;
use hookgate::verify::{Unsigned, sign};
use http::Method;
use serde_json::json;

use crate::support::app::App;
use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::bytes;

/// Providers with the handshakes that there are, as their files would say.
const PROVIDERS: [(&str, &str); 11] = [
    ("adobe-sign", include_str!("providers/adobe-sign.toml")),
    ("dropbox", include_str!("providers/dropbox.toml")),
    ("slack", include_str!("providers/slack.toml")),
    ("zoom", include_str!("providers/zoom.toml")),
    ("meta", include_str!("providers/meta.toml")),
    (
        "microsoft-graph",
        include_str!("providers/microsoft-graph.toml"),
    ),
    ("x", include_str!("providers/x.toml")),
    ("asana", include_str!("providers/asana.toml")),
    ("notion", include_str!("providers/notion.toml")),
    ("mandrill", include_str!("providers/mandrill.toml")),
    ("event-grid", include_str!("providers/event-grid.toml")),
];

const SECRET: &str = "zoom-secret-token";
const REFUSED: &str = "the request could not be verified";

/// A gate with one source, named like its provider, and an app that must hear of no handshake.
struct Scene {
    setup: Setup,
    app: App,
    gate: Gate,
    provider: Provider,
}

impl Scene {
    /// With a secret, and these settings of the source.
    async fn new(provider: &str, settings: &[(&str, &str)]) -> Self {
        Self::with(provider, &[&[("secret", SECRET)], settings].concat()).await
    }

    /// The source's secret comes from the handshake.
    async fn capturing(provider: &str) -> Self {
        Self::with(provider, &[("capture", "true")]).await
    }

    async fn with(provider: &str, settings: &[(&str, &str)]) -> Self {
        let (mut setup, app) = Setup::scene(&[]).await;
        let directory = setup.file("providers");
        std::fs::create_dir(&directory).unwrap();
        for (id, text) in PROVIDERS {
            std::fs::write(directory.join(format!("{id}.toml")), text).unwrap();
        }
        setup.set("providers_dir", &directory.display().to_string());
        setup.set("server.public_url", "https://hooks.example.com");
        setup.set("server.trusted_proxies", "127.0.0.0/8");
        setup.set("server.rejections_per_peer.per_second", "1");
        setup.set(&format!("sources.{provider}.provider"), provider);
        for (key, value) in settings {
            setup.set(&format!("sources.{provider}.{key}"), value);
        }
        let text = PROVIDERS.iter().find(|(id, _)| *id == provider).unwrap().1;
        Self {
            provider: Provider::from_toml(provider, text).unwrap(),
            gate: setup.start().await,
            setup,
            app,
        }
    }

    fn path(&self) -> String {
        format!("/webhooks/{}", self.provider.id)
    }

    /// Asks `METHOD /webhooks/PROVIDER` and what comes behind it.
    async fn ask(&self, method: &str, query: &str, headers: &str, body: &str) -> Answer {
        let (path, length) = (self.path(), body.len());
        let request = format!(
            "{method} {path}{query} HTTP/1.1\r\nHost: hooks.example.com\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        Connection::open(&self.gate.address)
            .await
            .ask(request.as_bytes())
            .await
    }

    async fn get(&self, query: &str) -> Answer {
        self.ask("GET", query, "", "").await
    }

    /// A request that is signed now.
    async fn post(&self, secret: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter();
        let mut request = Unsigned {
            method: Method::POST,
            url: format!("https://hooks.example.com{}", self.path()),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec().into(),
        };
        let (secret, at) = (Secret::new("test", secret), Clock::real().wall());
        let values = BTreeMap::new();
        sign(
            &self.provider,
            None,
            &secret,
            &values,
            &mut request,
            at,
            "id",
        )
        .unwrap();
        request.url = self.path();
        Connection::open(&self.gate.address)
            .await
            .ask(&bytes(&request))
            .await
    }

    async fn counted(&self, outcome: &str, count: f64) {
        let source = &self.provider.id;
        let series = format!(r#"hookgate_requests_total{{outcome="{outcome}",source="{source}"}}"#);
        assert_eq!(self.gate.metric(&series).await, Some(count), "{outcome}");
    }

    /// Nothing but these events was stored and forwarded.
    async fn ends_with_events(self, count: usize) {
        self.app.received(count).await;
        assert_eq!(self.gate.events("").await.len(), count);
        self.gate.stop().await;
        assert_eq!(self.app.stop().await.len(), count);
    }

    async fn restarted(self) -> Self {
        self.gate.stop().await;
        let gate = self.setup.start().await;
        Self { gate, ..self }
    }
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!((answer.status, answer.text()), (401, REFUSED), "{answer:?}");
}

#[track_caller]
fn repeats(answer: &Answer, text: &str) {
    assert_eq!((answer.status, answer.text()), (200, text), "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("hookgate-status"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_is_plain_text_and_no_event() {
    let scene = Scene::new("dropbox", &[]).await;
    repeats(&scene.get("?challenge=aZ09-_.~%2F:=").await, "aZ09-_.~/:=");
    repeats(&scene.get("?x=1&challenge=abc").await, "abc");

    scene.counted("challenge", 2.0).await;
    let event = scene.post(SECRET, &[], r#"{"challenge":"abc"}"#).await;
    event.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_of_odd_characters_or_of_too_many_is_refused() {
    let scene = Scene::new("dropbox", &[]).await;
    let long = "a".repeat(1024);
    repeats(&scene.get(&format!("?challenge={long}")).await, &long);
    let odd = [
        "",
        "%3Cscript%3E",
        "%22",
        "%27",
        "%60",
        "%26",
        "%5C",
        "%00",
        "%0D%0A",
        "%09",
        "%7F",
        "%C3%A9",
        "%FF",
    ];
    for value in odd {
        refused(&scene.get(&format!("?challenge={value}")).await);
    }
    refused(&scene.get(&format!("?challenge={long}a")).await);
    refused(&scene.get("?challenge=&challenge=").await);

    let count = 15.0;
    scene.counted("rejected", count).await;
    let series = r#"hookgate_rejections_total{reason="malformed",source="dropbox"}"#;
    assert_eq!(scene.gate.metric(series).await, Some(count));
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_and_providers_without_a_handshake_are_answered_405() {
    let scene = Scene::new("dropbox", &[]).await;
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = scene.ask(method, "?challenge=a", "", "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    assert_eq!(scene.get("").await.status, 405);
    assert_eq!(scene.get("?challenge=a&challenge=b").await.status, 405);
    scene.ends_with_events(0).await;

    let scene = Scene::new("slack", &[]).await;
    let challenge = "?challenge=a&hub.mode=subscribe&crc_token=a&validationToken=a";
    assert_eq!(scene.get(challenge).await.status, 405);
    refused(
        &scene
            .ask("POST", challenge, "X-Hook-Secret: a\r\n", "")
            .await,
    );
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_echo_needs_the_signature() {
    let scene = Scene::new("slack", &[]).await;
    let body = r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV","token":"x"}"#;
    refused(&scene.ask("POST", "", "", body).await);
    refused(&scene.post("another secret", &[], body).await);
    repeats(&scene.post(SECRET, &[], body).await, "3eZbrw1aBm2rZgRNFdxV");

    scene.counted("challenge", 1.0).await;
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_merely_looks_like_a_challenge_is_an_event() {
    let scene = Scene::new("slack", &[]).await;
    let look_alikes = [
        r#"{"type":"event_callback","challenge":"a","event_id":"1"}"#,
        r#"{"type":"event_callback","event":{"type":"url_verification","challenge":"a"},"event_id":"2"}"#,
        r#"[{"type":"url_verification","challenge":"a","event_id":"3"}]"#,
    ];
    for body in look_alikes {
        scene.post(SECRET, &[], body).await.acknowledged("stored");
    }
    scene.ends_with_events(look_alikes.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_is_signed_with_the_source_secret() {
    let scene = Scene::new("zoom", &[]).await;
    let token = "qgg8vlvZRS6UYooatFL8Aw";
    let body = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } });
    refused(&scene.ask("POST", "", "", &body.to_string()).await);
    let answer = scene.post(SECRET, &[], &body.to_string()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let signed = "d9e0d764a78494688ba3f2d5c0ed4ca311394b4834d959759213424d2df961e3";
    let expected = json!({ "plainToken": token, "encryptedToken": signed });
    assert_eq!(answer.json(), expected);
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_is_refused_and_counted() {
    let scene = Scene::new("meta", &[("values.verify_token", "v3rify")]).await;
    let query = |token| format!("?hub.mode=subscribe&hub.challenge=1158201444{token}");
    for wrong in ["", "&hub.verify_token=", "&hub.verify_token=v3rifY"] {
        refused(&scene.get(&query(wrong)).await);
    }
    scene.counted("rejected", 3.0).await;
    let series = r#"hookgate_rejections_total{reason="mismatch",source="meta"}"#;
    assert_eq!(scene.gate.metric(series).await, Some(2.0));

    let right = query("&hub.verify_token=v3rify");
    repeats(&scene.get(&right).await, "1158201444");
    let unsubscribe = right.replace("mode=subscribe", "mode=unsubscribe");
    assert_eq!(scene.get(&unsubscribe).await.status, 405);
    scene.ends_with_events(0).await;
}

/// A webhook that Meta has checked long ago does not need the token again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_lacks_a_value_is_not_answered_but_events_are() {
    let scene = Scene::new("meta", &[]).await;
    let warnings = scene.setup.config().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("sources.meta")
                && warning.contains("values.verify_token is missing")),
        "{warnings:?}"
    );
    let query = "?hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_eq!(scene.get(query).await.status, 405);
    let event = scene.post(SECRET, &[], r#"{"object":"page"}"#).await;
    event.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_by_post_is_told_from_events() {
    let scene = Scene::new("microsoft-graph", &[]).await;
    let query = "?validationToken=Validation%3a+Testing+client%2freachability+Request-Id%3a+9a0e";
    let answer = scene.ask("POST", query, "", "").await;
    repeats(
        &answer,
        "Validation: Testing client/reachability Request-Id: 9a0e",
    );

    let forged = r#"{"value":[{"clientState":"x"}]}"#;
    refused(&scene.ask("POST", "", "", forged).await);
    let event = format!(r#"{{"value":[{{"clientState":"{SECRET}"}}]}}"#);
    let answer = scene.ask("POST", "", "", &event).await;
    answer.acknowledged("stored");
    // An operator who registered the address with a token in it loses no event to that.
    let other = event.replace("}]", r#","id":"2"}]"#);
    let answer = scene.ask("POST", query, "", &other).await;
    answer.acknowledged("stored");
    scene.ends_with_events(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_options_are_answered_where_the_provider_sends_them() {
    let scene = Scene::new("mandrill", &[]).await;
    let answer = scene.ask("HEAD", "", "", "").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    scene.ends_with_events(0).await;

    let scene = Scene::new("event-grid", &[]).await;
    let origin = "WebHook-Request-Origin: eventemitter.example.com\r\n";
    let answer = scene.ask("OPTIONS", "", origin, "").await;
    assert_eq!(answer.status, 200);
    let allowed = answer.header("webhook-allowed-origin");
    assert_eq!(allowed, Some("eventemitter.example.com"));
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"));
    assert_eq!(scene.ask("OPTIONS", "", "", "").await.status, 405);
    refused(
        &scene
            .ask("OPTIONS", "", "WebHook-Request-Origin: <\r\n", "")
            .await,
    );
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anybody_may_have_signed_can_be_no_event() {
    let scene = Scene::with("x", &[("secret", "x-consumer-secret")]).await;
    let answer = scene
        .get("?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=x")
        .await;
    let expected = "sha256=HLRNL5jbBZW6HnzFIXx9CW1LlR6LSisHbu7P316mNI4=";
    assert_eq!(answer.json(), json!({ "response_token": expected }));

    let forged = r#"{"for_user_id":"1"}"#;
    let escaped: String = forged.bytes().map(|byte| format!("%{byte:02x}")).collect();
    refused(&scene.get(&format!("?crc_token={escaped}")).await);
    refused(&scene.get(&format!("?crc_token={}", "1".repeat(129))).await);

    // Of what is signed, none is taken for an event, though the signature holds.
    let signed = scene.get("?crc_token=hello").await.json()["response_token"].clone();
    let header = format!(
        "x-twitter-webhooks-signature: {}\r\n",
        signed.as_str().unwrap()
    );
    refused(&scene.ask("POST", "", &header, "hello").await);
    let event = scene.post("x-consumer-secret", &[], forged).await;
    event.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_keeps_to_the_limits_of_its_source() {
    let settings = [("body_max", "100B"), ("allow_from", "192.0.2.0/24")];
    let scene = Scene::new("dropbox", &settings).await;
    let large = "x".repeat(101);
    let answer = scene.ask("GET", "?challenge=a", "", &large).await;
    assert_eq!(answer.status, 413);
    refused(&scene.get("?challenge=a").await);
    let series = r#"hookgate_rejections_total{reason="address",source="dropbox"}"#;
    assert_eq!(scene.gate.metric(series).await, Some(1.0));
    scene.ends_with_events(0).await;

    let settings = [("rate.per_second", "1"), ("rate.burst", "1")];
    let scene = Scene::new("slack", &settings).await;
    let body = r#"{"type":"url_verification","challenge":"a"}"#;
    repeats(&scene.post(SECRET, &[], body).await, "a");
    assert_eq!(scene.post(SECRET, &[], body).await.status, 429);
    scene.ends_with_events(0).await;
}

const ASANA: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";

fn handover(secret: &str) -> String {
    format!("X-Hook-Secret: {secret}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_handed_over_is_kept_and_used() {
    let scene = Scene::capturing("asana").await;
    let event = r#"{"events":[]}"#;
    let early = scene.post(ASANA, &[], event).await;
    assert_eq!(early.status, 503, "{early:?}");
    assert!(early.header("retry-after").is_some());

    let answer = scene.ask("POST", "", &handover(ASANA), "{}").await;
    assert_eq!(
        (answer.status, answer.header("x-hook-secret")),
        (200, Some(ASANA))
    );
    scene.post(ASANA, &[], event).await.acknowledged("stored");
    refused(&scene.post("another", &[], event).await);
    let series = r#"hookgate_secret_matches_total{secret="captured",source="asana"}"#;
    assert_eq!(scene.gate.metric(series).await, Some(1.0));
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_secret_is_refused_also_after_a_restart() {
    let mut scene = Scene::capturing("asana").await;
    for again in 0..2 {
        for _ in 0..2 {
            let answer = scene.ask("POST", "", &handover(ASANA), "").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        refused(&scene.ask("POST", "", &handover("an-attackers"), "").await);
        let body = format!(r#"{{"events":[{again}]}}"#);
        scene.post(ASANA, &[], &body).await.acknowledged("stored");
        refused(&scene.post("an-attackers", &[], &body).await);
        scene = scene.restarted().await;
        scene
            .post(ASANA, &[], &body)
            .await
            .acknowledged("duplicate");
    }
    scene.ends_with_events(2).await;
}

/// A handshake that hands over a secret counts against its peer before anything is done for it. Once
/// it was refused, it was counted again as a rejection: a peer with room for two was told to wait
/// after one and a half, and half of the refusals never came to the operator's list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_refused_counts_once_against_its_peer() {
    let mut scene = Scene::capturing("asana").await;
    scene.setup.set("server.rejections_per_peer.burst", "2");
    scene = scene.restarted().await;
    let peer = "X-Forwarded-For: 192.0.2.7\r\n";
    let hand_over = |secret| format!("{peer}{}", handover(secret));
    let answer = scene.ask("POST", "", &hand_over(ASANA), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    refused(&scene.ask("POST", "", &hand_over("an-attackers"), "").await);
    let answer = scene.gate.get("/api/v1/rejections").await;
    let rejections = answer.json()["rejections"].as_array().unwrap().len();
    assert_eq!(rejections, 1);
    scene.ends_with_events(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_secrets_at_once_leave_one() {
    let scene = Scene::capturing("asana").await;
    let secrets: Vec<_> = (0..16).map(|n| format!("secret-{n}")).collect();
    let headers: Vec<_> = secrets.iter().map(|secret| handover(secret)).collect();
    let mut asked = tokio::task::JoinSet::new();
    for header in headers {
        let address = scene.gate.address.clone();
        let request = format!(
            "POST /webhooks/asana HTTP/1.1\r\nHost: a\r\n{header}Content-Length: 0\r\n\r\n"
        );
        asked.spawn(async move {
            let mut connection = Connection::open(&address).await;
            connection.ask(request.as_bytes()).await
        });
    }
    let answers = asked.join_all().await;
    let mut taken = answers.iter().filter(|answer| answer.status == 200);
    let secret = taken.next().unwrap().header("x-hook-secret").unwrap();
    assert_eq!(taken.count(), 0);
    let kept = std::fs::read_to_string(scene.setup.store().join("captured/asana")).unwrap();
    assert_eq!(kept, secret);
    scene.post(secret, &[], "{}").await.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_let_go_of_a_captured_secret() {
    let scene = Scene::capturing("asana").await;
    let path = "/api/v1/sources/asana/captured-secret";
    assert_eq!(
        scene.ask("POST", "", &handover("wrong"), "").await.status,
        200
    );

    let foreign = scene
        .gate
        .ask("DELETE", path, &[("host", "evil.example")])
        .await;
    assert_eq!(foreign.status, 403);
    assert_eq!(scene.gate.get(path).await.status, 405);
    for forgotten in [true, false] {
        let answer = scene.gate.ask("DELETE", path, &[]).await;
        assert_eq!(answer.json(), json!({ "forgotten": forgotten }));
    }
    let unknown = "/api/v1/sources/other/captured-secret";
    assert_eq!(scene.gate.ask("DELETE", unknown, &[]).await.status, 404);

    let scene = scene.restarted().await;
    assert_eq!(scene.post("wrong", &[], "{}").await.status, 503);
    assert_eq!(
        scene.ask("POST", "", &handover(ASANA), "").await.status,
        200
    );
    scene.post(ASANA, &[], "{}").await.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_body_is_taken_if_nothing_else_is_in_it() {
    let scene = Scene::capturing("notion").await;
    let more = r#"{"verification_token":"secret_a","id":"1"}"#;
    refused(&scene.ask("POST", "", "", more).await);
    let token = r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
    let signed = "X-Notion-Signature: sha256=00\r\n";
    refused(&scene.ask("POST", "", signed, token).await);
    let odd = r#"{"verification_token":"sec\nret"}"#;
    refused(&scene.ask("POST", "", "", odd).await);

    let answer = scene.ask("POST", "", "", token).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    let secret = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";
    scene.post(secret, &[], more).await.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_with_a_secret_of_its_own_takes_no_other() {
    let scene = Scene::new("asana", &[]).await;
    refused(&scene.ask("POST", "", &handover(ASANA), "").await);
    assert!(!scene.setup.store().join("captured").exists());
    scene.post(SECRET, &[], "{}").await.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_carries_the_text_that_the_provider_wants() {
    let scene = Scene::new("event-grid", &[]).await;
    let target = format!("?token={SECRET}");
    let answer = scene.ask("POST", &target, "", r#"{"id":"1"}"#).await;
    answer.acknowledged("stored");
    assert_eq!(answer.text(), "[accepted]");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_repeats_what_the_provider_wants_to_read() {
    let scene = Scene::new("adobe-sign", &[]).await;
    let client = "X-AdobeSign-ClientId: CBJCHBCAABAA\r\n";
    let expected = json!({ "xAdobeSignClientId": "CBJCHBCAABAA" });
    assert_eq!(scene.ask("GET", "", client, "").await.json(), expected);

    let token = format!("?token={SECRET}");
    let answer = scene.ask("POST", &token, client, r#"{"id":"1"}"#).await;
    answer.acknowledged("stored");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), expected);
    refused(&scene.ask("POST", "", client, r#"{"id":"1"}"#).await);

    // The event counts more than what it fails to say.
    for client in ["", "X-AdobeSign-ClientId: <\r\n"] {
        let body = format!(r#"{{"id":"{}"}}"#, client.len());
        let answer = scene.ask("POST", &token, client, &body).await;
        answer.acknowledged("stored");
        assert_eq!((answer.text(), answer.header("content-type")), ("", None));
    }
    scene.ends_with_events(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_anybody_can_ask_for_use_up_nothing_but_their_peers_patience() {
    let settings = [("rate.per_second", "1"), ("rate.burst", "1")];
    let scene = Scene::new("dropbox", &settings).await;
    let from = |peer| format!("X-Forwarded-For: {peer}\r\n");
    let flooder = from("192.0.2.7");
    let mut limited = false;
    for _ in 0..1000 {
        let answer = scene.ask("GET", "?challenge=a", &flooder, "").await;
        limited = answer.status == 429;
        if limited {
            break;
        }
        repeats(&answer, "a");
    }
    assert!(limited);
    let other = from("192.0.2.8");
    repeats(&scene.ask("GET", "?challenge=a", &other, "").await, "a");
    let peer = [("X-Forwarded-For", "192.0.2.7")];
    let event = scene.post(SECRET, &peer, "{}").await;
    event.acknowledged("stored");
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_disk_does_not_take_is_not_answered() {
    let scene = Scene::capturing("asana").await;
    let in_the_way = scene.setup.store().join("captured");
    std::fs::write(&in_the_way, "").unwrap();
    let answer = scene.ask("POST", "", &handover(ASANA), "").await;
    assert_eq!((answer.status, answer.header("x-hook-secret")), (503, None));
    assert_eq!(scene.post(ASANA, &[], "{}").await.status, 503);

    std::fs::remove_file(&in_the_way).unwrap();
    let answer = scene.ask("POST", "", &handover(ASANA), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.post(ASANA, &[], "{}").await.acknowledged("stored");
    scene.counted("unavailable", 2.0).await;
    scene.ends_with_events(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_whose_captured_secret_is_damaged_does_not_start() {
    let scene = Scene::capturing("asana").await;
    scene.ask("POST", "", &handover(ASANA), "").await;
    let (setup, app) = (scene.setup, scene.app);
    scene.gate.stop().await;
    std::fs::write(setup.store().join("captured/asana"), "").unwrap();
    let started = Gateway::start(setup.config(), Clock::real(), Metrics::new()).await;
    let error = started.err().unwrap().to_string();
    assert!(
        error.contains("asana") && error.contains("is empty"),
        "{error}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_trouble_is_503_also_for_a_peer_that_has_failed_too_often() {
    let scene = Scene::capturing("asana").await;
    let flooder = "X-Forwarded-For: 192.0.2.7\r\n";
    let mut limited = false;
    for _ in 0..1000 {
        limited = scene.ask("POST", "", flooder, "{}").await.status == 429;
        if limited {
            break;
        }
    }
    assert!(limited);
    let peer = [("X-Forwarded-For", "192.0.2.7")];
    assert_eq!(scene.post(ASANA, &peer, "{}").await.status, 503);
    scene.ends_with_events(0).await;
}
