//! The Helm chart's values, their schema, and the files that it has from elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hookgate::kubernetes::policy::policy;
use hookgate::kubernetes::settings::{Given, SETTINGS};
use hookgate::kubernetes::{Tree, document};
use serde_json::{Value, json};

use crate::manifests::read;
use crate::rendering::{CASES, CHART, rendered};
use crate::{objects, tree};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the schema has against each of these.
fn judged(several: &[(String, Value)]) -> Option<BTreeMap<String, Vec<String>>> {
    let Some(python) = std::env::var_os("HOOKGATE_TEST_PYTHON") else {
        eprintln!("skipped: HOOKGATE_TEST_PYTHON is not set");
        return None;
    };
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/kubernetes/helm/values.py"
    );
    let mut child = Command::new(python)
        .args([script, &format!("{CHART}/values.schema.json")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let lines = several
        .iter()
        .map(|(name, values)| format!("{}\n", json!([name, values])));
    let mut stdin = child.stdin.take().expect("its input");
    stdin
        .write_all(lines.collect::<String>().as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn chart(file: &str) -> String {
    std::fs::read_to_string(Path::new(CHART).join(file)).expect("a file of the chart")
}

#[test]
fn the_schema_takes_what_is_meant_and_refuses_what_is_not() {
    let defaults = objects::value(&tree(&chart("values.yaml")));
    let mut several = vec![("values.yaml".to_owned(), defaults.clone())];
    for (case, _) in CASES {
        let Some(rendered) = rendered(case) else {
            break;
        };
        several.push((case.to_owned(), rendered.values));
    }
    let good = several.len();
    let bad = [
        ("/injector/mode", json!("both")),
        ("/injector/replicas", json!(0)),
        ("/injector/replicas", json!("2")),
        ("/injector/timeoutSeconds", json!(31)),
        ("/injector/defaults", json!({"listen_port": 8081})),
        ("/injector/defaults", json!({"config": "No Name"})),
        ("/injector/profiles", json!({"true": {}})),
        ("/injector/certificates/kind", json!("cert-manager")),
        (
            "/injector/certificates/caBundle",
            json!("-----BEGIN CERTIFICATE-----"),
        ),
        (
            "/injector/excludedNamespaces",
            json!(["kube-system", "kube-system"]),
        ),
        ("/injector/extraEnv", json!([{"value": "a"}])),
        ("/injector/networkPolicy/apiServers", json!(["10.0.0.10"])),
        ("/gateway/networkPolicy", json!({"apiServers": []})),
        ("/injector/resources", json!({"limit": {}})),
        ("/injector/unknown", json!(1)),
        ("/image/digest", json!("sha256:abc")),
        ("/image/pullPolicy", json!("Sometimes")),
        ("/gateway/appUrl", json!("app:80")),
        ("/gateway/appUrl", json!("https://app:443")),
        ("/gateway/appUrl", json!("http://app:80/hooks")),
        ("/fullnameOverride", json!("my.hooks")),
        ("/fullnameOverride", json!("1hooks")),
        ("/nameOverride", json!("my.hooks")),
        ("/image/repository", json!("hookgate\"+x")),
        ("/commonLabels", json!({"app.kubernetes.io/name": "a"})),
        ("/gateway/podLabels", json!({"hookgate.dev/injected": "a"})),
        ("/gateway/storage/accessMode", json!("ReadWriteMany")),
        ("/gateway/storage/bytesMax", json!("4Gi")),
        ("/gateway/service/port", json!(0)),
        ("/gateway/enabled", json!("yes")),
        ("/podMonitor/interval", json!("soon")),
        ("/podMonitor/labels", json!({"a": 1})),
        ("/unknown", json!({})),
    ];
    for (index, (pointer, value)) in bad.iter().enumerate() {
        let mut values = defaults.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        values.pointer_mut(parent).expect("a part")[key] = value.clone();
        several.push((format!("bad {index}: {pointer} {value}"), values));
    }
    let Some(faults) = judged(&several) else {
        return;
    };
    assert_eq!(faults.len(), good + bad.len());
    for (name, faults) in faults {
        assert_eq!(
            faults.is_empty(),
            !name.starts_with("bad "),
            "{name}: {faults:?}"
        );
    }
}

#[test]
fn every_value_is_explained_and_in_the_schema() {
    let schema: Value = serde_json::from_str(&chart("values.schema.json")).expect("JSON");
    let settings = schema["definitions"]["settings"]["properties"].as_object();
    let settings: Vec<_> = settings
        .expect("settings")
        .keys()
        .map(String::as_str)
        .collect();
    let mut wanted = SETTINGS.map(|setting| setting.name);
    wanted.sort_unstable();
    assert_eq!(settings, wanted);

    let defaults = objects::value(&tree(&chart("values.yaml")));
    let mut seen = 0;
    same_keys("", &defaults, &schema, &mut seen);
    assert!(seen > 80, "{seen}");

    let yaml = chart("values.yaml");
    let (mut explained, mut before) = (None, "");
    let mut unexplained = Vec::new();
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        let is_value = !line.is_empty() && !line.trim_start().starts_with('#');
        if is_value && explained.is_none_or(|above| indent <= above) {
            let is_explained = before.trim_start().starts_with("# -- ");
            explained = is_explained.then_some(indent);
            // A part is explained by what is in it.
            if !is_explained && !line.ends_with(':') {
                unexplained.push(line);
            }
        }
        before = line;
    }
    assert_eq!(unexplained, Vec::<&str>::new());
}

/// Each part has what the schema names, and nothing else.
fn same_keys(path: &str, values: &Value, schema: &Value, seen: &mut usize) {
    let Some(known) = schema["properties"].as_object() else {
        return;
    };
    let mut known: Vec<_> = known.keys().filter(|key| *key != "global").collect();
    known.sort_unstable();
    let Some(values) = values.as_object() else {
        panic!("{path} is no map");
    };
    // References are to open maps, whose defaults may be empty.
    if path.ends_with("issuerRef") {
        return;
    }
    let mut there: Vec<_> = values.keys().collect();
    there.sort_unstable();
    assert_eq!(there, known, "{path}");
    for (key, value) in values {
        *seen += 1;
        same_keys(
            &format!("{path}/{key}"),
            value,
            &schema["properties"][key],
            seen,
        );
    }
}

#[test]
fn the_files_of_the_chart_are_those_of_the_repository() {
    let settings = [
        ("config", "config-of-the-chart"),
        ("secrets", "secrets-of-the-chart"),
        ("image", "image-of-the-chart"),
        ("image-pull-policy", "IfNotPresent"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let policy = policy(&Given::from_iter(settings), 36).expect("a policy");
    for (name, wanted) in [
        ("files/policy.yaml", policy),
        ("files/alerts.yaml", read("prometheus/alerts.yaml")),
        ("files/hookgate.json", read("grafana/hookgate.json")),
    ] {
        if std::env::var_os("HOOKGATE_TEST_WRITE").is_some() {
            std::fs::write(Path::new(CHART).join(name), &wanted).expect("a file");
        }
        assert!(
            chart(name) == wanted,
            "{name} differs: see HOOKGATE_TEST_WRITE"
        );
    }
    let about = document::parse(&chart("Chart.yaml"))
        .expect("YAML")
        .expect("a chart");
    for field in ["version", "appVersion"] {
        assert_eq!(
            about.get(field).and_then(Tree::text),
            Some(VERSION),
            "{field}"
        );
    }
}
