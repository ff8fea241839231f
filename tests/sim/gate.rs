//! The gate of one life: all its real parts, wired as `gateway` does it, on a simulated disk, network
//! and clock.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use hookgate::clock::Clock;
use hookgate::config::{Config, Inputs};
use hookgate::entropy::Entropy;
use hookgate::forward::{self, Forwarder, RetryPolicy};
use hookgate::ingress::{self, Gate, SourceConfig};
use hookgate::keys::{self, KeySource};
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::providers::Catalogue;
use hookgate::server::{self, Server};
use hookgate::shutdown::Stage;
use hookgate::store::{self, CapturedSecrets, Keep, Store, StoreError};

use crate::app::PATIENCE;
use crate::schedule::Schedule;
use crate::sender::SIGNERS;
use crate::under::Simulated;

/// Longest wait between two attempts.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(20);
/// Free space below which nothing new is taken.
pub(crate) const LOW_SPACE: u64 = 1 << 20;

/// The sources, from a configuration like a user's.
static SOURCES: LazyLock<Vec<SourceConfig>> = LazyLock::new(|| {
    let mut flags = vec![
        ("app.url".to_owned(), "http://127.0.0.1:1".to_owned()),
        ("store.path".to_owned(), "/simulated".to_owned()),
    ];
    for (genuine, _) in SIGNERS.iter() {
        flags.extend(genuine.settings());
    }
    let inputs = Inputs {
        flags,
        ..Inputs::default()
    };
    let config = Config::load(&inputs).unwrap_or_else(|faults| panic!("{faults}"));
    config.ingress.sources
});

/// A source that nothing here fetches keys from.
static KEYS: LazyLock<KeySource> = LazyLock::new(|| {
    KeySource::new(
        keys::Config::default(),
        Clock::real(),
        keys::Metrics::new(&Metrics::new()),
        Stage::default(),
    )
});

/// A running gate.
pub(crate) struct Running {
    pub(crate) store: Store,
    gate: Arc<Gate>,
    intake: Stage,
    forwarding: Stage,
}

/// What a store needs to be opened.
pub(crate) fn store_config(schedule: &Schedule, disk: &Arc<Simulated>) -> store::Config {
    let long = Duration::from_secs(400 * 24 * 3600);
    store::Config {
        path: disk.disk.path(),
        bytes_max: 0,
        keep: Keep {
            delivered: long,
            dead: long,
            ids: long,
        },
        allow_volatile: false,
        low_space_bytes: LOW_SPACE,
        backlog_bytes_max: schedule.backlog_bytes,
        dedup_windows: std::collections::HashMap::new(),
        disk: Some(Arc::clone(disk) as Arc<dyn store::disk::Disk>),
    }
}

/// Opens the store as a start of the gate does.
pub(crate) fn open(
    schedule: &Schedule,
    disk: &Arc<Simulated>,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Store, StoreError> {
    let config = store_config(schedule, disk);
    let runtime = tokio::runtime::Handle::current();
    Store::open_in_place(&config, clock.clone(), entropy.clone(), &runtime)
}

impl Running {
    /// Starts everything behind an opened store.
    pub(crate) async fn start(
        schedule: &Schedule,
        store: Store,
        clock: &Clock,
        entropy: &Entropy,
        (door, app): (Address, Address),
    ) -> Self {
        let (intake, forwarding) = (Stage::in_place(), Stage::in_place());
        let metrics = Metrics::new();
        let gate = Arc::new(Gate::start(
            ingress(),
            store.clone(),
            CapturedSecrets::beside(std::path::Path::new("/simulated")),
            clock.clone(),
            ingress::Metrics::new(&metrics),
            KEYS.clone(),
            &intake,
        ));
        Forwarder::start(
            forward(schedule, app),
            store.clone(),
            clock.clone(),
            entropy.clone(),
            forward::Metrics::new(&metrics, SOURCES.iter().map(|source| source.name.clone())),
            &forwarding,
        );
        let config = server::Config {
            trusted_proxies: Vec::new(),
            connections_max: 64,
            connections_per_peer_max: 64,
            tls: None,
        };
        let server = Server::new(&config, intake.clone(), entropy.clone(), None);
        let server = Arc::new(server.expect("no TLS").with_counted_heads());
        let listener = door.bind().await.expect("a place to listen");
        let open = OnceLock::from(Arc::clone(&gate));
        server.serve(listener, ingress::stack(Arc::new(open)));
        Self {
            store,
            gate,
            intake,
            forwarding,
        }
    }

    /// Stops in order; whether all attempts were finished, and the store did not fail.
    pub(crate) async fn stop(self) -> bool {
        let patience = PATIENCE * 2;
        self.intake.stop(patience).await;
        self.gate.close();
        let finished = self.forwarding.stop(patience).await;
        let closed = self.store.close().await;
        finished && closed.is_ok()
    }
}

fn ingress() -> ingress::Config {
    let sources = SOURCES.iter().map(|source| SourceConfig {
        name: source.name.clone(),
        path: source.path.clone(),
        body_bytes_max: source.body_bytes_max,
        ack: source.ack,
        rate: source.rate,
        secret_labels: source.secret_labels.clone(),
        verifier: Arc::clone(&source.verifier),
        about: source.about.clone(),
    });
    ingress::Config {
        ack_deadline: Duration::from_millis(2_500),
        waiting_max: 512,
        body_deadlines: ingress::BodyDeadlines::default(),
        bodies_in_flight_max: 1 << 20,
        rejections_per_peer: None,
        trusted_proxies: Vec::new(),
        sources: sources.collect(),
        catalogue: Catalogue::default(),
    }
}

fn forward(schedule: &Schedule, app: Address) -> forward::Config {
    forward::Config {
        app,
        timeout: PATIENCE,
        concurrency: schedule.workers,
        retry: RetryPolicy {
            first: Duration::from_secs(1),
            max: RETRY_MAX,
            give_up_after: Duration::from_secs(24 * 3600),
        },
        dead_letter_on: vec![410],
        signing: None,
        app_paths: std::collections::HashMap::new(),
        answering: std::collections::HashSet::new(),
    }
}
