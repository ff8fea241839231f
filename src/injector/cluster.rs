//! The few calls that an injector makes to its own cluster's API server, as the service account that its pod has.
//! Source: kubernetes.io/docs/tasks/run-application/access-api-from-pod/

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Time for everything, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer.
const ANSWER_MAX: usize = 1 << 20;

/// Where the API server is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Access {
    /// Host, as the API server's certificate names it.
    pub host: String,
    pub port: u16,
    /// The folder with `token`, `ca.crt` and `namespace`, which Kubernetes mounts and renews.
    pub account: PathBuf,
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A file of the service account.
    #[error("{}: {error}", file.display())]
    Account { file: PathBuf, error: io::Error },
    /// No connection, or one that broke off, or nobody to trust.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// It took too long.
    #[error("no answer from the API server within {PATIENCE:?}")]
    TimedOut,
    /// It said no.
    #[error("the API server answered {status} to {method} {path}: {message}")]
    Status {
        method: Method,
        path: String,
        status: StatusCode,
        message: String,
    },
}

impl CallError {
    /// Whether the answer was this status.
    pub(super) fn is(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }
}

/// A way to call the API server; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    access: Arc<Access>,
}

impl Cluster {
    pub(super) fn new(access: Access) -> Self {
        let access = Arc::new(access);
        Self { access }
    }

    /// Our own namespace.
    pub(super) fn namespace(&self) -> Result<String, CallError> {
        let namespace = self.read("namespace")?;
        Ok(namespace.trim().to_owned())
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, Some(("application/json", body)))
            .await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PUT, path, Some(("application/json", body)))
            .await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(
            Method::PATCH,
            path,
            Some(("application/json-patch+json", body)),
        )
        .await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, CallError> {
        let exchange = self.exchange(&method, path, body);
        let answered = timeout(PATIENCE, exchange).await;
        let (status, body) = answered.unwrap_or(Err(CallError::TimedOut))?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let message = value
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Err(CallError::Status {
            method,
            path: path.to_owned(),
            status,
            message: message.to_owned(),
        })
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let broken = |error: &dyn std::fmt::Display| {
            CallError::Unreachable(io::Error::other(error.to_string()))
        };
        let request = self.request(method, path, body)?;
        let stream = self.connect().await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        let mut answer = pin!(async move {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(|error| broken(&error))?.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| broken(&error))?;
            Ok((head.status, body.to_bytes()))
        });
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection is at its end; what it brought is still to be read.
            _ = connection => answer.await,
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        // Read each time: it is renewed about once an hour.
        let token = self.read("token")?;
        let mut token =
            HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
                let error = io::Error::other("no token that fits into a header");
                self.unusable("token", error)
            })?;
        token.set_sensitive(true);
        let (host, port) = (self.host(), self.access.port);
        let host = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("hookgate/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, token);
        let mut bytes = Bytes::new();
        if let Some((kind, value)) = body {
            request = request.header(CONTENT_TYPE, kind);
            bytes = Bytes::from(value.to_string());
        }
        let request = request.body(Full::new(bytes));
        request.map_err(|error| CallError::Unreachable(io::Error::other(error)))
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, CallError> {
        let mut roots = RootCertStore::empty();
        let pem = self.read("ca.crt")?;
        let authorities = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
        roots.add_parsable_certificates(authorities);
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| CallError::Unreachable(io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let host = self.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| CallError::Unreachable(io::Error::other(error)))?;
        let stream = TcpStream::connect((host, self.access.port)).await;
        let stream = stream.map_err(CallError::Unreachable)?;
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name, stream)
            .await
            .map_err(CallError::Unreachable)
    }

    /// Without brackets.
    fn host(&self) -> &str {
        self.access.host.trim_matches(['[', ']'])
    }

    fn read(&self, name: &str) -> Result<String, CallError> {
        let read = std::fs::read_to_string(self.access.account.join(name));
        read.map_err(|error| self.unusable(name, error))
    }

    fn unusable(&self, name: &str, error: io::Error) -> CallError {
        let file = Path::new(&self.access.account).join(name);
        CallError::Account { file, error }
    }

    /// The cluster's minor version, which anybody may ask for.
    pub(super) async fn minor(&self) -> Result<u32, CallError> {
        let version = self.get("/version").await?;
        let minor = version
            .get("minor")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // Some providers write "33+".
        let digits = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse().map_err(|_| {
            let message = format!("the API server says that its minor version is {minor:?}");
            CallError::Unreachable(io::Error::other(message))
        })
    }
}
