//! What an injector does in its cluster: its certificate, its Events, the cluster's version.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::clock::Clock;
use hookgate::injector::Config;
use http::{Method, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::api_server::{Cluster, HOST, Replica, SECRET, SECRETS, WEBHOOK, at, files};
use crate::injector::{certify, pod, question, review_at};

/// Whether an API server that trusts `bundle` comes through to the injector.
fn is_trusted(replica: &Replica, bundle: &str) -> bool {
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten();
    roots.add_parsable_certificates(authorities);
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(rustls::crypto::ring::default_provider()),
    );
    let verifier = verifier.build().expect("a verifier");
    // The certificate says when it is good; the test says when that is.
    let chain: Vec<_> = CertificateDer::pem_file_iter(replica.place.path().join("tls.crt"))
        .expect("a file")
        .flatten()
        .collect();
    let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
        1_800_000_000 + 61 * 86_400,
    ));
    use rustls::client::danger::ServerCertVerifier as _;
    let name = ServerName::try_from(HOST).expect("a name");
    verifier
        .verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
        .is_ok()
}

#[tokio::test]
async fn it_makes_a_certificate_that_api_servers_are_told_to_trust() {
    let cluster = Cluster::start().await;
    let replica = cluster
        .injector(|_| {}, Clock::real())
        .await
        .expect("it starts");
    let secret = cluster.object(SECRET).expect("a Secret");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let bundle = cluster.bundle(0);
    assert_eq!(cluster.bundle(1), bundle);
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1);
    assert!(!bundle.contains("PRIVATE KEY"));

    // A real handshake, as an API server makes it.
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(bundle.as_bytes()).expect("PEM"))
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = replica.injector.listening[0]
        .connect()
        .await
        .expect("a connection");
    let name = ServerName::try_from(HOST).expect("a name");
    let handshake = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    handshake.expect("a handshake");
    let text = replica.metrics.text();
    let expiry = text.lines().find_map(|line| {
        line.strip_prefix("hookgate_injector_certificate_expiry_timestamp_seconds ")
    });
    let left =
        expiry.expect("a series").parse::<i64>().expect("seconds") - Clock::real().wall().seconds();
    assert!((89 * 86_400..=90 * 86_400).contains(&left), "{left}");
    replica.injector.stop().await;
    cluster.stage.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn replicas_share_one_certificate_also_when_they_start_at_once() {
    let cluster = Cluster::start().await;
    let first = cluster.injector(|_| {}, at(0)).await.expect("it starts");
    let second = cluster.injector(|_| {}, at(1)).await.expect("it starts");
    let read = |replica: &Replica| {
        std::fs::read_to_string(replica.place.path().join("tls.crt")).expect("a file")
    };
    assert_eq!(read(&first), read(&second));

    // A third looks for the Secret before it is there, and writes its own after it is.
    let there = cluster.object(SECRET).expect("a Secret");
    {
        let mut objects = cluster.objects.lock().expect("objects");
        objects.kept.remove(SECRET);
        let late = (StatusCode::CONFLICT, Some((SECRET.to_owned(), there)));
        objects.instead.insert(format!("POST {SECRETS}"), late);
    }
    let third = cluster.injector(|_| {}, at(0)).await.expect("it starts");
    assert_eq!(read(&first), read(&third));
    for replica in [first, second, third] {
        replica.injector.stop().await;
    }
}

#[tokio::test]
async fn a_new_certificate_comes_in_time_and_the_old_one_stays_trusted() {
    let cluster = Cluster::start().await;
    let old = cluster.injector(|_| {}, at(0)).await.expect("it starts");
    let before = cluster.bundle(0);
    let still = cluster.injector(|_| {}, at(59)).await.expect("it starts");
    assert_eq!(cluster.bundle(0), before);
    let new = cluster.injector(|_| {}, at(61)).await.expect("it starts");
    let after = cluster.bundle(0);
    assert_eq!(after.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(after.starts_with(&before));
    assert!(is_trusted(&old, &before) && is_trusted(&old, &after));
    assert!(is_trusted(&new, &after) && !is_trusted(&new, &before));
    // A lost Secret costs nobody his trust.
    cluster.objects.lock().expect("objects").kept.remove(SECRET);
    let found = cluster.injector(|_| {}, at(61)).await.expect("it starts");
    let more = cluster.bundle(0);
    assert_eq!(more.matches("BEGIN CERTIFICATE").count(), 3);
    assert!(is_trusted(&old, &more) && is_trusted(&new, &more) && is_trusted(&found, &more));
    // What has come to its end is let go of.
    let newest = cluster.injector(|_| {}, at(122)).await.expect("it starts");
    let last = cluster.bundle(0);
    assert_eq!(last.matches("BEGIN CERTIFICATE").count(), 3);
    assert!(!last.contains(&before));
    for replica in [old, still, new, found, newest] {
        replica.injector.stop().await;
    }
}

#[tokio::test]
async fn nothing_new_is_served_before_api_servers_trust_it() {
    let cluster = Cluster::start().await;
    let place = tempfile::tempdir().expect("a directory");
    let files = files(place.path());
    let own = files.clone();
    let first = cluster
        .injector(|config| config.tls = own, at(0))
        .await
        .expect("it starts");
    let before = std::fs::read_to_string(&files.certificate).expect("a file");
    let refused = (StatusCode::FORBIDDEN, None);
    cluster
        .objects
        .lock()
        .expect("objects")
        .instead
        .insert(format!("PATCH {WEBHOOK}"), refused);
    let own = files.clone();
    let second = cluster.injector(|config| config.tls = own, at(61)).await;
    assert!(
        second
            .err()
            .expect("an error")
            .to_string()
            .contains("PATCH")
    );
    assert_eq!(
        std::fs::read_to_string(&files.certificate).expect("a file"),
        before
    );
    first.injector.stop().await;
}

/// The API server's own certificate stands for an authority of somebody else's, good for long.
fn other_authority(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.place.path().join("ca.crt")).expect("a file")
}

