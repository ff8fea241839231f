//! The admission webhook: a small server that an API server asks about every new pod that wants a gate.
//!
//! What happens to a pod is decided in [`crate::kubernetes`]; here are the listeners, the limits, the counting and, if
//! the process may write to the cluster, the certificate and the Events. An API server waits for the answer, so
//! nothing on the way to it asks anybody else.

mod metrics;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use crate::entropy::Entropy;
use crate::kubernetes::defaults::Defaults;
use crate::metrics::Metrics;
use crate::net::Address;
use crate::server::{self, Server, TlsFiles};
use crate::shutdown::Stage;

/// API servers keep their connections open; each has few.
const CONNECTIONS_MAX: usize = 512;
/// A review is answered in less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the injector needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where API servers come.
    pub listen: Address,
    /// Health and metrics, without TLS.
    pub ops: Address,
    /// The certificate and its key; reread when they change.
    pub tls: TlsFiles,
    /// What holds where pods say nothing.
    pub defaults: Defaults,
    /// The cluster's minor version.
    pub minor: u32,
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is not to be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: Address,
        error: std::io::Error,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] server::TlsError),
}

/// A running injector.
pub struct Injector {
    /// Where it really listens: for reviews, and for health and metrics.
    pub listening: [Address; 2],
    reviews: Stage,
    ops: Stage,
}

impl Injector {
    /// Listens and answers.
    ///
    /// # Errors
    /// An address or the certificate cannot be used.
    pub async fn start(config: Config, metrics: &Metrics) -> Result<Self, StartError> {
        let (reviews, ops) = (Stage::default(), Stage::default());
        let limits = |tls| server::Config {
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_MAX,
            trusted_proxies: Vec::new(),
            tls,
        };
        let server = Server::new(
            &limits(Some(config.tls)),
            reviews.clone(),
            Entropy::system(),
            None,
        )?;
        let ops_server = Server::new(&limits(None), ops.clone(), Entropy::system(), None)?;
        let listener = bind(&config.listen).await?;
        let ops_listener = bind(&config.ops).await?;
        let listening = [
            listener.address().unwrap_or(config.listen),
            ops_listener.address().unwrap_or(config.ops),
        ];
        let counts = metrics::Metrics::new(metrics);
        let work = Arc::new(routes::Work::new(config.defaults, config.minor, counts));
        Arc::new(server).serve(listener, routes::reviews(work));
        Arc::new(ops_server).serve(ops_listener, routes::ops(metrics.clone(), reviews.clone()));
        Ok(Self {
            listening,
            reviews,
            ops,
        })
    }

    /// No new connections; what is asked is answered.
    pub async fn stop(self) {
        self.reviews.stop(PATIENCE).await;
        self.ops.stop(Duration::from_secs(1)).await;
    }
}

async fn bind(address: &Address) -> Result<crate::net::Listener, StartError> {
    address.bind().await.map_err(|error| StartError::Listen {
        address: address.clone(),
        error,
    })
}
