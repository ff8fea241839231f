//! Starting, in two steps: the addresses, then the store behind them.
//!
//! A large store, or a damaged one, takes its time to open. Meanwhile senders are answered 503 with
//! `Retry-After`, which providers understand, rather than not at all; `/livez` says yes, so that nobody
//! kills the process over it, and `/readyz` no.

use std::sync::{Arc, OnceLock};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Gateway, StartError, ready, store_metrics};
use crate::admin::{self, Admin, Kept, Routers};
use crate::clock::Clock;
use crate::config::Config;
use crate::drain::Drain;
use crate::entropy::Entropy;
use crate::event::SourceName;
use crate::forward::{self, Forwarder};
use crate::ingress::{self, Gate};
use crate::keys::{self, KeySource};
use crate::metrics::Metrics;
use crate::net::{Address, Listener, Passed};
use crate::server::{self, Server};
use crate::shutdown::Stage;
use crate::store::{CapturedSecrets, Store, StoreError};
use crate::trace::{self, Tracer};

/// Connections that the admin listener takes; apart from the senders', so that they cannot shut
/// the operator out.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// So that one address cannot shut out probes and scrapers.
const ADMIN_CONNECTIONS_PER_PEER_MAX: usize = 16;

/// A gateway that listens, and whose store is not open yet.
pub struct Opening {
    config: Config,
    clock: Clock,
    metrics: Metrics,
    ready: ready::Judge,
    intake: Stage,
    forwarding: Stage,
    admin: Stage,
    tracing: Stage,
    places: Places,
    listening: Listening,
}

/// What the listeners answer with, once it is there.
#[derive(Default)]
struct Places {
    gate: Arc<OnceLock<Arc<Gate>>>,
    admin: Arc<OnceLock<axum::Router>>,
    ops: Arc<OnceLock<axum::Router>>,
    /// Cancelled once they are filled.
    filled: CancellationToken,
}

impl Places {
    /// From here on what comes is answered. All were empty, since nobody else fills them.
    fn fill(self, gate: Arc<Gate>, routers: Routers) {
        drop(self.admin.set(routers.admin));
        drop(self.ops.set(routers.ops));
        drop(self.gate.set(gate));
        self.filled.cancel();
    }
}

/// Where it listens, with the ports that the system chose.
pub(super) struct Listening {
    pub(super) senders: Vec<Address>,
    pub(super) admin: Vec<Address>,
    pub(super) ops: Vec<Address>,
}

impl Opening {
    /// Opens the addresses: what is wrong with them shows before the store is touched.
    ///
    /// # Errors
    /// When the TLS files or an address cannot be used.
    pub async fn listen(
        mut config: Config,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let (intake, admin) = (Stage::default(), Stage::default());
        let mut passed = std::mem::take(&mut config.passed);
        let listeners = bind(&config.listen, "server.listen", &mut passed).await?;
        let admin_listeners = bind(&config.admin.listen, "admin.listen", &mut passed).await?;
        let ops_listeners = bind(&config.ops_listen, "ops.listen", &mut passed).await?;
        for name in passed.names() {
            tracing::warn!("a socket was passed that no setting names: \"systemd:{name}\"");
        }
        let server = Server::new(
            &config.server,
            intake.clone(),
            Entropy::system(),
            Some(server::Metrics::new(&metrics)),
        )?;
        let server = Arc::new(server.with_counted_heads());
        let admin_config = server::Config {
            connections_max: ADMIN_CONNECTIONS_MAX,
            connections_per_peer_max: ADMIN_CONNECTIONS_PER_PEER_MAX,
            trusted_proxies: Vec::new(),
            tls: None,
        };
        let admin_server = Arc::new(Server::new(
            &admin_config,
            admin.clone(),
            Entropy::system(),
            None,
        )?);
        let opening = Self {
            config,
            clock,
            ready: ready::register(&metrics),
            metrics,
            intake,
            forwarding: Stage::default(),
            admin,
            tracing: Stage::default(),
            places: Places::default(),
            listening: Listening {
                senders: addresses(&listeners),
                admin: addresses(&admin_listeners),
                ops: addresses(&ops_listeners),
            },
        };
        let places = &opening.places;
        for (listeners, routes) in [
            (admin_listeners, &places.admin),
            (ops_listeners, &places.ops),
        ] {
            for bound in listeners {
                let service = admin::when_open(Arc::clone(routes), opening.metrics.clone());
                admin_server.serve(bound.listener, service);
            }
        }
        for bound in listeners {
            opening.serve(&server, bound);
        }
        Ok(opening)
    }

    /// Takes what senders want. Connections to a socket that was passed may be older than this process: who
    /// waits there has waited for a restart, and is not refused for being there before the store, unless
    /// opening it takes longer than an answer may.
    fn serve(&self, server: &Arc<Server>, bound: Bound) {
        let service = ingress::stack(Arc::clone(&self.places.gate));
        if !bound.was_passed {
            server.serve(bound.listener, service);
            return;
        }
        let (filled, server) = (self.places.filled.clone(), Arc::clone(server));
        let (stage, patience) = (self.intake.clone(), self.config.ingress.ack_deadline);
        drop(self.intake.spawn(async move {
            tokio::select! {
                () = stage.stopping() => return,
                _ = timeout(patience, filled.cancelled()) => {}
            }
            server.serve(bound.listener, service);
        }));
    }

