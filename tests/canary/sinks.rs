//! Everything that leaves the program, by where it goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cast::Cast;
use crate::forms::Canary;
use crate::program::Home;
use crate::provoke::{Provocations, repeats_its_secret};
use crate::support::app::Delivery;
use crate::support::http::{Answer, Connection};
use crate::support::sender::{bytes, tampered};

/// What was said, by sink.
#[derive(Default)]
pub(crate) struct Sinks {
    said: BTreeMap<String, Vec<u8>>,
}

impl Sinks {
    pub(crate) fn keep(&mut self, sink: &str, bytes: &[u8]) {
        let said = self.said.entry(sink.to_owned()).or_default();
        said.extend(bytes);
        said.push(b'\n');
    }

    fn keep_answer(&mut self, sink: &str, answer: &Answer) {
        self.keep(sink, format!("{:?}", answer.headers).as_bytes());
        self.keep(sink, &answer.body);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let said = self.said.iter();
        said.map(|(sink, bytes)| (sink.as_str(), bytes.as_slice()))
    }

    pub(crate) async fn ask_the_gate(&mut self, home: &Home, provocations: &Provocations) {
        let mut statuses = BTreeMap::new();
        for provocation in &provocations.requests {
            let mut connection = Connection::open(&home.gate()).await;
            connection.write(&provocation.bytes).await;
            if provocation.what.ends_with("over HTTP/2") {
                self.keep("answers over HTTP/2", &connection.until_closed().await);
                continue;
            }
            let answer = connection.answer().await;
            let by_right = [
                "a handshake with its secret",
                "a handshake with the same secret",
            ];
            let sink = match by_right.contains(&&*provocation.what) {
                true => "the answer that repeats a captured secret",
                false => "answers to senders",
            };
            *statuses.entry(answer.status).or_insert(0) += 1;
            self.keep_answer(sink, &answer);
        }
        for expected in [200, 400, 401, 404, 405, 413, 429, 503] {
            assert!(
                statuses.contains_key(&expected),
                "no {expected}: {statuses:?}"
            );
        }
        for reason in [
            "no_header",
            "malformed",
            "stale",
            "future",
            "mismatch",
            "expired",
            "address",
        ] {
            let text = home.get("/metrics").await;
            let lines = text.text().lines();
            let series = format!("reason=\"{reason}\"");
            let counted = lines.filter(|line| {
                line.starts_with("hookgate_rejections_total") && line.contains(&series)
            });
            assert!(
                counted.into_iter().any(|line| !line.ends_with(" 0")),
                "nothing was refused as {reason}"
            );
        }
    }

