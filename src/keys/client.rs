//! One request over TLS to a host on the public internet. No redirect is followed, the address that
//! was checked is the address that is called, and time and size have limits.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::is_public;
use super::target::Target;

/// Time for everything, from the name's look-up to the last byte.
const LIMIT: Duration = Duration::from_secs(5);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// As many of a host's addresses are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no answer. What the other side sent is not in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The limits on fetches are used up.
    #[error("too many fetches at a time")]
    Busy,
    /// The name leads to no host on the public internet.
    #[error("the host has no public address")]
    Address,
    /// No connection, or no trust in who answered.
    #[error("cannot connect: {0}")]
    Unreachable(#[source] Arc<io::Error>),
    /// Not done in time.
    #[error("no answer in time")]
    TimedOut,
    /// What came is not HTTP, or broke off.
    #[error("the connection broke")]
    Broken,
    /// An answer other than 200; redirects are not followed.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer is longer than 256 KiB.
    #[error("the answer is too long")]
    TooLarge,
    /// The answer holds no key.
    #[error("the answer {0}")]
    NoKey(&'static str),
}

/// How fetches reach their hosts. The default is the only way that a configuration has.
#[derive(Default)]
pub struct Config(Peers);

#[derive(Clone, Default)]
enum Peers {
    /// The roots that browsers trust, and public addresses.
    #[default]
    Web,
    /// For tests: this root, and this address for every host.
    Only(CertificateDer<'static>, SocketAddr),
}

impl Config {
    /// For tests: one server stands for every host, with a certificate of this authority.
    #[doc(hidden)]
    #[must_use]
    pub fn only(root: CertificateDer<'static>, address: SocketAddr) -> Self {
        Self(Peers::Only(root, address))
    }
}

#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
    peers: Peers,
}

/// The answer 200.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// How long it may be kept, as its sender says.
    pub(super) max_age: Option<Duration>,
}

impl Client {
    pub(super) fn new(config: Config) -> Self {
        let mut roots = RootCertStore::empty();
        match &config.0 {
            Peers::Web => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Peers::Only(root, _) => {
                roots.add_parsable_certificates([root.clone()]);
            }
        }
        #[expect(
            clippy::expect_used,
            reason = "the provider has the versions, whatever the configuration"
        )]
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            tls: TlsConnector::from(Arc::new(tls)),
            peers: config.0,
        }
    }

    /// Sends a GET, or a POST of JSON.
    pub(super) async fn send(
        &self,
        target: &Target,
        json: Option<String>,
    ) -> Result<Answer, FetchError> {
        timeout(LIMIT, self.exchange(target, json))
            .await
            .unwrap_or(Err(FetchError::TimedOut))
    }

    async fn exchange(&self, target: &Target, json: Option<String>) -> Result<Answer, FetchError> {
        let request = request(target, json).map_err(|_| FetchError::Broken)?;
        let stream = self.connect(target.host()).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(128)
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| FetchError::Broken)?;
        let mut answer = pin!(async move {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(|_| FetchError::Broken)?.into_parts();
            if head.status != StatusCode::OK {
                return Err(FetchError::Status(head.status));
            }
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => FetchError::TooLarge,
                false => FetchError::Broken,
            })?;
            Ok(Answer {
                body: body.to_bytes(),
                max_age: max_age(&head.headers),
            })
        });
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection is at its end; what it brought is still to be read.
            _ = connection => answer.await,
        }
    }

    async fn connect(&self, host: &str) -> Result<TlsStream<TcpStream>, FetchError> {
        let unreachable = |error| FetchError::Unreachable(Arc::new(error));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let mut last = FetchError::Address;
        for address in self.addresses(host).await.map_err(unreachable)? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let stream = self.tls.connect(name, stream).await;
                    return stream.map_err(unreachable);
                }
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }

    /// The first few addresses of the host that may be called.
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        if let Peers::Only(_, address) = self.peers {
            return Ok(vec![address]);
        }
        let found = lookup_host((host, 443)).await?;
        let public = found.filter(|address| is_public(address.ip()));
        Ok(public.take(ADDRESSES_MAX).collect())
    }
}

fn request(target: &Target, json: Option<String>) -> http::Result<Request<Full<Bytes>>> {
    let request = Request::builder()
        .uri(target.path_and_query())
        .header(HOST, target.host())
        .header(USER_AGENT, concat!("hookgate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*");
    match json {
        None => request.body(Full::default()),
        Some(json) => request
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(json)),
    }
}

/// `max-age`; zero if the answer must not be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase());
    directives.find_map(|directive| match directive.split_once('=') {
        Some(("max-age", seconds)) => {
            let seconds = seconds.trim_matches('"').parse().ok()?;
            Some(Duration::from_secs(seconds))
        }
        None if matches!(&*directive, "no-store" | "no-cache") => Some(Duration::ZERO),
        Some(_) | None => None,
    })
}
