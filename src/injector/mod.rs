//! The admission webhook: a small server that an API server asks about every new pod that wants a gate.
//!
//! What happens to a pod is decided in [`crate::kubernetes`]; here are the listeners, the limits, the counting and, if
//! the process may write to the cluster, the certificate and the Events. An API server waits for the answer, so
//! nothing on the way to it asks anybody else.

mod certificate;
mod cluster;
mod events;
mod metrics;
mod routes;

pub use certificate::{CertificateError, Names};
pub use cluster::{Access, CallError};

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus::IntGauge;

use certificate::Keeper;
use cluster::Cluster;
use events::Events;

use crate::clock::Clock;
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

/// Between two looks at the certificate.
const LOOK: Duration = Duration::from_mins(1);
/// And after one that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// The version that is taken for a cluster that says none: the gate is then a plain container, which all can have.
const OLDEST: u32 = 28;
/// Connections of one address.
const PER_PEER_MAX: usize = 64;

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
    /// The cluster's minor version; asked for where it is not given.
    pub minor: Option<u32>,
    /// The API server, if it is to be asked or told anything.
    pub access: Option<Access>,
    /// Make the certificate, and keep it in the cluster; the files are then ours to write.
    pub certificate: Option<Names>,
    /// Write Events.
    pub events: bool,
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
    /// The certificate that it makes.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Something that needs the API server, and nobody said where that is.
    #[error("there is no API server to ask: this runs outside of a cluster")]
    NoCluster,
}

/// A running injector.
pub struct Injector {
    /// Where it really listens: for reviews, and for health and metrics.
    pub listening: [Address; 2],
    reviews: Stage,
    ops: Stage,
}

impl Injector {
    /// Asks the cluster what is needed, listens, and answers.
    ///
    /// # Errors
    /// An address or the certificate cannot be used, or the cluster does not say what has to be known.
    pub async fn start(
        config: Config,
        metrics: &Metrics,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let (reviews, ops) = (Stage::default(), Stage::default());
        let cluster = config.access.clone().map(Cluster::new);
        let counts = metrics::Metrics::new(metrics);
        let needed = || cluster.clone().ok_or(StartError::NoCluster);
        if let Some(names) = config.certificate {
            let keeper = Keeper {
                cluster: needed()?,
                names,
                files: config.tls.clone(),
                clock: clock.clone(),
            };
            counts.certificate_expiry.set(keeper.keep().await?);
            ops.spawn(keep(keeper, counts.certificate_expiry.clone(), ops.clone()));
        }
        let minor = Arc::new(AtomicU32::new(config.minor.unwrap_or(OLDEST)));
        if let (None, Some(cluster)) = (config.minor, &cluster)
            && !learn(cluster, &minor).await
        {
            ops.spawn(learn_later(
                cluster.clone(),
                Arc::clone(&minor),
                ops.clone(),
            ));
        }
        let events = match config.events {
            false => None,
            true => Some(Events::start(
                needed()?,
                counts.events_dropped.clone(),
                clock,
                &ops,
            )),
        };
        let limits = |tls| server::Config {
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: PER_PEER_MAX,
            trusted_proxies: Vec::new(),
            tls,
        };
        let server = |tls, stage: &Stage| {
            Server::new(&limits(tls), stage.clone(), Entropy::system(), None).map(Arc::new)
        };
        let (server, ops_server) = (server(Some(config.tls), &reviews)?, server(None, &ops)?);
        let listener = bind(&config.listen).await?;
        let ops_listener = bind(&config.ops).await?;
        let listening = [
            listener.address().unwrap_or(config.listen),
            ops_listener.address().unwrap_or(config.ops),
        ];
        let work = Arc::new(routes::Work::new(config.defaults, minor, counts, events));
        server.serve(listener, routes::reviews(work));
        ops_server.serve(ops_listener, routes::ops(metrics.clone(), reviews.clone()));
        Ok(Self {
            listening,
            reviews,
            ops,
        })
    }

    /// Turns /readyz off and goes on answering: API servers hear some seconds later that they should go elsewhere.
    /// Each of their connections ends after a request.
    pub fn retire(&self) {
        self.reviews.retire();
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

/// Looks after the certificate for as long as there is somebody to answer.
async fn keep(keeper: Keeper, expiry: IntGauge, stage: Stage) {
    let mut pause = LOOK;
    loop {
        tokio::select! {
            () = stage.stopping() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match keeper.keep().await {
            Ok(until) => {
                expiry.set(until);
                LOOK
            }
            Err(error) => {
                tracing::error!(%error, "the certificate could not be looked after; the one there is stays");
                AFTER_FAILURE
            }
        };
    }
}

/// Asks for the cluster's minor version; whether it said.
async fn learn(cluster: &Cluster, minor: &AtomicU32) -> bool {
    match cluster.minor().await {
        Ok(found) => {
            minor.store(found, Relaxed);
            tracing::info!("the cluster is Kubernetes 1.{found}");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the cluster does not say its version: taking 1.{OLDEST} (--kube-version sets it)");
            false
        }
    }
}

async fn learn_later(cluster: Cluster, minor: Arc<AtomicU32>, stage: Stage) {
    loop {
        tokio::select! {
            () = stage.stopping() => return,
            () = tokio::time::sleep(AFTER_FAILURE) => {}
        }
        if learn(&cluster, &minor).await {
            return;
        }
    }
}
