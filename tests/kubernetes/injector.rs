//! The admission webhook over real TLS.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookgate::clock::Clock;
use hookgate::injector::{Config, Injector};
use hookgate::kubernetes::defaults::Defaults;
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::server::TlsFiles;
use hookgate::shutdown::Stage;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An injector with a certificate of its own, and what is needed to ask it.
struct Scene {
    injector: Injector,
    metrics: Metrics,
    place: TempDir,
}

/// Writes a new certificate and its key.
pub(crate) fn certify(place: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let key = made.signing_key.serialize_pem();
    std::fs::write(place.join("tls.key"), key).expect("a file");
    std::fs::write(place.join("tls.crt"), made.cert.pem()).expect("a file");
}

async fn injector() -> Scene {
    let place = tempfile::tempdir().expect("a directory");
    certify(place.path());
    let any = || "127.0.0.1:0".parse::<Address>().expect("an address");
    let config = Config {
        listen: any(),
        ops: any(),
        tls: TlsFiles {
            certificate: place.path().join("tls.crt"),
            key: place.path().join("tls.key"),
        },
        defaults: Defaults::default(),
        minor: Some(33),
        access: None,
        certificate: None,
        events: false,
    };
    let metrics = Metrics::new();
    let injector = Injector::start(config, &metrics, Clock::real()).await;
    Scene {
        injector: injector.expect("it starts"),
        metrics,
        place,
    }
}

/// An API server that trusts the certificate.
async fn ask(scene: &Scene, method: &str, path: &str, body: Vec<u8>) -> (StatusCode, String) {
    ask_at(
        &scene.injector.listening[0],
        scene.place.path(),
        method,
        path,
        body,
    )
    .await
}

async fn connect(address: &Address, place: &Path) -> TlsStream<hookgate::net::Stream> {
    let certificate = CertificateDer::from_pem_file(place.join("tls.crt"));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = address.connect().await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    handshake.await.expect("a handshake")
}

pub(crate) async fn ask_at(
    address: &Address,
    place: &Path,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (StatusCode, String) {
    let stream = connect(address, place).await;
    exchange(TokioIo::new(stream), method, path, body).await
}

pub(crate) async fn exchange<IO>(
    io: IO,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (StatusCode, String)
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(io).await.expect("HTTP");
    let stage = Stage::default();
    stage.spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

pub(crate) fn question(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": object,
        },
    })
}

