//! Gates in trouble, each of its own kind, and one that is well.

use std::time::Duration;

use hookgate::clock::{Clock, UnixMillis};
use hookgate::gateway::Gateway;
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::verify::Unsigned;
use rusqlite::Connection as Database;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::certificate;
use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes, tampered};

/// A gate in trouble.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// The alerts that it is made for.
    pub(super) fires: &'static [&'static str],
    /// Those that follow from the same trouble, or may.
    also: &'static [&'static str],
    /// Where its metrics are.
    pub(super) scraped_at: String,
    trouble: Trouble,
    /// The machine keeps temporary files in memory.
    is_volatile: bool,
    gate: Option<Gate>,
    /// Requests go on coming, since rates look at the last seconds only.
    senders: JoinSet<()>,
    locked: Option<Database>,
    app: Option<App>,
    setup: Setup,
    /// Gone when the scene is.
    _memory: Option<TempDir>,
}

/// What happens once the gate has been looked at.
enum Trouble {
    /// It has happened already, or comes with these requests.
    Requests(Box<dyn Fn(usize) -> Unsigned + Send>),
    /// The gate ends.
    End,
    /// Somebody else holds the database's lock while requests come.
    Lock,
    /// A source is held.
    Hold,
    /// The certificate's key is replaced by something else.
    BadKey,
    None,
}

impl Scene {
    async fn new(
        name: &'static str,
        fires: &'static [&'static str],
        also: &'static [&'static str],
        (setup, app): (Setup, Option<App>),
        trouble: Trouble,
    ) -> Self {
        let gate = setup.start().await;
        Self::of(name, fires, also, (setup, app), trouble, gate).await
    }

    async fn of(
        name: &'static str,
        fires: &'static [&'static str],
        also: &'static [&'static str],
        (setup, app): (Setup, Option<App>),
        trouble: Trouble,
        gate: Gate,
    ) -> Self {
        Self {
            name,
            fires,
            also,
            scraped_at: gate.admin.to_string(),
            trouble,
            is_volatile: gate.metric("hookgate_store_durable").await == Some(0.0),
            gate: Some(gate),
            senders: JoinSet::new(),
            locked: None,
            app,
            setup,
            _memory: None,
        }
    }

    /// Lets the trouble come.
    pub(super) async fn begin(&mut self) {
        let gate = self.gate.as_ref().expect("not begun");
        match std::mem::replace(&mut self.trouble, Trouble::None) {
            Trouble::Requests(request) => keep_posting(&mut self.senders, &gate.address, request),
            Trouble::End => self.gate.take().expect("not begun").stop().await,
            Trouble::Lock => {
                let database = self.setup.database();
                database.execute_batch("BEGIN IMMEDIATE").expect("the lock");
                self.locked = Some(database);
                keep_posting(&mut self.senders, &gate.address, genuine());
            }
            Trouble::Hold => {
                let held = gate.ask("POST", "/api/v1/sources/stripe/hold", &[]).await;
                assert_eq!(held.status, 200, "{held:?}");
            }
            Trouble::BadKey => {
                let key = self.setup.file("tls.key");
                std::fs::write(key, "no key at all").expect("the key's file");
            }
            Trouble::None => {}
        }
    }

    pub(super) fn may_fire(&self, alert: &str) -> bool {
        let of_machine = self.is_volatile && alert == "HookgateStoreVolatile";
        of_machine || self.fires.contains(&alert) || self.also.contains(&alert)
    }

    pub(super) async fn end(mut self) {
        self.senders.shutdown().await;
        drop(self.locked.take());
        if let Some(app) = &self.app {
            app.release();
        }
        if let Some(gate) = self.gate.take() {
            gate.stop().await;
        }
    }
}

/// A request every few milliseconds over a connection of its own, whatever becomes of it.
fn keep_posting(
    senders: &mut JoinSet<()>,
    gate: &Address,
    request: impl Fn(usize) -> Unsigned + Send + 'static,
) {
    let gate = gate.clone();
    senders.spawn(async move {
        let mut under_way = JoinSet::new();
        for n in 0.. {
            let (gate, request) = (gate.clone(), bytes(&request(n)));
            under_way.spawn(async move {
                if let Ok(stream) = gate.connect().await {
                    let mut connection = Connection::over(stream);
                    // Whether there is an answer is not what is asked here.
                    let _ = connection.try_write(&request).await;
                    let _ = connection.try_answer().await;
                }
            });
            while under_way.try_join_next().is_some() {}
            tokio::time::sleep(Duration::from_millis(50)).await; // a sender's own pace
        }
    });
}

/// New events.
fn genuine() -> impl Fn(usize) -> Unsigned + Send + 'static {
    let stripe = Sender::new("stripe");
    move |n| stripe.event(&format!("evt_{n}"))
}

fn requests(request: impl Fn(usize) -> Unsigned + Send + 'static) -> Trouble {
    Trouble::Requests(Box::new(request))
}

/// A gate without an app.
fn alone() -> (Setup, Option<App>) {
    let mut setup = Setup::new();
    setup.source(&Sender::new("stripe"));
    (setup, None)
}

async fn with_app(script: fn() -> Reply) -> (Setup, Option<App>) {
    let (setup, app) = Setup::scene(&[&Sender::new("stripe")]).await;
    app.script(move |_| script());
    (setup, Some(app))
}

