//! TLS for listeners: rustls, HTTP/2 offered by ALPN, certificate files reread when they change.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::shutdown::Stage;

/// A client that has not finished the handshake by then is gone or hostile.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How often the files' dates are looked at.
const REREAD: Duration = Duration::from_secs(10);

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Files {
    /// Whether the files hold a certificate and its key.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn check(&self) -> Result<(), TlsError> {
        read(self).map(drop)
    }
}

/// The TLS files cannot be used; the message names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with the certificate chain.
    #[error("{0}")]
    Certificate(String),
    /// The file with the private key, or the key is not the certificate's.
    #[error("{0}")]
    Key(String),
}

/// What there is to watch about a certificate.
#[derive(Clone)]
pub(super) struct TlsMetrics {
    expiry: IntGauge,
    reload_success: IntGauge,
}

impl TlsMetrics {
    /// Declares the families.
    pub(super) fn new(metrics: &crate::metrics::Metrics) -> Self {
        Self {
            expiry: metrics.gauge(
                "hookgate_tls_certificate_expiry_timestamp_seconds",
                "When the first certificate of the chain in use expires; only with server.tls",
            ),
            reload_success: metrics.gauge(
                "hookgate_tls_reload_success",
                "Whether the TLS files as they are now are in use; only with server.tls",
            ),
        }
    }

    fn in_use(&self, expiry: Option<i64>) {
        self.reload_success.set(1);
        if let Some(expiry) = expiry {
            self.expiry.set(expiry);
        }
    }
}

/// The current certificate; cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    files: Files,
    current: Arc<ArcSwap<ServerConfig>>,
    metrics: Option<TlsMetrics>,
}

impl Tls {
    pub(super) fn load(files: &Files, metrics: Option<TlsMetrics>) -> Result<Self, TlsError> {
        let (config, expiry) = read(files)?;
        if let Some(metrics) = &metrics {
            metrics.in_use(expiry);
        }
        Ok(Self {
            files: files.clone(),
            current: Arc::new(ArcSwap::from_pointee(config)),
            metrics,
        })
    }

    /// The handshake; `None` when it fails or takes too long, which anybody can cause.
    pub(super) async fn accept<IO>(&self, io: IO) -> Option<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        timeout(HANDSHAKE, acceptor.accept(io)).await.ok()?.ok()
    }

    /// Takes up renewed files; a broken renewal keeps the certificate in use and says so.
    pub(super) async fn reread_until(self, stage: Stage) {
        let mut seen = self.dates();
        loop {
            tokio::select! {
                () = stage.stopping() => return,
                () = tokio::time::sleep(REREAD) => {}
            }
            let dates = self.dates();
            if dates == seen {
                continue;
            }
            seen = dates;
            match read(&self.files) {
                Ok((config, expiry)) => {
                    if let Some(metrics) = &self.metrics {
                        metrics.in_use(expiry);
                    }
                    self.current.store(Arc::new(config));
                    tracing::info!(file = %self.files.certificate.display(), "TLS certificate reread");
                }
                Err(error) => {
                    if let Some(metrics) = &self.metrics {
                        metrics.reload_success.set(0);
                    }
                    tracing::error!(%error, "the TLS files changed and cannot be used; the old ones stay")
                }
            }
        }
    }

    fn dates(&self) -> [Option<SystemTime>; 2] {
        [&self.files.certificate, &self.files.key]
            .map(|file| fs::metadata(file).ok()?.modified().ok())
    }
}

/// What the files hold, and when the first of their certificates expires (seconds since 1970), where
/// they say so in the usual way.
fn read(files: &Files) -> Result<(ServerConfig, Option<i64>), TlsError> {
    let certificate = |error: &dyn std::fmt::Display| {
        TlsError::Certificate(format!("{}: {error}", files.certificate.display()))
    };
    let key =
        |error: &dyn std::fmt::Display| TlsError::Key(format!("{}: {error}", files.key.display()));
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"has no certificate in PEM form"));
    }
    let expiry = chain.iter().filter_map(expires).min();
    let private = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| key(&error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate(&error))?;
    let config = builder
        .with_no_client_auth()
        .with_single_cert(chain, private);
    let mut config = config.map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            key(&"is not the key of the certificate")
        } else {
            certificate(&error)
        }
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, expiry))
}

fn expires(certificate: &CertificateDer<'_>) -> Option<i64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    i64::try_from(end.to_unix_duration().as_secs()).ok()
}
