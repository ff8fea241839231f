//! The Helm chart, rendered without Helm: by a small renderer with Helm's functions (`tests/kubernetes/helm/render.go`)
//! that `scripts/test` builds where Go and its libraries are, and names in `HOOKGATE_TEST_HELM`.

use std::collections::BTreeMap;
use std::process::Command;

use hookgate::kubernetes::Tree;
use serde_json::Value;

use crate::objects::objects;

pub(crate) const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/config/kubernetes/helm/hookgate"
);

pub(crate) const GATEWAY: &str = "gateway:\n  enabled: true\n  appUrl: http://app.shop:80\n  secretName: webhooks\n  config: |\n    [sources.stripe]\n    provider = \"stripe\"\n    secret_file = \"/run/secrets/hookgate/stripe\"\n";
pub(crate) const EVERYTHING: &str = r#"
commonLabels: {team: shop}
imagePullSecrets: [{name: registry}]
image: {repository: registry.example.com/hookgate, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
injector:
  defaults: {run-as-user: 1000650000, listen-port: 8081, native-sidecar: true, config: gate}
  profiles: {small: {spool-size: 256Mi}, big.one: {memory-limit: none}}
  replicas: 3
  logLevel: debug
  certificates: {kind: certManager, issuerRef: {group: cert-manager.io, kind: ClusterIssuer, name: ours}}
  excludedNamespaces: [kube-system, hooks]
  networkPolicy: {apiServers: [10.0.0.10/32, "fd00::/64"]}
  serviceAccount: {name: injector, annotations: {a: b}}
  priorityClassName: system-cluster-critical
  podAnnotations: {a: b}
  podLabels: {c: d}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: a, operator: Exists}]
  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}
  extraEnv: [{name: RUST_BACKTRACE, value: "1"}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
gateway:
  enabled: true
  appUrl: http://app.shop:80
  secretName: webhooks
  config: "[sources.stripe]\nprovider = \"stripe\"\nsecret_file = \"/run/secrets/hookgate/stripe\""
  storage: {storageClassName: fast, accessMode: ReadWriteOnce, whenDeleted: Delete, size: 10Gi, bytesMax: 9GiB}
  service: {type: LoadBalancer, port: 8443, annotations: {a: b}}
  podAnnotations: {a: b}
  podLabels: {c: d}
  nodeSelector: {disk: fast}
  tolerations: [{key: a, operator: Exists}]
  priorityClassName: high
  extraEnv: [{name: HOOKGATE__LOG__LEVEL, value: debug}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/component: gateway}}}]
podMonitor: {enabled: true, labels: {release: prometheus}, interval: 30s}
prometheusRule: {enabled: true, labels: {release: prometheus}}
grafanaDashboard: {enabled: true}
"#;
/// What people may want, and whether the injector makes its certificate itself.
pub(crate) const CASES: [(&str, &str); 9] = [
    ("defaults", ""),
    ("everything", EVERYTHING),
    (
        "cert-manager",
        "injector: {certificates: {kind: certManager}}",
    ),
    (
        "an-own-secret",
        "injector: {events: false, certificates: {kind: secret, secretName: ours, caBundle: b3Vycw==}}",
    ),
    ("nothing", "injector: {mode: none}"),
    (
        "bare",
        "fullnameOverride: gate\ninjector: {serviceAccount: {create: false}, podDisruptionBudget: {enabled: false}, networkPolicy: {enabled: false}, failurePolicy: Fail}",
    ),
    (
        "policy",
        "injector: {mode: policy, defaults: {config: gate, secrets: webhooks}}",
    ),
    ("gateway", GATEWAY),
    (
        "monitored",
        "nameOverride: hooks\npodMonitor: {enabled: true}\nprometheusRule: {enabled: true}\ngrafanaDashboard: {enabled: true}",
    ),
];

pub(crate) struct Rendered {
    pub(crate) values: Value,
    pub(crate) templates: BTreeMap<String, String>,
}

/// What Helm would render, or why it would not; `None` if there is nobody who could.
pub(crate) fn render(given: &str, minor: u32) -> Option<Result<Rendered, String>> {
    render_as("test", "hooks", given, minor)
}

/// The same for a release of this name in this namespace.
pub(crate) fn render_as(
    release: &str,
    namespace: &str,
    given: &str,
    minor: u32,
) -> Option<Result<Rendered, String>> {
    let Some(renderer) = std::env::var_os("HOOKGATE_TEST_HELM") else {
        eprintln!("skipped: HOOKGATE_TEST_HELM is not set");
        return None;
    };
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("values.yaml");
    std::fs::write(&file, given).expect("a file");
    let mut command = Command::new(renderer);
    let output = command
        .env("RENDER_RELEASE", release)
        .env("RENDER_NAMESPACE", namespace)
        .args([CHART, &format!("v1.{minor}.2")])
        .arg(&file)
        .output();
    let output = output.expect("it runs");
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let rendered: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let templates = rendered["templates"].as_object().expect("templates").iter();
    let texts =
        templates.map(|(name, text)| (name.clone(), text.as_str().expect("text").to_owned()));
    Some(Ok(Rendered {
        values: rendered["values"].clone(),
        templates: texts.collect(),
    }))
}

impl Rendered {
    pub(crate) fn objects(&self) -> Vec<(String, Tree)> {
        let manifests = self
            .templates
            .iter()
            .filter(|(name, _)| name.ends_with(".yaml"));
        manifests.flat_map(|(_, text)| objects(text)).collect()
    }

    pub(crate) fn notes(&self) -> &str {
        &self.templates["templates/NOTES.txt"]
    }
}

pub(crate) fn rendered(case: &str) -> Option<Rendered> {
    let (_, given) = CASES
        .iter()
        .find(|(name, _)| *name == case)
        .expect("a case");
    let rendered = render(given, 36)?;
    Some(rendered.unwrap_or_else(|error| panic!("{case}: {error}")))
}