/// All of them; those that the machine cannot have are left out.
pub(super) async fn all() -> Vec<Scene> {
    let mut scenes = vec![
        Scene::new(
            "healthy",
            &[],
            &[],
            with_app(Reply::ok).await,
            requests(genuine()),
        )
        .await,
        Scene::new(
            "ended",
            &["HookgateDown"],
            &[],
            with_app(Reply::ok).await,
            Trouble::End,
        )
        .await,
        Scene::new(
            "app away",
            &["HookgateAppDown"],
            &[],
            alone(),
            requests(genuine()),
        )
        .await,
        Scene::new(
            "held",
            &["HookgateSourceHeld"],
            &[],
            with_app(Reply::ok).await,
            Trouble::Hold,
        )
        .await,
        Scene::new(
            "app refuses for good",
            &["HookgateDeadLetters"],
            &[],
            with_app(|| Reply::status(410)).await,
            requests(genuine()),
        )
        .await,
        forged().await,
        without_room().await,
        nearly_full().await,
        locked().await,
        slow().await,
        late().await,
        damaged().await,
    ];
    scenes.extend(in_memory().await);
    scenes.extend(expiring().await);
    scenes
}

async fn forged() -> Scene {
    let (genuine, scene) = (genuine(), with_app(Reply::ok).await);
    let forged = requests(move |n| tampered(&genuine(n)));
    Scene::new(
        "forged",
        &["HookgateVerificationFailing"],
        &[],
        scene,
        forged,
    )
    .await
}

async fn without_room() -> Scene {
    let (mut setup, app) = with_app(Reply::ok).await;
    setup.set("store.low_space", "1000000GiB"); // more than any disk has
    let fires = &["HookgateNotReady", "HookgateRefusing"];
    Scene::new("disk full", fires, &[], (setup, app), requests(genuine())).await
}

async fn nearly_full() -> Scene {
    let (mut setup, app) = alone();
    setup.set("store.bytes_max", "16MiB");
    let stripe = Sender::new("stripe");
    let filling = "x".repeat(500_000);
    let large = move |n| {
        let body = format!(r#"{{"id":"evt_{n}","type":"large","filling":"{filling}"}}"#);
        stripe.signed("/webhooks/stripe", vec![], body.as_bytes(), "")
    };
    let also = &["HookgateAppDown", "HookgateNotReady", "HookgateRefusing"];
    Scene::new(
        "store nearly full",
        &["HookgateStoreNearlyFull"],
        also,
        (setup, app),
        requests(large),
    )
    .await
}

async fn locked() -> Scene {
    // Whoever waits for the lock longer than senders wait for the store gets 503, ready or not.
    let also = &["HookgateNotReady", "HookgateRefusing"];
    let scene = with_app(Reply::ok).await;
    Scene::new(
        "database locked",
        &["HookgateStoreFailing", "HookgateSlowAcknowledgement"],
        also,
        scene,
        Trouble::Lock,
    )
    .await
}

async fn slow() -> Scene {
    let (mut setup, app) = with_app(|| Reply::Held).await;
    setup.set("sources.stripe.ack", "handled");
    setup.set("sources.stripe.ack_timeout", "3s");
    setup.set("app.concurrency", "256");
    let fires = &["HookgateRefusing"];
    Scene::new("slow app", fires, &[], (setup, app), requests(genuine())).await
}

/// The event came a thousand seconds ago, by the clock that the gate goes by.
async fn late() -> Scene {
    let (mut setup, app) = alone();
    setup.set("sources.stripe.tolerance", "1h");
    let now = Clock::real().wall();
    let clock = Clock::manual(UnixMillis(now.0 - 1_000_000));
    let gateway = Gateway::start(setup.config(), clock, Metrics::new()).await;
    let gate = Gate::of(gateway.unwrap_or_else(|error| panic!("{error}")));
    let event = Sender::new("stripe").event("evt_late");
    gate.post(&event).await.acknowledged("stored");
    let fires = &["HookgateDeliveryDelayed"];
    Scene::of(
        "late",
        fires,
        &["HookgateAppDown"],
        (setup, app),
        Trouble::None,
        gate,
    )
    .await
}

/// A byte of a stored body is another when the next process starts.
async fn damaged() -> Scene {
    let (setup, app) = alone();
    let gate = setup.start().await;
    let event = Sender::new("stripe").event("evt_damaged");
    gate.post(&event).await.acknowledged("stored");
    gate.stop().await;
    let database = setup.database();
    database
        .execute_batch("UPDATE event SET body = x'00'")
        .expect("the event's row");
    drop(database);
    let also = &["HookgateDeadLetters", "HookgateAppDown"];
    Scene::new(
        "damaged",
        &["HookgateStoreDamaged"],
        also,
        (setup, app),
        Trouble::None,
    )
    .await
}

async fn in_memory() -> Option<Scene> {
    let memory = tempfile::tempdir_in("/dev/shm").ok()?;
    let (mut setup, app) = with_app(Reply::ok).await;
    setup.set(
        "store.path",
        &memory.path().join("store").display().to_string(),
    );
    let fires = &["HookgateStoreVolatile"];
    let scene = Scene::new("volatile", fires, &[], (setup, app), Trouble::None).await;
    Some(Scene {
        _memory: Some(memory),
        ..scene
    })
}

/// A certificate for two days only, and a renewal that cannot be used.
async fn expiring() -> Option<Scene> {
    let (mut setup, app) = with_app(Reply::ok).await;
    let (certificate, key) = certificate(&setup)?;
    setup.set("server.tls.certificate", &certificate.display().to_string());
    setup.set("server.tls.key", &key.display().to_string());
    let fires = &["HookgateCertificateExpiring", "HookgateTlsReloadFailed"];
    Some(Scene::new("certificate", fires, &[], (setup, app), Trouble::BadKey).await)
}
