//! Keys that senders publish: fetched when a request needs them, before it is verified.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::clock::Clock;
use hookgate::providers::Catalogue;
use hookgate::secret::{Secret, Values};
use hookgate::verify::{Unsigned, sign};
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use crate::support::app::App;
use crate::support::gate::{Gate, Setup};
use crate::support::keys::KeyServer;

const PRIVATE_KEY: &str = include_str!("../keys/rsa.pem");
const KEY_SET: &str = include_str!("../keys/jwks.json");
const CERTIFICATE: &str = include_str!("../keys/rsa-certificate.pem");
const GOOGLE_KEYS: &str = "/oauth2/v3/certs";
const SNS_KEY: &str = "/SimpleNotificationService-1.pem";

const VALUES: [(&str, &str); 2] = [
    ("audience", "https://hooks.example.com/pubsub"),
    ("service_account", "push@example.iam.gserviceaccount.com"),
];

/// A gate for one source of this provider that fetches its keys from `server`.
async fn scene(
    provider: &str,
    server: &KeyServer,
    settings: &[(&str, &str)],
) -> (Gate, App, Setup) {
    let mut setup = Setup::new();
    setup.set("sources.s.provider", provider);
    for (key, value) in settings {
        setup.set(&format!("sources.s.{key}"), value);
    }
    start(setup, server).await
}

/// The same with a provider file of one's own.
async fn scene_of(id: &str, text: &str, server: &KeyServer) -> (Gate, App, Setup) {
    let mut setup = Setup::new();
    let directory = setup.file("providers");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join(format!("{id}.toml")), text).expect("a file");
    setup.set("providers_dir", &directory.display().to_string());
    setup.set("sources.s.provider", id);
    start(setup, server).await
}

async fn start(setup: Setup, server: &KeyServer) -> (Gate, App, Setup) {
    let app = App::start(&setup.app_address()).await;
    let mut config = setup.config();
    config.keys = server.config();
    (Gate::start(config).await, app, setup)
}

async fn pubsub(server: &KeyServer) -> (Gate, App, Setup) {
    let values = VALUES.map(|(name, value)| (format!("values.{name}"), value));
    let values: Vec<_> = values.iter().map(|(key, value)| (&**key, *value)).collect();
    scene("google-pubsub", server, &values).await
}

/// A push as Google sends it, signed with our key.
fn push(id: &str) -> Unsigned {
    let provider = Catalogue::embedded().get("google-pubsub").expect("it");
    let sample = provider.samples[0].with_id(id);
    let mut request = Unsigned {
        method: Method::POST,
        url: "/webhooks/s".to_owned(),
        headers: sample.headers.into_iter().collect(),
        body: sample.body.into(),
    };
    let secret = Secret::new("test", PRIVATE_KEY.as_bytes());
    let values = VALUES.map(|(name, value)| (name.to_owned(), value.into()));
    let values = Values::from(values);
    let now = Clock::real().wall();
    sign(&provider, None, &secret, &values, &mut request, now, id).expect("it can be signed");
    request
}

