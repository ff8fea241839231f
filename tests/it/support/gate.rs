//! A gate in this process, on free ports, with its store in a directory of its own.

use std::path::PathBuf;

use hookgate::clock::Clock;
use hookgate::config::{Config, Inputs};
use hookgate::gateway::Gateway;
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::verify::Unsigned;
use rusqlite::Connection as Database;
use serde_json::Value;
use tempfile::TempDir;

use super::app::App;
use super::eventually;
use super::http::{Answer, Connection};
use super::sender::{PUBLIC_URL, Sender, bytes};

/// How to start a gate; it can be started again and again over the same store.
pub(crate) struct Setup {
    pub(crate) directory: TempDir,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A gate without sources, in front of an app on a Unix socket.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut setup = Self {
            directory,
            settings: Vec::new(),
            environment: Vec::new(),
        };
        let (app, store) = (setup.app_address().to_string(), setup.store());
        setup.set("server.listen", "127.0.0.1:0");
        setup.set("server.public_url", PUBLIC_URL);
        setup.set("admin.listen", "127.0.0.1:0");
        setup.set("app.url", &app);
        setup.set("app.retry.first", "1ms");
        setup.set("store.path", &store.display().to_string());
        // Temporary directories may be kept in memory.
        setup.set("store.allow_volatile", "true");
        setup
    }

    /// The usual scene: an app, and a gate with a source for each of these senders.
    pub(crate) async fn scene(senders: &[&Sender]) -> (Self, App) {
        let mut setup = Self::new();
        for sender in senders {
            setup.source(sender);
        }
        let app = App::start(&setup.app_address()).await;
        (setup, app)
    }

    /// A setting in place of its default or of what it was before.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// A variable of the environment.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn source(&mut self, sender: &Sender) {
        self.settings.extend(sender.settings());
    }

    pub(crate) fn app_address(&self) -> Address {
        Address::Unix(self.file("app.sock"))
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.file("store")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> Config {
        let environment = self.environment.iter();
        let environment = environment.map(|(name, value)| (name.clone(), value.as_str().into()));
        let inputs = Inputs {
            environment: environment.collect(),
            flags: self.settings.clone(),
            ..Inputs::default()
        };
        Config::load(&inputs).unwrap_or_else(|faults| panic!("{faults}"))
    }

    pub(crate) async fn start(&self) -> Gate {
        Gate::start(self.config()).await
    }

    /// A second opinion on the store's file, and a way to hold up its writer.
    pub(crate) fn database(&self) -> Database {
        let database = Database::open(self.store().join("hookgate.db")).expect("the store's file");
        // The writer may be about to finish something.
        database.busy_timeout(super::PATIENCE).expect("a timeout");
        database
    }
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) gateway: Gateway,
    pub(crate) address: Address,
    pub(crate) admin: Address,
}

impl Gate {
    pub(crate) async fn start(config: Config) -> Self {
        let gateway = Gateway::start(config, Clock::real(), Metrics::new()).await;
        Self::of(gateway.unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) fn of(gateway: Gateway) -> Self {
        Self {
            address: gateway.listening()[0].clone(),
            admin: gateway.admin_listening()[0].clone(),
            gateway,
        }
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn post(&self, request: &Unsigned) -> Answer {
        let mut connection = Connection::open(&self.address).await;
        connection.ask(&bytes(request)).await
    }

    /// Asks the admin listener, with extra headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text += "host: localhost\r\n";
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "content-length: 0\r\n\r\n";
        Connection::open(&self.admin)
            .await
            .ask(text.as_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// An event as the API shows it.
    pub(crate) async fn event(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/events/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// All events as the API lists them, newest first.
    pub(crate) async fn events(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let list = answer.json()["events"].as_array().cloned();
        list.expect("a list")
    }

    /// Waits until an event is in this state; the event then.
    pub(crate) async fn settled(&self, id: &str, state: &str) -> Value {
        let mut event = Value::Null;
        eventually(&format!("{id} being {state}"), async || {
            event = self.event(id).await;
            event["state"] == state
        })
        .await;
        event
    }

    /// The value of one series, such as `hookgate_events{source="x",state="dead"}`.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").await;
        let mut lines = text.text().lines();
        lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Waits until a series has this value.
    pub(crate) async fn counted(&self, series: &str, value: f64) {
        eventually(&format!("{series} = {value}"), async || {
            self.metric(series).await == Some(value)
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.gateway.stop().await.expect("an orderly end");
    }
}
