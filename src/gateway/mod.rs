//! Wires all parts together: the only module that knows everybody.
//!
//! Start: store, gate, forwarder, admin, and last the senders' listeners. Stop, in this order:
//! intake (no new connections; requests under way finish), forwarding (no new leases; attempts
//! finish), the store (what was settled is written), admin. Whatever has not finished when the grace
//! period ends stays pending on disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::{self, Admin, Health};
use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::event::SourceName;
use crate::forward::{self, Forwarder};
use crate::ingress::{self, Gate};
use crate::keys::{self, KeySource};
use crate::metrics::Metrics;
use crate::net::{Address, Listener};
use crate::server::{self, Server};
use crate::shutdown::Stage;
use crate::store::{CapturedSecrets, Store, StoreError};

mod store_metrics;

/// Connections that the admin listener takes; apart from the senders', so that they cannot shut
/// the operator out.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// So that one address cannot shut out probes and scrapers.
const ADMIN_CONNECTIONS_PER_PEER_MAX: usize = 16;
/// What of the grace period is kept back for writing the last settlements.
const STORE_SHARE: Duration = Duration::from_secs(2);

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] server::TlsError),
    /// A captured secret cannot be read or used.
    #[error(transparent)]
    Captured(#[from] ingress::CaptureError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}; is another process using it?")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address asked for.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
}

/// A running gateway.
pub struct Gateway {
    gate: Arc<Gate>,
    store: Store,
    intake: Stage,
    forwarding: Stage,
    admin: Stage,
    grace: Duration,
    listening: Vec<Address>,
    admin_listening: Vec<Address>,
}

impl Gateway {
    /// Starts everything; on return, senders are answered.
    ///
    /// # Errors
    /// When the store, the TLS files or an address cannot be used.
    pub async fn start(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, StartError> {
        let (intake, forwarding, admin_stage) =
            (Stage::default(), Stage::default(), Stage::default());
        let entropy = Entropy::system();
        // Addresses first: what is wrong with them shows before the store is touched.
        let listeners = bind(&config.listen, "server.listen").await?;
        let admin_listeners = bind(&config.admin.listen, "admin.listen").await?;
        let server = Server::new(
            &config.server,
            intake.clone(),
            entropy.clone(),
            Some(server::Metrics::new(&metrics)),
        )?;

        let captured = CapturedSecrets::beside(&config.store.path);
        let store = open_store(config.store, clock.clone()).await?;
        let names = source_names(&config.ingress.sources);
        store_metrics::register(&metrics, &store, names.clone());
        let credential_headers = credential_headers(&config.ingress.sources);
        let key_metrics = keys::Metrics::new(&metrics);
        let keys = KeySource::new(config.keys, clock.clone(), key_metrics, intake.clone());
        let gate = Arc::new(Gate::start(
            config.ingress,
            store.clone(),
            captured,
            clock.clone(),
            ingress::Metrics::new(&metrics),
            keys,
            &intake,
        ));
        restore_captured(&gate).await?;

        let listening = addresses(&listeners);
        let admin_listening = addresses(&admin_listeners);
        Forwarder::start(
            config.forward,
            store.clone(),
            clock.clone(),
            entropy,
            forward::Metrics::new(&metrics, names.into_iter()),
            &forwarding,
        );
        let admin = Admin {
            store: store.clone(),
            clock,
            metrics,
            health: Health {
                intake: intake.clone(),
            },
            token: config.admin.token,
            credential_headers,
            gate: Arc::clone(&gate),
        };
        serve_admin(admin, admin_listeners, &admin_stage)?;

        let server = Arc::new(server);
        for listener in listeners {
            server.serve(listener, ingress::stack(Arc::clone(&gate)));
        }
        let (admin, grace) = (admin_stage, config.grace);
        Ok(Self {
            gate,
            store,
            intake,
            forwarding,
            admin,
            grace,
            listening,
            admin_listening,
        })
    }

    /// Where senders reach it, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> &[Address] {
        &self.listening
    }

    /// Where operators reach it.
    #[must_use]
    pub fn admin_listening(&self) -> &[Address] {
        &self.admin_listening
    }

    /// Resolves when the store has failed, after which the process must end.
    pub async fn failed(&self) -> StoreError {
        self.store.failed().await
    }

    /// Stops in order within the grace period.
    pub async fn stop(self) {
        let end = Instant::now() + self.grace.saturating_sub(STORE_SHARE);
        tracing::info!("stopping: no new requests");
        // Half for each: a body that drips in must not cost the attempts their time.
        if !self.intake.stop(left(end) / 2).await {
            tracing::warn!("some requests did not finish in time; their senders will try again");
        }
        self.gate.close();
        if !self.forwarding.stop(left(end)).await {
            tracing::warn!("some attempts did not finish in time; their events stay pending");
        }
        self.store.close().await;
        self.admin.stop(Duration::from_secs(1)).await;
        tracing::info!("stopped");
    }
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

async fn bind(addresses: &[Address], key: &'static str) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = address.bind().await;
        listeners.push(bound.map_err(|source| StartError::Listen {
            key,
            address: address.clone(),
            source,
        })?);
    }
    Ok(listeners)
}

fn addresses(listeners: &[Listener]) -> Vec<Address> {
    listeners
        .iter()
        .filter_map(|listener| listener.address().ok())
        .collect()
}

fn source_names(sources: &[ingress::SourceConfig]) -> Vec<SourceName> {
    sources.iter().map(|source| source.name.clone()).collect()
}

/// Headers that carry a source's credentials.
fn credential_headers(sources: &[ingress::SourceConfig]) -> Vec<http::HeaderName> {
    let headers = sources
        .iter()
        .flat_map(|source| source.verifier.credential_headers());
    headers.cloned().collect()
}

/// Opening reads the disk, so it happens on a thread that may block.
async fn open_store(config: crate::store::Config, clock: Clock) -> Result<Store, StoreError> {
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::spawn_blocking(move || Store::open(config, clock, &runtime)).await;
    opened.unwrap_or_else(|panic| Err(StoreError::Fatal(panic.to_string().into())))
}

/// Reading files happens on a thread that may block.
async fn restore_captured(gate: &Arc<Gate>) -> Result<(), StartError> {
    let gate = Arc::clone(gate);
    let restored = tokio::task::spawn_blocking(move || gate.restore_captured()).await;
    restored.map_err(|panic| StoreError::Fatal(panic.to_string().into()))??;
    Ok(())
}

fn serve_admin(admin: Admin, listeners: Vec<Listener>, stage: &Stage) -> Result<(), StartError> {
    let config = server::Config {
        connections_max: ADMIN_CONNECTIONS_MAX,
        connections_per_peer_max: ADMIN_CONNECTIONS_PER_PEER_MAX,
        trusted_proxies: Vec::new(),
        tls: None,
    };
    let server = Arc::new(Server::new(
        &config,
        stage.clone(),
        Entropy::system(),
        None,
    )?);
    let router = admin::router(admin);
    for listener in listeners {
        server.serve(listener, router.clone());
    }
    Ok(())
}