/// The configuration with this `caBundle` in its first webhook, as of version 2.
fn trusting(cluster: &Cluster, bundle: &str) -> Value {
    let mut webhook = cluster.object(WEBHOOK).expect("a configuration");
    webhook["metadata"]["resourceVersion"] = json!("2");
    webhook["webhooks"][0]["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
    webhook
}

fn authorities(bundle: &str) -> usize {
    let all = CertificateDer::pem_slice_iter(bundle.as_bytes());
    let all: Result<Vec<_>, _> = all.collect();
    all.expect("PEM").len()
}

#[tokio::test]
async fn authorities_that_somebody_wrote_without_a_last_line_break_stay_trusted() {
    let cluster = Cluster::start().await;
    let other = other_authority(&cluster);
    for bundle in [other.trim_end().to_owned(), other.replace('\n', "\r\n")] {
        let webhook = (WEBHOOK.to_owned(), trusting(&cluster, &bundle));
        cluster
            .objects
            .lock()
            .expect("objects")
            .kept
            .extend([webhook]);
        let replica = cluster.injector(|_| {}, at(0)).await.expect("it starts");
        let bundle = cluster.bundle(0);
        assert_eq!(authorities(&bundle), 2, "{bundle}");
        assert!(is_trusted(&replica, &bundle));
        replica.injector.stop().await;
    }
}

#[tokio::test]
async fn whom_somebody_else_told_api_servers_to_trust_meanwhile_stays_trusted() {
    let cluster = Cluster::start().await;
    let other = other_authority(&cluster);
    let webhook = trusting(&cluster, &other);
    let since = (WEBHOOK.to_owned(), webhook);
    cluster
        .objects
        .lock()
        .expect("objects")
        .since
        .extend([since]);
    let replica = cluster.injector(|_| {}, at(0)).await.expect("it starts");
    let bundle = cluster.bundle(0);
    assert_eq!(authorities(&bundle), 2, "{bundle}");
    assert!(bundle.starts_with(&other) && is_trusted(&replica, &bundle));
    assert_eq!(cluster.asked(&Method::PATCH, WEBHOOK).len(), 2);
    replica.injector.stop().await;
}

#[tokio::test]
async fn a_secret_that_holds_something_else_is_written_anew() {
    let cluster = Cluster::start().await;
    let other = json!({"type": "Opaque", "metadata": {"name": "injector-tls", "resourceVersion": "7"}, "data": {"tls.crt": "bm9uZQ=="}});
    cluster
        .objects
        .lock()
        .expect("objects")
        .kept
        .insert(SECRET.to_owned(), other);
    let replica = cluster.injector(|_| {}, at(0)).await.expect("it starts");
    let secret = cluster.object(SECRET).expect("a Secret");
    // Only in the place of what was read.
    assert_eq!(secret["metadata"]["resourceVersion"], "7");
    assert!(secret["data"]["tls.key"].is_string());
    replica.injector.stop().await;
}

#[tokio::test]
async fn what_the_cluster_refuses_is_named() {
    let cluster = Cluster::start().await;
    let forbidden = (StatusCode::FORBIDDEN, None);
    cluster
        .objects
        .lock()
        .expect("objects")
        .instead
        .insert(format!("GET {SECRET}"), forbidden);
    let refused = cluster
        .injector(|_| {}, at(0))
        .await
        .err()
        .expect("an error")
        .to_string();
    assert_eq!(
        refused,
        format!("the API server answered 403 Forbidden to GET {SECRET}: not this time")
    );
    std::fs::remove_file(cluster.place.path().join("token")).expect("a file");
    let refused = cluster
        .injector(|_| {}, at(0))
        .await
        .err()
        .expect("an error")
        .to_string();
    assert!(refused.contains("token: No such file"), "{refused}");
    let nowhere = cluster
        .injector(|config| config.access = None, at(0))
        .await
        .err();
    assert!(
        nowhere
            .expect("an error")
            .to_string()
            .contains("outside of a cluster")
    );
}

#[tokio::test]
async fn events_say_once_what_became_of_a_pod() {
    let cluster = Cluster::start().await;
    let own = |config: &mut Config| {
        certify(config.tls.key.parent().expect("a folder"));
        config.certificate = None;
        config.events = true;
    };
    let replica = cluster
        .injector(own, Clock::real())
        .await
        .expect("it starts");
    let mut owned = pod();
    owned["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-1", "uid": "u", "controller": true}
    ]);
    let mut skipped = owned.clone();
    skipped["spec"]["hostNetwork"] = json!(true);
    let mut tried = question(&owned);
    tried["request"]["dryRun"] = json!(true);
    for question in [
        &tried,
        &question(&owned),
        &question(&owned),
        &question(&skipped),
        &question(&pod()),
    ] {
        review_at(&replica.injector, replica.place.path(), question).await;
    }
    // The last of them is written by then.
    let wanted = || {
        cluster
            .asked(&Method::POST, "/api/v1/namespaces/shop/events")
            .len()
            >= 2
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !wanted() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replica.injector.stop().await;
    let events = cluster.asked(&Method::POST, "/api/v1/namespaces/shop/events");
    let reasons: Vec<_> = events
        .iter()
        .map(|event| event["reason"].as_str().expect("text"))
        .collect();
    assert_eq!(reasons, ["Injected", "InjectionSkipped"]);
    assert_eq!(events[1]["involvedObject"]["kind"], "ReplicaSet");
    assert!(
        events[1]["message"]
            .as_str()
            .expect("text")
            .starts_with("spec.hostNetwork")
    );
    assert!(
        replica
            .metrics
            .text()
            .contains("\nhookgate_injector_events_dropped_total 0\n")
    );
}

