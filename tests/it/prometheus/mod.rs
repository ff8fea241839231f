//! The alerts and the dashboard, against the metrics that a real gate has and on a real Prometheus.

mod document;
mod expressions;
mod panels;
mod provoked;
mod scenes;
mod server;

use std::path::{Path, PathBuf};

use hookgate::clock::Clock;
use hookgate::injector::{Config, Injector};
use hookgate::kubernetes::defaults::Defaults;
use hookgate::metrics::Metrics;
use hookgate::server::TlsFiles;
use serde_json::Value;

use crate::support::gate::Setup;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(Path::new(ROOT).join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A rule of config/prometheus/alerts.yaml.
struct Alert {
    name: String,
    expression: String,
}

/// The shipped alerts. Their file is written in a plain form, which this asserts, so that it needs no YAML.
fn alerts() -> Vec<Alert> {
    let file = read("config/prometheus/alerts.yaml");
    let rules = file.split("      - alert: ").skip(1);
    let rules: Vec<_> = rules
        .map(|rule| {
            let name = rule.lines().next().expect("a name").to_owned();
            let (_, rest) = rule.split_once("        expr: ").expect("an expression");
            let (first, more) = rest.split_once('\n').expect("lines");
            let expression = match first {
                "|" => {
                    let lines = more.lines();
                    let lines: Vec<_> = lines
                        .take_while(|line| line.starts_with("          "))
                        .collect();
                    lines.join("\n")
                }
                one => one.to_owned(),
            };
            assert!(!expression.trim().is_empty(), "{name}");
            Alert { name, expression }
        })
        .collect();
    assert_eq!(rules.len(), file.matches("alert:").count());
    rules
}

/// A panel of config/grafana/hookgate.json that shows something.
struct Panel {
    row: String,
    title: String,
    expressions: Vec<String>,
}

/// Row after row.
fn panels() -> Vec<Panel> {
    let dashboard = dashboard();
    let mut row = String::new();
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title").to_owned();
        if panel["type"] == "row" {
            row = title;
            continue;
        }
        let targets = panel["targets"].as_array().expect("targets").iter();
        let expressions = targets.map(|target| target["expr"].as_str().expect("text").to_owned());
        panels.push(Panel {
            row: row.clone(),
            title,
            expressions: expressions.collect(),
        });
    }
    panels
}

fn dashboard() -> Value {
    serde_json::from_str(&read("config/grafana/hookgate.json")).expect("JSON")
}

/// As Grafana would ask with "All" chosen everywhere.
fn substituted(expression: &str) -> String {
    let mut expression = expression.replace("$__rate_interval", "5s");
    for variable in ["namespace", "pod", "instance", "source"] {
        expression = expression.replace(&format!("${variable}"), ".*");
    }
    assert!(!expression.contains('$'), "{expression}");
    expression
}

/// What an injector with this certificate says of itself.
async fn injector(certificate: &Path, key: &Path) -> String {
    let any = || "127.0.0.1:0".parse().expect("an address");
    let config = Config {
        listen: any(),
        ops: any(),
        tls: TlsFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        defaults: Defaults::default(),
        minor: Some(33),
        access: None,
        certificate: None,
        events: false,
    };
    let metrics = Metrics::new();
    let injector = Injector::start(config, &metrics, Clock::real()).await;
    injector.expect("it starts").stop().await;
    metrics.text()
}

/// A certificate for two days and its key; `None` without openssl.
fn certificate(setup: &Setup) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (setup.file("tls.crt"), setup.file("tls.key"));
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    command.args([
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-subj",
        "/CN=localhost",
    ]);
    command
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    match command.output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            Some((certificate, key))
        }
        Err(error) => {
            eprintln!("skipped: no openssl to make a certificate with ({error})");
            None
        }
    }
}
