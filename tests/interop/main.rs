//! Signing libraries that others wrote against the real program, in both directions:
//!
//! - what a library signs is accepted, arrives at the app byte for byte and verifies there again
//!   with the same library; with one bit changed it is refused;
//! - what `hookgate send` signs verifies with the library, and with one bit changed it does not;
//! - handshakes that a library signs get the answer that it wants.
//!
//! `peer.py` and `peer.mjs` are tables of what there is; a library takes part in what it can do. One
//! line about each is printed.
//!
//! Needs `HOOKGATE_TEST_PYTHON` with the packages of `requirements.txt`, and `HOOKGATE_TEST_NODE`
//! with those of `package.json` below `HOOKGATE_TEST_NODE_PACKAGES`; `scripts/test` sees to that, or
//! says what was skipped.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod peer;
#[path = "../program/mod.rs"]
#[expect(dead_code, reason = "shared with the crash tests")]
mod program;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use peer::{Peer, Request, Row};
use program::{Home, Program};
use support::app::{App, Delivery};
use support::http::{Answer, Connection};
use support::{eventually, setting, within};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
/// How the senders know the gate.
const PUBLIC_URL: &str = "https://hooks.example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libraries_for_python_and_the_gate_take_each_others_signatures() {
    let Some(python) = setting("HOOKGATE_TEST_PYTHON") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(format!("{HERE}/peer.py"));
    every_row_of(command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libraries_for_node_and_the_gate_take_each_others_signatures() {
    let (Some(node), Some(packages)) = (
        setting("HOOKGATE_TEST_NODE"),
        setting("HOOKGATE_TEST_NODE_PACKAGES"),
    ) else {
        return;
    };
    let mut command = Command::new(node);
    command.current_dir(packages);
    command.args(["--input-type=module", "--eval", include_str!("peer.mjs")]);
    command.arg(KEYS);
    every_row_of(command).await;
}

async fn every_row_of(command: Command) {
    let (mut peer, rows) = Peer::start(command);
    assert!(!rows.is_empty());
    let gate = Gate::start(&rows).await;
    let mut refused = Vec::new();
    for row in &rows {
        let head = format!("{} as {}", row.package, row.name);
        match gate.row(&mut peer, row).await {
            Ok(done) => eprintln!("{head}: {}", done.join(", ")),
            Err(why) => refused.push(format!("{head}: {why}")),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// The program between the peer and an app, with a source for every row.
struct Gate {
    app: App,
    address: String,
    _program: Program,
    home: Home,
}

impl Gate {
    async fn start(rows: &[Row]) -> Self {
        let mut home = Home::empty();
        home.set("server.listen", "127.0.0.1:0");
        home.set("log.level", "info");
        home.set("log.format", "json");
        let sources = rows.iter().map(source).collect::<String>();
        let config = format!("server.public_url = {PUBLIC_URL:?}\n{sources}");
        std::fs::write(home.path().join("hookgate.toml"), config).expect("a file");
        let app = App::start(&home.app()).await;
        let program = home.start();
        home.ready().await;
        Self {
            app,
            address: address(&home).await,
            _program: program,
            home,
        }
    }

    /// All that the row's library can take part in; what that was.
    async fn row(&self, peer: &mut Peer, row: &Row) -> Result<Vec<&'static str>, String> {
        let mut done = Vec::new();
        if row.can("sign") {
            self.library_signs(peer, row).await?;
            done.push(if row.can("verify") {
                "what it signs is taken and verifies again at the app"
            } else {
                "what it signs is taken"
            });
        }
        if row.can("challenge") {
            self.library_challenges(peer, row).await?;
            done.push("its handshake is answered");
        }
        if row.can("verify") {
            self.library_verifies(peer, row).await?;
            done.push("verifies what hookgate signs");
        }
        if done.is_empty() {
            return Err("it does nothing".to_owned());
        }
        Ok(done)
    }

    async fn library_signs(&self, peer: &mut Peer, row: &Row) -> Result<(), String> {
        let (request, _) = peer.request("sign", row, &url(row));
        let stored = self.post(&request).await;
        let id = acknowledged(&stored, "stored")?;
        let repeated = acknowledged(&self.post(&request).await, "duplicate")?;
        let altered = self.post(&row.altered(&request)).await;
        let delivery = self.delivery(&id).await;
        expect("the id of the repeated event", &repeated, &id)?;
        expect("the answer to a changed bit", &altered.status, &401)?;
        expect("the body at the app", &delivery.body, &request.body)?;
        if row.can("verify") {
            verified(peer, row, &received(&delivery))?;
        }
        Ok(())
    }

    async fn library_challenges(&self, peer: &mut Peer, row: &Row) -> Result<(), String> {
        let (request, wanted) = peer.request("challenge", row, &url(row));
        let before = self.app.deliveries().len();
        let answer = self.post(&request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        expect("the answer to the handshake", &Some(text), &wanted)?;
        expect("success", &(answer.status / 100), &2)?;
        if request.method == "POST" {
            let altered = self.post(&row.altered(&request)).await;
            expect("the answer to a changed bit", &altered.status, &401)?;
        }
        expect("what the app got", &self.app.deliveries().len(), &before)
    }

    async fn library_verifies(&self, peer: &mut Peer, row: &Row) -> Result<(), String> {
        let id = self.send(row)?;
        let got = received(&*self.delivery(&id).await);
        verified(peer, row, &got).map_err(|why| format!("what hookgate signed: {why}"))
    }

    /// `hookgate send`; the event's id.
    fn send(&self, row: &Row) -> Result<String, String> {
        let to = format!("http://{}/webhooks/{}", self.address, row.name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command.args(["send", "--provider", &row.provider, "--to", &to]);
        command.args(["--public-url", PUBLIC_URL]);
        if let Some(variant) = &row.variant {
            command.args(["--variant", variant]);
        }
        for (name, value) in &row.values {
            command.args(["--value", &format!("{name}={value}")]);
        }
        if let Some(data) = &row.data {
            let file = self.home.path().join("data");
            std::fs::write(&file, data).expect("a file");
            command.arg("--data").arg(file);
        }
        command.env("HOOKGATE_SEND_SECRET", &row.signing);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let id = said
            .split_whitespace()
            .find(|word| word.starts_with("evt_"));
        match id {
            Some(id) if output.status.success() => Ok(id.to_owned()),
            _ => Err(format!("hookgate send: {output:?}")),
        }
    }

    async fn post(&self, request: &Request) -> Answer {
        let target = request.url.strip_prefix(PUBLIC_URL).expect("our address");
        let mut text = format!("{} {target} HTTP/1.1\r\n", request.method);
        text += "Host: hooks.example.com\r\n";
        for (name, value) in &request.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", request.body.len());
        let address = self.address.parse().expect("an address");
        let mut connection = Connection::open(&address).await;
        connection
            .ask(&[text.as_bytes(), &request.body].concat())
            .await
    }

    /// The event with this id, when it arrives.
    async fn delivery(&self, id: &str) -> Arc<Delivery> {
        let arrived = async {
            for count in 1.. {
                let deliveries = self.app.received(count).await;
                if let Some(found) = deliveries.iter().find(|one| one.event_id() == id) {
                    return Arc::clone(found);
                }
            }
            unreachable!("there is always a next one")
        };
        within("the delivery of the event", arrived).await
    }
}

/// The library takes the request, and notices a changed bit.
fn verified(peer: &mut Peer, row: &Row, request: &Request) -> Result<(), String> {
    peer.verify(row, request)
        .map_err(|why| format!("at the app: {why}"))?;
    match peer.verify(row, &row.altered(request)) {
        Ok(()) => Err("at the app: a changed bit is not noticed".to_owned()),
        Err(_) => Ok(()),
    }
}

/// The row's source, as in a configuration file.
fn source(row: &Row) -> String {
    let mut text = format!("[sources.{}]\n", row.name);
    // Text in JSON is text in TOML.
    let mut set = |key: &str, value: &str| text += &format!("{key} = {}\n", json!(value));
    set("provider", &row.provider);
    set("secret", &row.secret);
    if let Some(variant) = &row.variant {
        set("variant", variant);
    }
    for (name, value) in &row.values {
        set(&format!("values.{name}"), value);
    }
    text
}

/// Where the row's sender posts to.
fn url(row: &Row) -> String {
    format!("{PUBLIC_URL}/webhooks/{}", row.name)
}

/// The port that the system chose, from the program's log.
async fn address(home: &Home) -> String {
    let mut found = None;
    eventually("the address in the log", async || {
        let log = home.log();
        let line = log.lines().find(|line| line.contains("taking webhooks"));
        let line: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
        found = line.and_then(|line| Some(line["address"].as_str()?.to_owned()));
        found.is_some()
    })
    .await;
    found.expect("an address")
}

/// What an app sees, which knows its own address.
fn received(delivery: &Delivery) -> Request {
    let line = delivery.request_line();
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next(), words.next());
    let headers = delivery.headers().into_iter();
    let headers = headers.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    Request {
        method: method.expect("a method"),
        url: format!("{PUBLIC_URL}{}", target.expect("a target")),
        headers: headers.collect(),
        body: delivery.body.clone(),
    }
}

/// The event's id, if the answer says that it was acknowledged in this way.
fn acknowledged(answer: &Answer, how: &str) -> Result<String, String> {
    let success = (200..300).contains(&answer.status);
    if success && answer.header("hookgate-status") == Some(how) {
        return Ok(answer.event_id());
    }
    Err(format!("not {how}: {answer:?}"))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    match got == wanted {
        true => Ok(()),
        false => Err(format!("{what}: {got:?} instead of {wanted:?}")),
    }
}
