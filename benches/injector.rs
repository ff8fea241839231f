//! The admission webhook as a process of its own on one core: what an API server waits for.
//!
//!   cargo bench --bench injector
//!
//! Reviews are sent at a fixed rate, whether the last ones were answered or not, over connections that stay open, and
//! the time counts from when a review was due. The sender has the other core.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot set up should stop, and prints its figures"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

/// API servers, and what each keeps open.
const CONNECTIONS: usize = 8;
/// Reviews in a second.
const RATE: usize = 1_000;
const SECONDS: usize = 20;

fn start(place: &Path) -> (Child, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    std::fs::write(place.join("tls.key"), made.signing_key.serialize_pem()).expect("a file");
    std::fs::write(place.join("tls.crt"), made.cert.pem()).expect("a file");
    let mut child = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_hookgate"), "injector"])
        .args(["--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
        .args(["--tls-certificate", "tls.crt", "--tls-key", "tls.key"])
        .args(["--kube-version", "1.33", "--set", "image=gate:1"])
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("taskset (util-linux) and the program");
    let mut log = BufReader::new(child.stderr.take().expect("its log"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(log.read_line(&mut line).expect("a log") > 0, "it ended");
        let entry: Value = serde_json::from_str(&line).expect("JSON");
        let text = entry.to_string();
        if text.contains("/inject") {
            let at = text.find("127.0.0.1:").expect("an address");
            let end = text[at..].find('"').expect("its end");
            break text[at..at + end].to_owned();
        }
    };
    // Somebody has to read on, or the log backs up.
    std::thread::spawn(move || log.lines().for_each(drop));
    (child, address)
}

/// A pod as deployments make them: two containers, a dozen annotations, managed fields.
fn question() -> Bytes {
    let env: Vec<_> = (0..30)
        .map(|i| json!({"name": format!("SETTING_{i}"), "value": "some value of usual length"}))
        .collect();
    let mut annotations = serde_json::Map::new();
    for index in 0..12 {
        annotations.insert(
            format!("example.com/annotation-{index}"),
            json!("a value of usual length"),
        );
    }
    annotations.insert(
        "hookgate.dev/sources".to_owned(),
        json!("stripe=stripe,github=github"),
    );
    annotations.insert("hookgate.dev/secrets".to_owned(), json!("webhooks"));
    let container = |name: &str| {
        json!({
            "name": name,
            "image": "registry.example.com/team/app:1.2.3",
            "env": env,
            "ports": [{"name": "http", "containerPort": 3000}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "securityContext": {"runAsUser": 1000},
        })
    };
    let pod = json!({
        "metadata": {"generateName": "app-7d9c-", "labels": {"app": "app", "hookgate.dev/inject": "true"}, "annotations": annotations},
        "spec": {
            "containers": [container("app"), {"name": "log", "image": "log:1"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
    });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop", "operation": "CREATE", "object": pod},
    });
    Bytes::from(review.to_string())
}

async fn connect(place: &Path, address: &str) -> SendRequest<Full<Bytes>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(place.join("tls.crt")).expect("PEM");
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let (sender, connection) = handshake(TokioIo::new(stream.expect("TLS")))
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// Sends its share of the reviews, each at its time; how long each took.
async fn send(
    mut sender: SendRequest<Full<Bytes>>,
    body: Bytes,
    begin: Instant,
    turn: usize,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for index in (turn..RATE * SECONDS).step_by(CONNECTIONS) {
        let due = begin + Duration::from_secs(1) * index as u32 / RATE as u32;
        tokio::time::sleep_until(due.into()).await;
        let request = Request::post("/inject").header("host", "localhost");
        let request = request.body(Full::new(body.clone())).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a body");
        times.push(due.elapsed());
    }
    times
}

/// Lines of /proc/PID/status that begin so, in KiB.
fn memory(child: &Child, field: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("a field");
    let number = line.split_whitespace().next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let place = tempfile::tempdir().expect("a directory");
    let (mut child, address) = start(place.path());
    let body = question();
    println!(
        "{} bytes a review, {RATE} a second for {SECONDS} s over {CONNECTIONS} connections",
        body.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut times = runtime.block_on(async {
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            senders.push(connect(place.path(), &address).await);
        }
        let begin = Instant::now() + Duration::from_millis(100);
        let turns = senders.into_iter().enumerate();
        let turns =
            turns.map(|(turn, sender)| tokio::spawn(send(sender, body.clone(), begin, turn)));
        let turns: Vec<_> = turns.collect();
        let mut times = Vec::new();
        for turn in turns {
            times.extend(turn.await.expect("its times"));
        }
        times
    });
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{} answered; p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!(
        "memory at most {:.1} MiB",
        memory(&child, "VmHWM:") as f64 / 1024.0
    );
    child.kill().expect("it ends");
    child.wait().expect("it ended");
}