    pub(crate) async fn ask_the_admin(&mut self, home: &Home, cast: &Cast) {
        let token = Some(&*cast.admin_token);
        for path in ["/livez", "/readyz", "/metrics"] {
            self.keep_answer(path, &ask_admin(home, None, "GET", path).await);
        }
        let list = ask_admin(home, token, "GET", "/api/v1/events?limit=500").await;
        self.keep_answer("/api/v1/events", &list);
        let rejections = ask_admin(home, token, "GET", "/api/v1/rejections?limit=500").await;
        self.keep_answer("/api/v1/rejections", &rejections);
        for path in ["status", "sources", "history", "openapi.json"] {
            let path = format!("/api/v1/{path}");
            let answer = ask_admin(home, token, "GET", &path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            self.keep_answer(&path, &answer);
        }
        let list = list.json();
        let ids = list["events"].as_array().expect("a list").iter();
        let ids: Vec<_> = ids
            .map(|event| event["id"].as_str().expect("an id"))
            .collect();
        assert!(ids.len() >= 12, "{}", ids.len());
        for id in ids {
            for (method, below) in [("GET", ""), ("GET", "/body"), ("POST", "/replay")] {
                let path = format!("/api/v1/events/{id}{below}");
                let answer = ask_admin(home, token, method, &path).await;
                self.keep_answer(&format!("/api/v1/events/ID{below}"), &answer);
            }
        }
        let wrong = format!("{}x", &cast.admin_token[1..]);
        for (method, path) in [
            ("GET", "/api/v1/events"),
            ("GET", "/api/v1/events/nonsense"),
            ("GET", "/api/v1/events?secret=1"),
            ("PUT", "/api/v1/rejections"),
            ("DELETE", "/api/v1/sources/github/captured-secret"),
            ("GET", "/nowhere"),
        ] {
            for token in [None, Some(&*wrong), token] {
                let answer = ask_admin(home, token, method, path).await;
                self.keep_answer("errors of the API", &answer);
            }
        }
    }

    /// The commands of somebody who looks after the gate.
    pub(crate) async fn ask_the_commands(&mut self, home: &Home, cast: &Cast) {
        let home_of = |arguments: &[&str]| {
            let mut command = home.command::<&str>(&[]);
            command.args(arguments);
            command.env("HOOKGATE_ADMIN", home.admin().to_string());
            command.env("HOOKGATE_ADMIN_TOKEN_FILE", "./token");
            command
        };
        for arguments in [
            &["check"][..],
            &["check", "--probe"],
            &["config", "show"],
            &["events", "list", "--json"],
            &["events", "list"],
            &["rejections", "--limit", "500"],
            &["rejections", "--json", "--limit", "500"],
            &["sources", "captured-secret", "asana"],
            &["send", "--help"],
            &["verify", "--help"],
        ] {
            self.run(
                &format!("hookgate {}", arguments.join(" ")),
                home_of(arguments),
            );
        }
        let list = ask_admin(
            home,
            Some(&cast.admin_token),
            "GET",
            "/api/v1/events?limit=500",
        )
        .await;
        for event in list.json()["events"].as_array().into_iter().flatten() {
            let id = event["id"].as_str().expect("an id");
            self.run("hookgate events show", home_of(&["events", "show", id]));
        }
        self.verify_and_send(home, cast, home_of);
        self.run(
            "hookgate sources forget-secret",
            home_of(&["sources", "forget-secret", "asana"]),
        );
    }

    /// What people try out with a request of each sender.
    fn verify_and_send(&mut self, home: &Home, cast: &Cast, home_of: impl Fn(&[&str]) -> Command) {
        let to = taking_webhooks(&home.log());
        for sender in &cast.senders {
            let event = sender.event("evt_canary_9");
            let mut bare = event.clone();
            bare.headers.clear();
            for request in [&event, &tampered(&event), &bare] {
                let file = home.path().join("request");
                std::fs::write(&file, bytes(request)).expect("a file");
                self.run(
                    "hookgate verify --source",
                    home_of(&["verify", "--source", &sender.source, "--request", "request"]),
                );
                if !repeats_its_secret(sender) {
                    let mut command = home_of(&[
                        "verify",
                        "--provider",
                        &sender.provider.id,
                        "--request",
                        "request",
                    ]);
                    command.env("HOOKGATE_VERIFY_SECRET", sender.secret());
                    self.run("hookgate verify --provider", command);
                }
            }
            for more in [&[][..], &["--tamper"], &["--stale"]] {
                let url = format!("http://{to}{}", sender.path());
                let mut command =
                    home_of(&["send", "--provider", &sender.provider.id, "--to", &url]);
                command
                    .args(more)
                    .env("HOOKGATE_SEND_SECRET", sender.secret());
                self.run("hookgate send", command);
            }
        }
    }

    /// Runs a command to its end, and keeps what it prints.
    fn run(&mut self, sink: &str, mut command: Command) {
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        self.keep(sink, &[&output.stdout[..], &output.stderr].concat());
    }

    /// Starts that fail, each with a secret where it does no good.
    pub(crate) fn start_badly(&mut self, home: &Home, cast: &Cast) {
        let secret = String::from_utf8(cast.canaries[0].bytes.clone()).expect("text");
        let file = home.path().join("bad.toml");
        std::fs::write(home.path().join("bad"), format!("whsec_{secret}!")).expect("a file");
        let source = "[sources.s]\nprovider = \"svix\"\n";
        for text in [
            format!("{source}secret = \"whsec_{secret}!\""),
            format!("{source}secret_file = \"./bad\""),
            format!("{source}secret_file = \"{secret}\""),
            format!("{source}secert = \"{secret}\""),
            format!("{source}secret = [\"{secret}\"]"),
            format!("{source}secrets = \"{secret}\""),
            format!(
                "{source}secrets = [\"{secret}\", {{ value = \"{secret}\", not_after = \"{secret}\" }}]"
            ),
            format!("{source}secret = \"{secret}\n"),
            format!("{source}{secret}"),
            format!(
                "{source}secret = \"whsec_AAAA\"\ntolerance = \"{secret}\"\nmode = \"enforce\""
            ),
            format!(
                "[sources.s]\nprovider = \"plaid\"\nvalues = {{ client_secret = [\"{secret}\"] }}"
            ),
            format!(
                "[sources.a]\nprovider = \"github\"\nsecret = \"{secret}\"\n[sources.b]\nprovider = \"stripe\"\nsecret = \"{secret}\""
            ),
            format!("[admin]\ntoken = \"{secret}\""),
            format!("[admin]\ntoken_file = \"{secret}\""),
            format!("[app]\nsign_secret = \"{secret}\""),
            format!("[app]\nurl = \"http://user:{secret}@127.0.0.1:1\""),
            format!("app = \"{secret}\""),
            format!(
                "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = {{ is = \"{secret}\" }}"
            ),
        ] {
            std::fs::write(&file, &text).expect("a file");
            for arguments in [&["run"][..], &["check"], &["config", "show"]] {
                let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
                command
                    .args(arguments)
                    .args(["--config", "bad.toml"])
                    .current_dir(home.path())
                    .env_clear();
                let sink = format!("hookgate {} with faults", arguments.join(" "));
                let output = command
                    .stdin(Stdio::null())
                    .output()
                    .expect("the program runs");
                if arguments != ["config", "show"] {
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(output.status.code(), Some(2), "{text}: {said}");
                }
                self.keep(&sink, &[&output.stdout[..], &output.stderr].concat());
            }
        }
    }

    /// What the app got, and the signatures that were made for it and for nobody else.
    pub(crate) fn keep_the_app(&mut self, deliveries: &[Arc<Delivery>]) -> Vec<Canary> {
        const SINK: &str = "what the app gets";
        let mut signatures = Vec::new();
        for delivery in deliveries {
            self.keep(SINK, &[&delivery.head[..], &delivery.body].concat());
            let signature = delivery.header("webhook-signature").expect("a signature");
            let bytes = STANDARD.decode(signature.trim_start_matches("v1,"));
            signatures.push(Canary {
                name: format!("the signature for the app of {}", delivery.event_id()),
                bytes: bytes.expect("base64"),
                by_right: &[SINK],
            });
        }
        assert!(signatures.len() >= 12, "{}", signatures.len());
        signatures
    }

    /// Every file of the store but the captured secret's own.
    pub(crate) fn keep_the_store(&mut self, home: &Home, sink: &str) {
        let store = home.path().join("store");
        self.keep_files(&store, sink);
    }

    fn keep_files(&mut self, directory: &Path, sink: &str) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                self.keep(sink, &std::fs::read(&path).expect("a file"));
            } else if path.is_dir() && !path.ends_with("captured") {
                self.keep_files(&path, sink);
            }
        }
    }
}

/// The address that the log names for senders.
fn taking_webhooks(log: &str) -> String {
    let line = log
        .lines()
        .find(|line| line.contains("taking webhooks") && line.contains("127.0.0.1"));
    let line = line.expect("a TCP address");
    let at = line.find("127.0.0.1:").expect("an address");
    let end = line[at..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    line[at..at + end.unwrap_or(line.len() - at)].to_owned()
}

pub(crate) async fn ask_admin(
    home: &Home,
    token: Option<&str>,
    method: &str,
    path: &str,
) -> Answer {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 0\r\n\r\n");
    let mut connection = Connection::open(&home.admin()).await;
    connection.ask(request.as_bytes()).await
}