    /// Where senders reach it, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> &[Address] {
        &self.listening.senders
    }

    /// Where operators reach it.
    #[must_use]
    pub fn admin_listening(&self) -> &[Address] {
        &self.listening.admin
    }

    /// Opens the store and starts all that needs it; on return, events are taken.
    ///
    /// # Errors
    /// When the store cannot be used; nobody listens any more then.
    pub async fn open(self) -> Result<Gateway, StartError> {
        let (intake, admin) = (self.intake.clone(), self.admin.clone());
        let opened = self.fill().await;
        if opened.is_err() {
            tokio::join!(intake.stop(super::LAST), admin.stop(super::LAST));
        }
        opened
    }

    async fn fill(self) -> Result<Gateway, StartError> {
        let Self {
            config,
            clock,
            metrics,
            ready,
            intake,
            forwarding,
            admin: admin_stage,
            tracing,
            places,
            listening,
        } = self;
        let captured = CapturedSecrets::beside(&config.store.path);
        tracing::info!("opening the store");
        let store = open_store(config.store, clock.clone()).await?;
        let names = names(&config.ingress.sources);
        store_metrics::register(&metrics, &store, names.clone());
        let credential_headers = credential_headers(&config.ingress.sources);
        let key_metrics = keys::Metrics::new(&metrics);
        let keys = KeySource::new(config.keys, clock.clone(), key_metrics, intake.clone());
        let (kept, now) = (store.clone(), clock.clone());
        let (counted, forward_metrics) = stage_metrics(&metrics, &names, config.trace, &tracing);
        let gate = Gate::start(config.ingress, kept, captured, now, counted, keys, &intake);
        let gate = Arc::new(gate);
        restore_captured(&gate).await?;
        let app = admin::App {
            address: config.forward.app.clone(),
            up: forward_metrics.app_up().clone(),
        };
        Forwarder::start(
            config.forward,
            store.clone(),
            clock.clone(),
            Entropy::system(),
            forward_metrics,
            &forwarding,
        );
        let stages = (intake.clone(), forwarding.clone());
        let health = ready::judged_by(&ready, &intake, &store);
        let (draining, kept) = (Arc::clone(&gate), store.clone());
        let drain = Drain::new(draining, kept, stages, config.drain_accept_for, &metrics);
        let routers = admin::routers(Admin {
            store: store.clone(),
            gate: Arc::clone(&gate),
            kept: Kept::start(&metrics, &clock, &admin_stage),
            clock,
            metrics,
            health,
            app,
            listen: listening.senders.clone(),
            tls: config.server.tls.is_some(),
            tokens: config.admin.tokens,
            credential_headers,
            drain,
            stage: admin_stage.clone(),
        });
        places.fill(Arc::clone(&gate), routers);
        Ok(Gateway {
            gate,
            store,
            intake,
            forwarding,
            admin: admin_stage,
            tracing,
            grace: config.grace,
            listening,
        })
    }
}

/// What the way in and the way out count, and where their spans go.
fn stage_metrics(
    metrics: &Metrics,
    names: &[SourceName],
    trace: Option<trace::Config>,
    stage: &Stage,
) -> (ingress::Metrics, forward::Metrics) {
    let tracer = Tracer::start(trace, metrics, Entropy::system(), stage);
    let on_the_way_out = forward::Metrics::new(metrics, names.iter().cloned());
    (
        ingress::Metrics::new(metrics).with_tracer(tracer.clone()),
        on_the_way_out.with_tracer(tracer),
    )
}

/// A listener, and whether somebody else opened it.
struct Bound {
    listener: Listener,
    was_passed: bool,
}

/// Starts to listen on all addresses of a setting.
async fn bind(
    addresses: &[Address],
    key: &'static str,
    passed: &mut Passed,
) -> Result<Vec<Bound>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = match address {
            Address::Passed(name) => {
                let there: Vec<_> = passed.names().map(ToOwned::to_owned).collect();
                let taken = passed.take(name);
                if taken.as_ref().is_ok_and(Vec::is_empty) {
                    let passed = match there.is_empty() {
                        true => "none was".to_owned(),
                        false => format!("there are {}", there.join(", ")),
                    };
                    let name = name.clone();
                    return Err(StartError::NotPassed { key, name, passed });
                }
                taken
            }
            Address::Tcp { .. } | Address::Unix(_) | Address::Simulated(_) => {
                address.bind().await.map(|listener| vec![listener])
            }
        };
        let bound = bound.map_err(|source| StartError::Listen {
            key,
            address: address.clone(),
            source,
        })?;
        let was_passed = matches!(address, Address::Passed(_));
        listeners.extend(bound.into_iter().map(|listener| Bound {
            listener,
            was_passed,
        }));
    }
    Ok(listeners)
}

fn addresses(listeners: &[Bound]) -> Vec<Address> {
    listeners
        .iter()
        .filter_map(|bound| bound.listener.address().ok())
        .collect()
}

fn names(sources: &[ingress::SourceConfig]) -> Vec<SourceName> {
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
