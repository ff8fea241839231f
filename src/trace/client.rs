//! One POST to the collector. No redirect is followed; time and size have limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why spans did not get there. What the collector wrote is not in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("cannot connect: {0}")]
    Unreachable(#[source] io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection broke")]
    Broken,
    #[error("it answered {0}")]
    Status(StatusCode),
}

impl ExportError {
    /// Whether the collector may take the same spans later (OTLP 1.x, "Retryable Response Codes"). One that hangs has
    /// had its time, and may have taken them.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken => true,
            Self::TimedOut => false,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

pub(super) struct Client {
    endpoint: Uri,
    headers: HeaderMap,
    patience: Duration,
    tls: TlsConnector,
}

impl Client {
    /// `endpoint` has a scheme, http or https, and a host.
    pub(super) fn new(endpoint: Uri, mut headers: HeaderMap, patience: Duration) -> Self {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION"))),
        );
        let authority = endpoint.authority().map(http::uri::Authority::as_str);
        if let Ok(host) = HeaderValue::try_from(authority.unwrap_or_default()) {
            headers.insert(HOST, host);
        }
        Self {
            endpoint,
            headers,
            patience,
            tls: trusting_the_web(),
        }
    }

    /// Host and port, for people.
    pub(super) fn place(&self) -> &str {
        self.endpoint
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    /// The body of the answer to spans that were taken.
    pub(super) async fn send(&self, spans: Bytes) -> Result<Bytes, ExportError> {
        timeout(self.patience, self.exchange(spans))
            .await
            .unwrap_or(Err(ExportError::TimedOut))
    }

    async fn exchange(&self, spans: Bytes) -> Result<Bytes, ExportError> {
        let is_tls = self.endpoint.scheme_str() == Some("https");
        let host = self.endpoint.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self
            .endpoint
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(ExportError::Unreachable)?;
        if !is_tls {
            return self.post(stream, spans).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ExportError::Unreachable(io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await;
        self.post(stream.map_err(ExportError::Unreachable)?, spans)
            .await
    }

    async fn post(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        spans: Bytes,
    ) -> Result<Bytes, ExportError> {
        let mut request = Request::new(Full::new(spans));
        *request.method_mut() = http::Method::POST;
        let target = self.endpoint.path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        *request.uri_mut() = target.parse().map_err(|_| ExportError::Broken)?;
        *request.headers_mut() = self.headers.clone();
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(128)
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| ExportError::Broken)?;
        let mut answer = std::pin::pin!(async move {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(|_| ExportError::Broken)?.into_parts();
            if !head.status.is_success() {
                return Err(ExportError::Status(head.status));
            }
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok(body.map_err(|_| ExportError::Broken)?.to_bytes())
        });
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection is at its end; what it brought is still to be read.
            _ = connection => answer.await,
        }
    }
}

/// The roots that browsers trust.
fn trusting_the_web() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    #[expect(
        clippy::expect_used,
        reason = "the provider has the versions, whatever the configuration"
    )]
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(tls))
}
