//! The API is what its description says: schemathesis makes requests of the description, valid ones
//! and others, and compares the answers with it.
//!
//! Needs `HOOKGATE_TEST_PYTHON` with the packages of `tests/interop/requirements.txt`; `scripts/test`
//! sees to that, or says what was skipped.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::app::{App, every_state};
use crate::support::gate::{Gate, Setup};
use crate::support::sender::{Sender, tampered};
use crate::support::setting;

const TOKEN: &str = "an-admin-token-of-32-bytes-or-so";
const RULES: &str = include_str!("schemathesis.toml");

/// A gate made for this, since what the description offers is done to it.
struct Scene {
    setup: Setup,
    gate: Gate,
    /// Events in every state.
    events: Vec<String>,
    _app: App,
}

impl Scene {
    async fn new(token: Option<&str>) -> Self {
        let (stripe, github) = (Sender::new("stripe"), Sender::new("github"));
        let (mut setup, app) = Setup::scene(&[&stripe, &github]).await;
        setup.set("sources.asana.provider", "asana");
        setup.set("sources.asana.capture", "true");
        if let Some(token) = token {
            let file = setup.file("token");
            std::fs::write(&file, token).unwrap();
            setup.set("admin.token_file", &file.display().to_string());
        }
        app.script(every_state);
        let gate = setup.start().await;
        let mut events = Vec::new();
        for (sender, id) in [
            (&stripe, "evt_delivered"),
            (&stripe, "evt_dead"),
            (&stripe, "evt_pending"),
            (&github, "delivery-1"),
        ] {
            events.push(gate.post(&sender.event(id)).await.acknowledged("stored"));
        }
        let forged = gate.post(&tampered(&stripe.event("evt_forged"))).await;
        assert_eq!(forged.status, 401);
        for (source, state) in [
            ("stripe", "delivered"),
            ("stripe", "dead"),
            ("stripe", "pending"),
            ("github", "delivered"),
        ] {
            let series = format!("hookgate_events{{source=\"{source}\",state=\"{state}\"}}");
            gate.counted(&series, 1.0).await;
        }
        Self {
            setup,
            gate,
            events,
            _app: app,
        }
    }

    /// The description, as this gate serves it.
    async fn description(&self, token: Option<&str>) -> Value {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = token
            .iter()
            .map(|token| ("authorization", &**token))
            .collect();
        let answer = self.gate.ask("GET", "/api/v1/openapi.json", &headers).await;
        answer.json()
    }

    /// What schemathesis reports, if it finds nothing.
    fn examine(&self, schemathesis: &Path, description: &Value, token: Option<&str>) -> Value {
        let [rules, described, report] =
            ["rules.toml", "openapi.json", "report.json"].map(|name| self.setup.file(name));
        let mut text = format!(
            "{RULES}\n[dictionaries.events]\nvalues = {:?}\n",
            self.events
        );
        if let Some(token) = token {
            text += &format!("[auth.openapi.token]\nbearer = {token:?}\n");
        }
        std::fs::write(&rules, text).unwrap();
        // From a file: where it fetched the description itself it would leave out that operation.
        std::fs::write(&described, description.to_string()).unwrap();
        let mut command = Command::new(schemathesis);
        command.current_dir(self.setup.directory.path());
        command.arg("--config-file").arg(&rules);
        command.arg("run").arg(&described);
        command.arg(format!("--url=http://{}", self.gate.admin));
        command.arg("--report-json-path").arg(&report);
        let output = command.arg("--no-color").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap()
    }
}

/// Those of the description.
fn operations(description: &Value) -> Vec<&Value> {
    let paths = description["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    operations.collect()
}

/// Every operation is tried in dozens of ways.
async fn holds(token: Option<&str>) {
    let Some(python) = setting("HOOKGATE_TEST_PYTHON") else {
        return;
    };
    let scene = Scene::new(token).await;
    let description = scene.description(token).await;
    let report = scene.examine(&python.with_file_name("schemathesis"), &description, token);
    let described = operations(&description).len();
    let requests = report["test_cases"]["generated"].as_u64().unwrap();
    eprintln!("{described} operations, {requests} requests");
    assert_eq!(report["operations"]["tested"], described, "{report:#}");
    assert!(requests > 500, "{requests}");
    scene.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_does_what_its_description_says() {
    holds(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_asks_for_the_token_where_its_description_says_so() {
    holds(Some(TOKEN)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_has_a_name_of_its_own_and_words_for_every_answer() {
    let scene = Scene::new(None).await;
    let description = scene.description(None).await;
    let mut names = BTreeSet::new();
    for operation in operations(&description) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            assert!(answer["description"].is_string(), "{name}: {status}");
        }
    }
    assert!(names.len() >= 19, "{names:?}");
    scene.gate.stop().await;
}
