//! A TLS server on loopback that stands for the hosts that senders publish their keys at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hookgate::keys;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is published, by path; everything else is answered 503.
type Published = Arc<Mutex<BTreeMap<String, String>>>;

/// The server, and what it was asked for.
pub(crate) struct KeyServer {
    published: Published,
    asked: Arc<Mutex<Vec<String>>>,
    address: std::net::SocketAddr,
}

impl KeyServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            published: Arc::default(),
            asked: Arc::default(),
            address: listener.local_addr().expect("an address"),
        };
        let (published, asked) = (Arc::clone(&server.published), Arc::clone(&server.asked));
        let tls = acceptor();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not like the certificate goes away.
                let Ok(mut stream) = tls.accept(stream).await else {
                    continue;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a request's head"));
                }
                let head = String::from_utf8(head).expect("text");
                let path = head.split(' ').nth(1).expect("a target").to_owned();
                let body = published.lock().expect("a lock").get(&path).cloned();
                asked.lock().expect("a lock").push(path);
                let (status, body) = match body {
                    Some(body) => ("200 OK", body),
                    None => ("503 Service Unavailable", String::new()),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                stream
                    .write_all(answer.as_bytes())
                    .await
                    .expect("an answer");
                stream.shutdown().await.expect("an end");
            }
        });
        server
    }

    /// Publishes a text at this path.
    pub(crate) fn publish(&self, path: &str, text: &str) {
        let mut published = self.published.lock().expect("a lock");
        published.insert(path.to_owned(), text.to_owned());
    }

    /// The targets asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a lock").clone()
    }

    /// This server in the place of all hosts.
    pub(crate) fn config(&self) -> keys::Config {
        let root = CertificateDer::from_pem_slice(include_bytes!("../../keys/tls/authority.pem"));
        keys::Config::only(root.expect("a certificate"), self.address)
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = include_bytes!("../../keys/tls/certificate.pem");
    let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../keys/tls/key.pem"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.expect("a key"))
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}
