//! Every way in: HTTP/1.1, HTTP/2 by prior knowledge, TLS, a Unix socket, several at once.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use hookgate::net::{Address, Stream};
use hookgate::shutdown::Stage;
use hookgate::verify::Unsigned;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::gate::{Gate, Setup};
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};
use crate::support::within;

/// Sends over HTTP/2; the authority stands where HTTP/1 has its Host header.
async fn over_http2<S>(stream: S, scheme: &str, requests: &[Unsigned]) -> Vec<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let executor = TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
    let (mut client, connection) = within("the handshake", handshake).await.unwrap();
    let driver = Stage::default().spawn(connection);
    let mut answers = Vec::new();
    for unsigned in requests {
        let uri = format!("{scheme}://hooks.example.com{}", unsigned.url);
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in &unsigned.headers {
            request = request.header(name.to_ascii_lowercase(), value);
        }
        let request = request.body(Full::new(unsigned.body.clone())).unwrap();
        answers.push(
            within("an answer", client.send_request(request))
                .await
                .unwrap(),
        );
    }
    drop(client);
    within("the end", driver).await.unwrap().unwrap();
    answers
}

fn status(answer: &Response<Incoming>) -> (u16, &str) {
    let status = answer.headers().get("hookgate-status");
    let text = status.map_or("", |value| value.to_str().unwrap());
    (answer.status().as_u16(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_speaks_http2_is_answered_and_its_host_reaches_the_app() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let mut event = stripe.event("evt_1");
    for (name, value) in [
        ("te", "trailers"),
        ("hookgate_verified", "forged"),
        ("proxy-x", "1"),
    ] {
        event.headers.push((name.to_owned(), value.to_owned()));
    }
    let mut forged = event.clone();
    forged.body = Bytes::from_static(b"{\"id\":\"evt_1\"}");

    let stream = gate.address.connect().await.unwrap();
    let answers = over_http2(stream, "http", &[event.clone(), event.clone(), forged]).await;

    let statuses: Vec<_> = answers.iter().map(status).collect();
    assert_eq!(statuses, [(200, "stored"), (200, "duplicate"), (401, "")]);
    let refused = answers.into_iter().nth(2).unwrap();
    let text = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "the request could not be verified");
    let delivery = app.delivery(0).await;
    assert_eq!(delivery.request_line(), "POST /webhooks/stripe HTTP/1.1");
    assert_eq!(
        delivery.header("host").as_deref(),
        Some("hooks.example.com")
    );
    // HTTP/2's own headers begin with a colon.
    for (name, value) in delivery.headers() {
        assert!(!name.is_empty() && !name.starts_with(':'), "{name}");
        assert!(
            name != "te" && name != "proxy-x" && value != b"forged",
            "{name}"
        );
    }
    assert_eq!(delivery.body, event.body);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_listens_on_unix_sockets_and_ports_at_once() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    let socket = Address::Unix(setup.file("gate.sock"));
    let admin = Address::Unix(setup.file("admin.sock"));
    setup.set("server.listen", &format!("{socket}, 127.0.0.1:0"));
    setup.set("admin.listen", &admin.to_string());
    let gate = setup.start().await;
    assert_eq!(gate.gateway.listening().len(), 2);

    for (n, address) in gate.gateway.listening().iter().enumerate() {
        let event = bytes(&stripe.event(&format!("evt_{n}")));
        let mut connection = Connection::open(address).await;
        connection.ask(&event).await.acknowledged("stored");
    }

    app.received(2).await;
    assert_eq!(gate.events("").await.len(), 2);
    gate.stop().await;
    assert!(
        !setup.file("gate.sock").exists(),
        "a socket file is removed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_that_a_killed_gate_left_is_replaced() {
    let stripe = Sender::new("stripe");
    let (mut setup, _app) = Setup::scene(&[&stripe]).await;
    let path = setup.file("gate.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    setup.set("server.listen", &format!("unix:{}", path.display()));

    let gate = setup.start().await;

    gate.post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    gate.stop().await;
}

/// A key and a certificate for `localhost` that it signs itself.
fn self_signed(certificate: &Path, key: &Path) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output();
    match made {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            true
        }
        Err(error) => {
            eprintln!("skipped: no openssl to make a certificate with ({error})");
            false
        }
    }
}

async fn handshake(gate: &Gate, certificate: &Path, alpn: &[u8]) -> TlsStream<Stream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = gate.address.connect().await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    within("the TLS handshake", connector.connect(name, stream))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_senders_are_answered_over_http1_and_http2_and_plain_ones_are_not() {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    let (certificate, key) = (setup.file("tls.crt"), setup.file("tls.key"));
    if !self_signed(&certificate, &key) {
        return;
    }
    setup.set("server.tls.certificate", &certificate.display().to_string());
    setup.set("server.tls.key", &key.display().to_string());
    let gate = setup.start().await;

    let stream = handshake(&gate, &certificate, b"http/1.1").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut connection = Connection::over(stream);
    let answer = connection.ask(&bytes(&stripe.event("evt_1"))).await;
    answer.acknowledged("stored");

    let stream = handshake(&gate, &certificate, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answers = over_http2(stream, "https", &[stripe.event("evt_2")]).await;
    assert_eq!(status(&answers[0]), (200, "stored"));

    let mut plain = Connection::open(&gate.address).await;
    plain.write(&bytes(&stripe.event("evt_3"))).await;
    assert!(!plain.until_closed().await.starts_with(b"HTTP"));
    assert_eq!(app.received(2).await.len(), 2);
    gate.stop().await;
    assert_eq!(app.stop().await.len(), 2);
}
