//! The manifests that stand without Helm (`config/kubernetes`): each folder is built by `kubectl kustomize`, and what
//! comes out is what Kubernetes takes, what the program takes, and what the folders promise each other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hookgate::kubernetes::Tree;
use serde_json::{Value, json};

use crate::objects::{self, containers, list, name, objects, of_kind, pods, text, title, values};
use crate::profile::unrestricted;
use crate::tree;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

/// What people make themselves.
const FROM_OUTSIDE: [&str; 1] = ["hookgate"];

fn file(path: &str) -> PathBuf {
    Path::new(ROOT).join("config").join(path)
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).expect("a shipped file")
}

pub(crate) fn there_is_kubectl() -> bool {
    let is_there = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_ok();
    if !is_there {
        eprintln!("skipped: there is no kubectl");
    }
    is_there
}

pub(crate) fn kustomize(folder: &Path) -> String {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(folder)
        .output();
    let output = output.expect("kubectl runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", folder.display());
    String::from_utf8(output.stdout).expect("text")
}

/// All folders that can be applied, whatever they are called.
fn folders() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![file("kubernetes"), file("grafana")];
    while let Some(folder) = waiting.pop() {
        let kustomization = std::fs::read_to_string(folder.join("kustomization.yaml"));
        if kustomization.is_ok_and(|text| !text.contains("kind: Component")) {
            found.push(folder.clone());
        }
        let entries = std::fs::read_dir(&folder).expect("a folder");
        waiting.extend(
            entries
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_dir()),
        );
    }
    // sidecar, gateway, monitoring, the dashboard, and the injector: its base and two kinds of certificates.
    assert_eq!(found.len(), 7, "{found:?}");
    found
}

fn built(folder: &str) -> Vec<Value> {
    values(&objects(&kustomize(&file(folder))))
}

#[test]
fn every_folder_builds_into_objects_that_every_version_takes() {
    if !there_is_kubectl() {
        return;
    }
    let mut all = Vec::new();
    for folder in folders() {
        let objects = objects(&kustomize(&folder));
        assert!(!objects.is_empty(), "{}", folder.display());
        let folder = folder
            .strip_prefix(ROOT)
            .unwrap_or(&folder)
            .display()
            .to_string();
        all.extend(
            objects
                .into_iter()
                .map(|(title, tree)| (format!("{folder}: {title}"), tree)),
        );
    }
    objects::are_accepted(&all, &[]);
}

#[test]
fn every_container_fits_the_restricted_profile_and_every_image_is_of_this_version() {
    if !there_is_kubectl() {
        return;
    }
    let image = format!("hookgate:{}", env!("CARGO_PKG_VERSION"));
    let mut seen = 0;
    for folder in folders() {
        let objects = values(&objects(&kustomize(&folder)));
        for pod in pods(&objects) {
            assert_eq!(
                unrestricted(pod.spec),
                Vec::<String>::new(),
                "{}",
                title(pod.owner)
            );
            assert_eq!(
                pod.spec["enableServiceLinks"],
                false,
                "{}",
                title(pod.owner)
            );
            for container in containers(pod.spec).filter(|container| container["name"] != "app") {
                seen += 1;
                assert_eq!(text(container, "/image"), image);
            }
        }
        for config in of_kind(&objects, "ConfigMap") {
            for (_, text) in config["data"].as_object().into_iter().flatten() {
                let text = text.as_str().expect("text");
                for line in text.lines().filter(|line| line.starts_with("image = ")) {
                    seen += 1;
                    assert_eq!(line, format!("image = {image:?}"));
                }
            }
        }
    }
    // sidecar, gateway, three injectors and what they inject.
    assert_eq!(seen, 8);
    assert_eq!(
        read("kubernetes/component/gate.yaml")
            .matches(&image)
            .count(),
        1
    );
}

#[test]
fn whatever_is_named_is_there() {
    if !there_is_kubectl() {
        return;
    }
    for folder in folders() {
        // What the base lacks comes from the folders around it.
        if folder.ends_with("base") {
            continue;
        }
        let objects = values(&objects(&kustomize(&folder)));
        let faults = objects::dangling(&objects, &FROM_OUTSIDE);
        assert_eq!(faults, Vec::<String>::new(), "{}", folder.display());
    }
}