/// A message of Amazon SNS, signed with our key (signature version 2).
fn sns(kind: &str, fields: &[(&str, &str)]) -> Unsigned {
    let mut fields = BTreeMap::from_iter(fields.iter().copied());
    fields.extend([
        ("Type", kind),
        ("MessageId", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"),
        ("Message", "Hello world!"),
        ("Timestamp", "2025-01-01T00:00:00.000Z"),
        ("TopicArn", "arn:aws:sns:us-west-2:123456789012:MyTopic"),
    ]);
    let text: String = fields
        .iter()
        .map(|(name, value)| format!("{name}\n{value}\n"))
        .collect();
    let key = PrivatePkcs8KeyDer::from_pem_slice(PRIVATE_KEY.as_bytes()).expect("a key");
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    let url = format!("https://sns.us-west-2.amazonaws.com{SNS_KEY}");
    let signature = STANDARD.encode(signature);
    fields.extend([
        ("SignatureVersion", "2"),
        ("Signature", &*signature),
        ("SigningCertURL", &*url),
    ]);
    let body = serde_json::to_vec(&fields).expect("JSON");
    Unsigned {
        method: Method::POST,
        url: "/webhooks/s".to_owned(),
        headers: vec![("x-amz-sns-message-type".to_owned(), kind.to_owned())],
        body: body.into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_key_is_fetched_once_and_verifies() {
    let server = KeyServer::start().await;
    server.publish(GOOGLE_KEYS, KEY_SET);
    let (gate, app, _setup) = pubsub(&server).await;

    for id in ["1", "2", "3"] {
        assert_eq!(gate.post(&push(id)).await.status, 200);
    }
    let mut forged = push("4");
    let (_, token) = forged
        .headers
        .iter_mut()
        .find(|(name, _)| name == "authorization")
        .expect("a token");
    *token = token.replace("Bearer ey", "Bearer eY");
    assert_eq!(gate.post(&forged).await.status, 401);

    app.received(3).await;
    assert_eq!(server.asked(), [GOOGLE_KEYS]);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_every_scheme_are_fetched() {
    let server = KeyServer::start().await;
    let other = r#"{"kty":"OKP","crv":"Ed25519","kid":"other",
        "x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}"#;
    server.publish("/old", &format!(r#"{{"keys":[{other}]}}"#));
    server.publish("/new", KEY_SET);
    let scheme = |path: &str| {
        format!(
            "[[scheme]]\nkind = 'jwt'\nalgorithms = ['RS256']\nkey = 'jwk'\n\
             signature = {{ from = 'header:Authorization', prefix = 'Bearer ' }}\n\
             fetch = {{ form = 'jwks', url = 'https://keys.example.com{path}' }}\n"
        )
    };
    let text = format!(
        "title = 'T'\ndocs = 'd'\n{}{}",
        scheme("/old"),
        scheme("/new")
    );
    let (gate, app, _setup) = scene_of("two-sets", &text, &server).await;

    assert_eq!(gate.post(&push("1")).await.status, 200);

    app.received(1).await;
    assert_eq!(server.asked(), ["/old", "/new"]);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_key_cannot_be_fetched_senders_are_asked_to_come_again() {
    let server = KeyServer::start().await;
    let (gate, app, _setup) = pubsub(&server).await;

    let answer = gate.post(&push("1")).await;

    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    let series = r#"hookgate_rejections_total{reason="key_unavailable",source="s"}"#;
    assert_eq!(gate.metric(series).await, Some(1.0));
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audience_of_another_service_is_refused() {
    let server = KeyServer::start().await;
    server.publish(GOOGLE_KEYS, KEY_SET);
    let settings = [
        ("values.audience", "https://elsewhere.example.com"),
        ("values.service_account", VALUES[1].1),
    ];
    let (gate, app, _setup) = scene("google-pubsub", &server, &settings).await;

    assert_eq!(gate.post(&push("1")).await.status, 401);

    let series = r#"hookgate_rejections_total{reason="check",source="s"}"#;
    assert_eq!(gate.metric(series).await, Some(1.0));
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_fetched_from_the_providers_own_hosts_only() {
    let server = KeyServer::start().await;
    server.publish(SNS_KEY, CERTIFICATE);
    let (gate, app, _setup) = scene("aws-sns", &server, &[]).await;
    let genuine = sns("Notification", &[]);

    assert_eq!(gate.post(&genuine).await.status, 200);
    let body = String::from_utf8(genuine.body.to_vec()).expect("text");
    for host in [
        "sns.us-west-2.amazonaws.com.evil.example",
        "bucket.s3.amazonaws.com",
    ] {
        let body = body.replace("sns.us-west-2.amazonaws.com", host);
        let request = Unsigned {
            body: body.into(),
            ..genuine.clone()
        };
        assert_eq!(gate.post(&request).await.status, 401, "{host}");
    }

    assert_eq!(app.received(1).await[0].body, genuine.body);
    assert_eq!(server.asked(), [SNS_KEY]);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_confirmed_only_if_asked_for_and_verified() {
    let confirm = "/?Action=ConfirmSubscription&Token=2336412f37";
    let url = format!("https://sns.us-west-2.amazonaws.com{confirm}");
    let fields = [("SubscribeURL", &*url), ("Token", "2336412f37")];
    let request = sns("SubscriptionConfirmation", &fields);
    let server = KeyServer::start().await;
    server.publish(SNS_KEY, CERTIFICATE);
    let topic = "arn:aws:sns:us-west-2:123456789012:MyTopic";
    let settings = [("confirm", "true"), ("values.topic_arn", topic)];
    let (gate, app, _setup) = scene("aws-sns", &server, &settings).await;

    let mut forged = request.clone();
    let body = String::from_utf8(forged.body.to_vec()).expect("text");
    forged.body = body.replace("2336412f37", "2336412f38").into();
    assert_eq!(gate.post(&forged).await.status, 401);
    // The address does not answer yet.
    assert_eq!(gate.post(&request).await.status, 503);
    server.publish(confirm, "<ConfirmSubscriptionResponse/>");
    assert_eq!(gate.post(&request).await.status, 200);

    assert_eq!(server.asked(), [SNS_KEY, confirm, confirm]);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 0);

    let (gate, app, _setup) = scene("aws-sns", &server, &[]).await;
    assert_eq!(gate.post(&request).await.status, 200);
    assert_eq!(app.received(1).await[0].body, request.body);
    assert_eq!(server.asked()[3..], [SNS_KEY]);
    gate.stop().await;
}