pub(crate) fn pod() -> Value {
    json!({
        "metadata": {
            "generateName": "app-",
            "annotations": {"hookgate.dev/config": "gate"},
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

async fn review(scene: &Scene, question: &Value) -> Value {
    review_at(&scene.injector, scene.place.path(), question).await
}

pub(crate) async fn review_at(injector: &Injector, place: &Path, question: &Value) -> Value {
    let body = question.to_string().into_bytes();
    let (status, body) = ask_at(&injector.listening[0], place, "POST", "/inject", body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test]
async fn a_pod_that_asks_gets_a_patch_and_is_counted() {
    let scene = injector().await;
    let answer = review(&scene, &question(&pod())).await;
    let response = &answer["response"];
    assert_eq!(response["uid"], "u-1");
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    assert!(
        scene
            .metrics
            .text()
            .contains("\nhookgate_injector_injected_total 1\n")
    );
    scene.injector.stop().await;
}

#[tokio::test]
async fn a_pod_that_cannot_have_a_gate_is_let_through_with_a_warning() {
    let scene = injector().await;
    let mut pod = pod();
    pod["spec"]["hostNetwork"] = json!(true);
    let answer = review(&scene, &question(&pod)).await;
    let response = &answer["response"];
    assert_eq!(response["allowed"], true);
    assert!(response["patch"].is_null());
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(
        warning.starts_with("hookgate: not injected: spec.hostNetwork"),
        "{warning}"
    );
    let series = "hookgate_injector_skipped_total{reason=\"host_network\"} 1\n";
    assert!(scene.metrics.text().contains(series));
    scene.injector.stop().await;
}

#[tokio::test]
async fn other_objects_and_other_operations_are_let_through() {
    let scene = injector().await;
    for (field, value) in [
        ("operation", json!("UPDATE")),
        (
            "kind",
            json!({"group": "apps", "version": "v1", "kind": "Deployment"}),
        ),
    ] {
        let mut question = question(&pod());
        question["request"][field] = value;
        let answer = review(&scene, &question).await;
        assert_eq!(answer["response"]["allowed"], true);
        assert!(answer["response"]["patch"].is_null());
    }
    let series = "hookgate_injector_skipped_total{reason=\"not_a_pod\"} 2\n";
    assert!(scene.metrics.text().contains(series));
    scene.injector.stop().await;
}

#[tokio::test]
async fn hostile_pods_are_answered() {
    let scene = injector().await;
    let mut one_large = pod();
    one_large["metadata"]["annotations"]["large"] = json!("x".repeat(1 << 20));
    let mut many_small = pod();
    for index in 0..20_000 {
        many_small["metadata"]["annotations"][format!("example.com/{index}")] = json!("y");
    }
    let mut many_wrong = pod();
    for index in 0..20_000 {
        many_wrong["metadata"]["annotations"][format!("hookgate.dev/{index}")] = json!("y");
    }
    let mut odd_key = pod();
    odd_key["metadata"]["annotations"]["hookgate.dev/\u{1b}]0;x\u{7}\r\n"] = json!("y");
    let mut odd_text = pod();
    odd_text["metadata"]["annotations"]["hookgate.dev/log-level"] =
        json!("\u{1b}[31m\u{0}\r\n\u{202e}");
    let cases = [
        (one_large, true),
        (many_small, true),
        (many_wrong, false),
        (odd_text, false),
        (odd_key, false),
    ];
    for (pod, is_injected) in cases {
        let answer = review(&scene, &question(&pod)).await;
        let response = &answer["response"];
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patch"].is_string(), is_injected);
        for warning in response["warnings"].as_array().into_iter().flatten() {
            let warning = warning.as_str().expect("text");
            assert!(warning.chars().count() <= 240, "{warning}");
            assert!(!warning.contains(['\u{1b}', '\r', '\n', '\0']), "{warning}");
        }
    }
    scene.injector.stop().await;
}

#[tokio::test]
async fn senders_that_hang_keep_nobody_from_an_answer() {
    let scene = injector().await;
    let mut hung = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&scene.injector.listening[0], scene.place.path()).await;
        let head = b"POST /inject HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head).await.expect("it is sent");
        hung.push(stream);
    }
    review(&scene, &question(&pod())).await;
    scene.injector.stop().await;
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_the_next_one_is_answered() {
    let scene = injector().await;
    let valid = question(&pod());
    let mut no_request = valid.clone();
    no_request["request"] = Value::Null;
    let mut no_uid = valid.clone();
    no_uid["request"]["uid"] = json!("");
    let mut old = valid.clone();
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut wide = valid.clone();
    wide["request"]["object"]["spec"]["x"] = json!(vec![0; 200_000]);
    let cases = [
        (Vec::new(), 400),
        (b"not json".to_vec(), 400),
        (b"\xff\xfe".to_vec(), 400),
        (deep.into_bytes(), 400),
        (no_request.to_string().into_bytes(), 400),
        (no_uid.to_string().into_bytes(), 400),
        (old.to_string().into_bytes(), 400),
        (wide.to_string().into_bytes(), 413),
        (vec![b' '; (2 << 20) + 1], 413),
    ];
    let refused = cases.len();
    for (body, status) in cases {
        let (got, why) = ask(&scene, "POST", "/inject", body).await;
        assert_eq!(got.as_u16(), status, "{why}");
    }
    let (status, _) = ask(&scene, "GET", "/inject", Vec::new()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = ask(&scene, "POST", "/", Vec::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let series = format!("\nhookgate_injector_refused_total {refused}\n");
    assert!(scene.metrics.text().contains(&series));
    review(&scene, &valid).await;
    scene.injector.stop().await;
}

#[tokio::test]
async fn probes_and_scrapers_are_answered_without_tls() {
    let scene = injector().await;
    for (path, expected) in [
        ("/livez", "ok"),
        ("/readyz", "ok"),
        (
            "/metrics",
            "hookgate_injector_skipped_total{reason=\"windows\"} 0",
        ),
    ] {
        let stream = scene.injector.listening[1]
            .connect()
            .await
            .expect("a connection");
        let (status, text) = exchange(TokioIo::new(stream), "GET", path, Vec::new()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains(expected), "{text}");
    }
    scene.injector.stop().await;
}