#[test]
fn monitoring_finds_the_pods_of_every_folder() {
    if !there_is_kubectl() {
        return;
    }
    let monitoring = built("kubernetes/monitoring");
    let monitors = of_kind(&monitoring, "PodMonitor");
    let mut seen = 0;
    for folder in ["sidecar", "gateway", "injector", "injector/cert-manager"] {
        for pod in pods(&built(&format!("kubernetes/{folder}"))) {
            let chosen = monitors.iter().filter(|monitor| {
                let selector = monitor["spec"]["selector"]["matchLabels"].as_object();
                let mut selector = selector.expect("a selector").iter();
                selector.all(|(key, value)| pod.labels[key] == *value)
            });
            let chosen: Vec<_> = chosen.collect();
            assert_eq!(chosen.len(), 1, "{folder}");
            let port = text(chosen[0], "/spec/podMetricsEndpoints/0/port");
            let mut ports = containers(pod.spec).flat_map(|container| list(container, "/ports"));
            assert!(
                ports.any(|there| there["name"] == port),
                "{folder} has no {port}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_rules_of_the_operator_are_the_alerts() {
    const WRITTEN: &str = "kubernetes/monitoring/prometheusrule.yaml";
    let alerts = read("prometheus/alerts.yaml");
    let written = read(WRITTEN);
    let (head, _) = written.split_once("  groups:").expect("groups");
    let (_, groups) = alerts.split_once("\ngroups:\n").expect("groups");
    let lines = groups.split_inclusive('\n').map(|line| match line.trim() {
        "" => line.to_owned(),
        _ => format!("  {line}"),
    });
    let wanted = format!("{head}  groups:\n{}", lines.collect::<String>());
    if std::env::var_os("HOOKGATE_TEST_WRITE").is_some() {
        std::fs::write(file(WRITTEN), &wanted).expect("a file");
    }
    assert_eq!(read(WRITTEN), wanted, "see HOOKGATE_TEST_WRITE");
    let (rule, alerts) = (tree(&wanted), tree(&alerts));
    assert!(alerts.find("/groups/0/rules/5").is_some());
    assert_eq!(rule.find("/spec/groups"), alerts.find("/groups"));
}

#[test]
fn the_dashboard_is_handed_over_whole() {
    if !there_is_kubectl() {
        return;
    }
    let monitoring = built("kubernetes/monitoring");
    let maps = of_kind(&monitoring, "ConfigMap");
    assert_eq!(maps.len(), 1);
    assert_eq!(maps[0]["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(
        maps[0]["data"]["hookgate.json"],
        json!(read("grafana/hookgate.json"))
    );
}

#[test]
fn every_configuration_passes_the_check() {
    let mut seen = 0;
    for folder in ["sidecar", "gateway"] {
        let place = tempfile::tempdir().expect("a directory");
        let secrets = place.path().join("secrets");
        std::fs::create_dir(&secrets).expect("a directory");
        std::fs::write(secrets.join("stripe"), "whsec_example_not_a_secret").expect("a secret");
        let text = read(&format!("kubernetes/{folder}/hookgate.toml"));
        let text = text.replace("/run/secrets/hookgate", &secrets.display().to_string());
        let config = place.path().join("hookgate.toml");
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new(PROGRAM);
        let output = command
            .env_clear()
            .args(["check", "--config"])
            .arg(&config)
            .output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{folder}: {}", errors(&output));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What an injector with these arguments says where there is no cluster.
pub(crate) fn outside_of_a_cluster(arguments: &[String]) -> String {
    let output = Command::new(PROGRAM).env_clear().args(arguments).output();
    let output = output.expect("it runs");
    assert_eq!(
        output.status.code(),
        Some(1),
        "{arguments:?}: {}",
        errors(&output)
    );
    errors(&output)
}

/// What the container of an injector is started with; its defaults are in `defaults`.
pub(crate) fn injector_arguments(deployment: &Value, defaults: &Path) -> Vec<String> {
    let arguments = list(deployment, "/spec/template/spec/containers/0/args").iter();
    let arguments = arguments.map(|argument| {
        let argument = argument.as_str().expect("text");
        argument.replace(
            "/etc/hookgate/defaults.toml",
            &defaults.display().to_string(),
        )
    });
    arguments.collect()
}

#[test]
fn the_injector_understands_its_flags_and_misses_nothing_but_a_cluster() {
    if !there_is_kubectl() {
        return;
    }
    let defaults = file("kubernetes/injector/base/defaults.toml");
    for (folder, flags) in [("injector", 6), ("injector/cert-manager", 3)] {
        let objects = built(&format!("kubernetes/{folder}"));
        let deployment = of_kind(&objects, "Deployment")[0];
        let arguments = injector_arguments(deployment, &defaults);
        assert_eq!(arguments.len(), flags);
        let said = outside_of_a_cluster(&arguments);
        assert!(said.contains("there is no API server to ask"), "{said}");
        let webhook = of_kind(&objects, "MutatingWebhookConfiguration")[0];
        let service = of_kind(&objects, "Service")[0];
        for (flag, wanted) in [("--webhook=", name(webhook)), ("--service=", name(service))] {
            let given = arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(flag));
            assert_eq!(given, (folder == "injector").then_some(wanted));
        }
    }
}

#[test]
fn the_injector_may_do_what_it_does_and_no_more() {
    if !there_is_kubectl() {
        return;
    }
    let own = built("kubernetes/injector");
    let other = built("kubernetes/injector/cert-manager");
    let tls = "hookgate-injector-tls";
    // Verb, resource, name; whether it may where it makes its certificate, and where cert-manager does.
    for (verb, resource, name, makes, is_given) in [
        ("create", "events", "", true, true),
        ("get", "secrets", tls, true, false),
        ("create", "secrets", tls, true, false),
        ("update", "secrets", tls, true, false),
        (
            "get",
            "mutatingwebhookconfigurations",
            "hookgate",
            true,
            false,
        ),
        (
            "patch",
            "mutatingwebhookconfigurations",
            "hookgate",
            true,
            false,
        ),
        ("get", "secrets", "others", false, false),
        ("list", "secrets", tls, false, false),
        ("update", "secrets", "others", false, false),
        (
            "patch",
            "mutatingwebhookconfigurations",
            "others",
            false,
            false,
        ),
        ("get", "pods", "any", false, false),
    ] {
        let asked = format!("{verb} {resource} {name}");
        assert_eq!(
            objects::allows(&own, verb, resource, name),
            makes,
            "{asked}"
        );
        assert_eq!(
            objects::allows(&other, verb, resource, name),
            is_given,
            "{asked}"
        );
    }
}

#[test]
fn what_is_wrong_with_objects_is_seen() {
    let broken = r#"
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: b}}
  template:
    metadata: {labels: {app: a}}
    spec:
      hostNetwork: true
      serviceAccountName: nobody
      topologySpreadConstraints: [{labelSelector: {matchLabels: {app: b}}}]
      containers:
      - name: hookgate
        image: hookgate:0
        readinessProbe: {httpGet: {port: none}}
        volumeMounts: [{name: none, mountPath: /n}]
      volumes: [{name: h, hostPath: {path: /}}, {name: c, configMap: {name: c}}]
---
kind: Service
metadata: {name: s}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: none}]}
---
kind: NetworkPolicy
metadata: {name: n}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: 1}]}]}
---
kind: PodDisruptionBudget
metadata: {name: p}
spec: {selector: {matchLabels: {app: c}}}
---
kind: RoleBinding
metadata: {name: r}
roleRef: {kind: Role, name: none}
subjects: [{name: nobody}]
"#;
    let objects = objects(broken);
    let values = values(&objects);
    assert_eq!(
        objects::dangling(&values, &[]).len(),
        10,
        "{:#?}",
        objects::dangling(&values, &[])
    );
    let faults = unrestricted(pods(&values)[0].spec);
    assert_eq!(faults.len(), 9, "{faults:#?}");
    let monitor = Tree::of(&json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "m"},
        "spec": {"podMetricsEndpoints": [{"prot": "hookgate-ops"}]},
    }));
    let monitor = [("m".to_owned(), monitor.expect("a tree"))];
    let refused = std::panic::catch_unwind(|| objects::are_accepted(&monitor, &[]));
    assert!(refused.is_err());
}
