//! A TLS server on loopback that stands for the senders' key servers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::shutdown::Stage;

/// A key server that answers every request alike, until told otherwise.
#[derive(Clone)]
pub(super) struct Server(Arc<Script>);

pub(super) type Asked = (Method, String, String);

struct Script {
    answer: Mutex<Response<Full<Bytes>>>,
    /// Method, target and body of each request.
    asked: Mutex<Vec<Asked>>,
    /// Answers that may be given; a closed gate holds them back.
    gate: Semaphore,
}

/// The files of the tests.
pub(super) fn pem(name: &str) -> &'static [u8] {
    match name {
        "authority" => include_bytes!("../../tests/keys/tls/authority.pem"),
        "certificate" => include_bytes!("../../tests/keys/tls/certificate.pem"),
        "key" => include_bytes!("../../tests/keys/tls/key.pem"),
        "another authority" => include_bytes!("../../tests/config/tls/certificate.pem"),
        other => panic!("{other}"),
    }
}

impl Server {
    /// Serves the answer on a port of its own.
    pub(super) async fn start(answer: Response<Full<Bytes>>) -> (Self, SocketAddr) {
        let stage = Stage::default();
        let server = Self(Arc::new(Script {
            answer: Mutex::new(answer),
            asked: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }));
        let tls = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepting, own) = (stage.clone(), server.clone());
        stage.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, server) = (tls.clone(), own.clone());
                accepting.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| server.clone().serve(request));
                    let connection = http1::Builder::new();
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        (server, address)
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let target = head.uri.to_string();
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.0
            .asked
            .lock()
            .unwrap()
            .push((head.method, target, body));
        self.0.gate.acquire().await.unwrap().forget();
        Ok(self.0.answer.lock().unwrap().clone())
    }

    /// From now on it answers like this.
    pub(super) fn will(&self, answer: Response<Full<Bytes>>) {
        *self.0.answer.lock().unwrap() = answer;
    }

    /// From now on it keeps its answers back.
    pub(super) fn hold(&self) {
        self.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Gives so many of them.
    pub(super) fn release(&self, answers: usize) {
        self.0.gate.add_permits(answers);
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(pem("certificate")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem("key")).unwrap();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(tls))
}