/// Whoever reaches the port may ask, and each of his pods may be told of by an Event, which the cluster's database keeps.
#[tokio::test]
async fn a_flood_of_reviews_does_not_become_a_flood_of_events() {
    const SENT: u64 = 200;
    let cluster = Cluster::start().await;
    let own = |config: &mut Config| {
        certify(config.tls.key.parent().expect("a folder"));
        config.certificate = None;
        config.events = true;
    };
    let begun = std::time::Instant::now();
    let replica = cluster
        .injector(own, Clock::real())
        .await
        .expect("it starts");
    for index in 0..SENT {
        let mut pod = pod();
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-1", "uid": format!("u{index}"), "controller": true}
        ]);
        review_at(&replica.injector, replica.place.path(), &question(&pod)).await;
    }
    let written = || {
        let events = cluster.asked(&Method::POST, "/api/v1/namespaces/shop/events");
        events.len() as u64
    };
    let dropped = || {
        let text = replica.metrics.text();
        let mut lines = text.lines();
        let dropped =
            lines.find_map(|line| line.strip_prefix("hookgate_injector_events_dropped_total "));
        dropped.expect("a series").parse::<u64>().expect("a number")
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while written() + dropped() < SENT {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let room = 100 + begun.elapsed().as_secs() + 1;
    assert!((100..=room).contains(&written()), "{}", written());
    assert_eq!(written() + dropped(), SENT);
    replica.injector.stop().await;
}

#[tokio::test]
async fn the_cluster_says_its_version_or_is_taken_for_an_old_one() {
    let cluster = Cluster::start().await;
    for (version, sleeps) in [
        (json!({"minor": "33+"}), true),
        (json!({"minor": "29"}), false),
        (json!({}), false),
    ] {
        cluster
            .objects
            .lock()
            .expect("objects")
            .kept
            .insert("/version".to_owned(), version);
        let own = |config: &mut Config| {
            certify(config.tls.key.parent().expect("a folder"));
            config.certificate = None;
        };
        let replica = cluster
            .injector(own, Clock::real())
            .await
            .expect("it starts");
        let answer = review_at(&replica.injector, replica.place.path(), &question(&pod())).await;
        let patch = answer["response"]["patch"].as_str().expect("a patch");
        let patch = String::from_utf8(STANDARD.decode(patch).expect("base64")).expect("JSON");
        assert_eq!(patch.contains("\"sleep\":{"), sleeps);
        replica.injector.stop().await;
    }
}
