//! The page in a real browser, on a real gate with real signed events.
//!
//! `page.mjs` drives Chromium and prints one line a check; what it wants done on the sender's side
//! while it looks, it asks for over its standard output. `payloads.rs` is what hostile senders write.
//!
//! Needs `HOOKGATE_TEST_NODE`, `HOOKGATE_TEST_PAGE_PACKAGES` with the packages of `package.json`, and
//! Chromium (`HOOKGATE_TEST_CHROMIUM`); `scripts/test` sees to that, or says what was skipped.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod payloads;
mod scene;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use scene::Scene;
use serde_json::Value;
use support::setting;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/page.mjs");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_and_does_in_a_browser_what_it_should() {
    let Some(mut browser) = Browser::command("page") else {
        return;
    };
    let scene = Scene::usual().await;
    let passed = browser.run(&scene).await;
    assert!(passed >= 30, "{passed} checks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_sender_or_the_app_writes_runs_in_the_page() {
    let Some(mut browser) = Browser::command("injection") else {
        return;
    };
    let scene = Scene::hostile().await;
    assert!(payloads::all().len() >= 80);
    let passed = browser.run(&scene).await;
    assert!(passed >= 6, "{passed} checks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_with_a_token() {
    let Some(mut browser) = Browser::command("log-in") else {
        return;
    };
    let scene = Scene::locked().await;
    let passed = browser.run(&scene).await;
    assert_eq!(passed, 2, "checks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_accessible_by_the_rules_of_wcag() {
    let Some(mut browser) = Browser::command("wcag") else {
        return;
    };
    let scene = Scene::usual().await;
    let passed = browser.run(&scene).await;
    assert_eq!(passed, 4, "checks");
}

/// The script that drives the browser.
struct Browser(Command);

impl Browser {
    /// It with this set of checks, or nothing where something is missing.
    fn command(checks: &str) -> Option<Self> {
        let [node, packages, chromium] = [
            "HOOKGATE_TEST_NODE",
            "HOOKGATE_TEST_PAGE_PACKAGES",
            "HOOKGATE_TEST_CHROMIUM",
        ]
        .map(setting);
        let (node, packages, chromium) = (node?, packages?, chromium?);
        let mut command = Command::new(node);
        command.arg(SCRIPT).arg(checks).arg(packages).arg(chromium);
        Some(Self(command))
    }

    /// Does what the script asks for until it ends; how many checks passed, if all did.
    async fn run(&mut self, scene: &Scene) -> usize {
        let mut script = Running::start(&mut self.0, &scene.description());
        let (mut passed, mut failed) = (0, Vec::new());
        while let Some(line) = script.line() {
            match line.split_once(' ') {
                Some(("ask", what)) => script.answer(&scene.act(what).await),
                Some(("ok", name)) => {
                    eprintln!("ok {name}");
                    passed += 1;
                }
                Some(("failed", why)) => failed.push(why.to_owned()),
                _ => eprintln!("{line}"),
            }
        }
        let ended = script.0.wait().expect("an end");
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert!(ended.success(), "the script: {ended}");
        passed
    }
}

struct Running(Child, BufReader<std::process::ChildStdout>);

impl Running {
    /// Its first line of input is the scene.
    fn start(command: &mut Command, scene: &Value) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node runs");
        let output = child.stdout.take().expect("a pipe");
        let mut running = Self(child, BufReader::new(output));
        running.answer(scene);
        running
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.1.read_line(&mut line).expect("text");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    fn answer(&mut self, value: &Value) {
        let mut input = self.0.stdin.as_ref().expect("a pipe");
        writeln!(input, "{value}").expect("the script reads");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a test that failed; otherwise it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
