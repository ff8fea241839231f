//! Official signing libraries against the real program: what they send is accepted, and verifies
//! again with the same library at the app.
//!
//! Needs `HOOKGATE_TEST_PYTHON` with the packages of `scripts/test-requirements.txt`;
//! `scripts/test` sees to that, or says that this was skipped.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

#[expect(dead_code, reason = "shared with the crash tests")]
mod program;
#[path = "it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use program::Home;
use support::app::{App, Delivery};
use support::eventually;
use support::sender::Sender;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop.py");

/// The interpreter with the libraries; without it the test is skipped.
fn python() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let found = std::env::var("HOOKGATE_TEST_PYTHON")
        .ok()
        .map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: HOOKGATE_TEST_PYTHON is not set");
    }
    found
}

/// Runs the script; what it printed.
fn run(python: &PathBuf, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(python)
        .arg(SCRIPT)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The port that the system chose, from the program's log.
async fn url(home: &Home) -> String {
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

/// What the app got, for the library.
fn as_json(delivery: &Delivery) -> Vec<u8> {
    let headers = delivery.headers().into_iter();
    let headers: serde_json::Map<_, _> = headers
        .map(|(name, value)| (name, Value::from(String::from_utf8_lossy(&value))))
        .collect();
    let body = STANDARD.encode(&delivery.body);
    json!({ "headers": headers, "body": body })
        .to_string()
        .into_bytes()
}

async fn a_library_signs_and_verifies(library: &str, provider: &str) {
    let Some(python) = python() else {
        return;
    };
    let sender = Sender::new(provider);
    let mut home = Home::new(&sender);
    home.set("server.listen", "127.0.0.1:0");
    home.set("log.level", "info");
    home.set("log.format", "json");
    let app = App::start(&home.app()).await;
    let _program = home.start();
    home.ready().await;
    let to = format!("http://{}{}", url(&home).await, sender.path());
    // Non-ASCII text, escapes and odd spacing: nothing may be written anew on the way.
    let body = "{ \"type\":\"a\\u00fcb\" ,\n \"text\" : \"Grüße, 世界 \\/ \", \"n\": 1.0e2 }";

    let mut post = vec!["send", library, sender.secret(), "msg_1", &to];
    let accepted = run(&python, &post, body.as_bytes());
    let repeated = run(&python, &post, body.as_bytes());
    post.push("tamper");
    let refused = run(&python, &post, body.as_bytes());

    assert!(accepted.starts_with("200 stored evt_"), "{accepted}");
    assert_eq!(repeated, accepted.replace("stored", "duplicate"));
    assert_eq!(refused, "401 None None");
    let delivery = app.delivery(0).await;
    assert!(accepted.ends_with(&delivery.event_id()));
    assert_eq!(delivery.body, body.as_bytes());
    let verify = ["verify", library, sender.secret()];
    assert_eq!(run(&python, &verify, &as_json(&delivery)), "verified");
    drop(home);
    assert_eq!(app.stop().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_svix_library_sends_and_receives_through_the_gate() {
    a_library_signs_and_verifies("svix", "svix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_webhooks_library_sends_and_receives_through_the_gate() {
    a_library_signs_and_verifies("standardwebhooks", "standard-webhooks").await;
}
