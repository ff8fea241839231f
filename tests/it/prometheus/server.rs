//! A real Prometheus in a directory of its own, that looks at gates twice a second.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::within;

const CONFIG: &str = "\
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 250ms}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: hookgate
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
";

/// A running Prometheus; killed when dropped.
pub(super) struct Server {
    child: Child,
    address: String,
    _directory: TempDir,
}

impl Server {
    /// Scrapes these gates, by name (the label `instance`), and evaluates these rules.
    pub(super) fn start(program: &Path, rules: &str, gates: &[(String, String)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let targets: Vec<_> = gates
            .iter()
            .map(|(name, address)| serde_json::json!({"targets": [address], "labels": {"instance": name}}))
            .collect();
        let targets = serde_json::json!(targets).to_string();
        for (file, text) in [
            ("prometheus.yaml", CONFIG),
            ("rules.yaml", rules),
            ("targets.json", &targets),
        ] {
            std::fs::write(directory.path().join(file), text).expect("a file");
        }
        let mut child = Command::new(program)
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Prometheus starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.split_once("msg=\"Listening on\" address=");
            let address = address.map(|(_, address)| address.trim().to_owned());
            said.push(line);
            address
        });
        let address = address.unwrap_or_else(|| panic!("it does not listen: {}", said.join("\n")));
        // Nobody may fill the pipe.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        // HTTP/1.0, so that the answer is its body and then nothing.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        assert_ne!(answer["status"], "error", "{path}: {answer}");
        Some(answer["data"].clone())
    }

    /// The samples of an expression now: labels and value.
    pub(super) async fn query(&self, expression: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let expression = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query?query={expression}");
        let Some(data) = within("an answer of Prometheus", self.get(&path)).await else {
            return Vec::new(); // it is still starting
        };
        let samples = data["result"].as_array().cloned().unwrap_or_default();
        let samples = samples.into_iter().map(|sample| {
            let labels = serde_json::from_value(sample["metric"].clone()).expect("labels");
            let value = sample["value"][1]
                .as_str()
                .and_then(|value| value.parse().ok());
            (labels, value.expect("a number"))
        });
        samples.collect()
    }

    /// The alerts that fire now: the name of the gate and theirs.
    pub(super) async fn firing(&self) -> Vec<(String, String)> {
        let Some(data) = within("an answer of Prometheus", self.get("/api/v1/alerts")).await else {
            return Vec::new();
        };
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts
            .into_iter()
            .filter(|alert| alert["state"] == "firing");
        let firing = firing.map(|alert| {
            let label = |name: &str| {
                alert["labels"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            (label("instance"), label("alertname"))
        });
        firing.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
