//! The Helm chart, rendered without Helm: by a small renderer with Helm's functions (`tests/kubernetes/helm/render.go`)
//! that `scripts/test` builds where Go and its libraries are, and names in `HOOKGATE_TEST_HELM`.

use std::collections::BTreeMap;
use std::process::Command;

use hookgate::kubernetes::Tree;
use hookgate::kubernetes::policy::policy;
use hookgate::kubernetes::settings::Given;
use serde_json::{Value, json};

use crate::manifests::{injector_arguments, outside_of_a_cluster};
use crate::objects::{self, containers, list, name, objects, of_kind, pods, text, title, values};
use crate::profile::unrestricted;

pub(crate) const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/config/kubernetes/helm/hookgate"
);
const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");
const VERSION: &str = env!("CARGO_PKG_VERSION");

const GATEWAY: &str = "gateway:\n  enabled: true\n  appUrl: http://app.shop:80\n  secretName: webhooks\n  config: |\n    [sources.stripe]\n    provider = \"stripe\"\n    secret_file = \"/run/secrets/hookgate/stripe\"\n";
const EVERYTHING: &str = r#"
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
/// What people make themselves.
const FROM_OUTSIDE: [&str; 4] = ["webhooks", "ours", "registry", "default"];

pub(crate) struct Rendered {
    pub(crate) values: Value,
    templates: BTreeMap<String, String>,
}

/// What Helm would render, or why it would not; `None` if there is nobody who could.
fn render(given: &str, minor: u32) -> Option<Result<Rendered, String>> {
    let Some(renderer) = std::env::var_os("HOOKGATE_TEST_HELM") else {
        eprintln!("skipped: HOOKGATE_TEST_HELM is not set");
        return None;
    };
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("values.yaml");
    std::fs::write(&file, given).expect("a file");
    let mut command = Command::new(renderer);
    let output = command
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
    fn objects(&self) -> Vec<(String, Tree)> {
        let manifests = self
            .templates
            .iter()
            .filter(|(name, _)| name.ends_with(".yaml"));
        manifests.flat_map(|(_, text)| objects(text)).collect()
    }

    fn notes(&self) -> &str {
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

#[test]
fn what_the_chart_renders_is_what_every_version_takes() {
    let mut all = Vec::new();
    for (case, _) in CASES {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = rendered.objects();
        assert_eq!(objects.is_empty(), case == "nothing", "{case}");
        let mut seen: Vec<_> = objects.iter().map(|(title, _)| title.clone()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), objects.len(), "{case}: two of a name");
        if case != "policy" {
            let named = objects
                .into_iter()
                .map(|(title, tree)| (format!("{case}: {title}"), tree));
            all.extend(named);
        }
    }
    assert!(all.len() > 60, "{}", all.len());
    objects::are_accepted(&all, &[]);
}

#[test]
fn every_pod_of_the_chart_fits_the_restricted_profile() {
    let mut seen = 0;
    for (case, _) in CASES {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let wanted = match case {
            "everything" => "registry.example.com/hookgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned(),
            _ => format!("hookgate:{VERSION}"),
        };
        for pod in pods(&values(&rendered.objects())) {
            let faults = unrestricted(pod.spec);
            assert_eq!(faults, Vec::<String>::new(), "{case}: {}", title(pod.owner));
            for container in containers(pod.spec) {
                assert_eq!(container["image"], json!(wanted), "{case}");
                seen += 1;
            }
        }
    }
    // Seven injectors, two gateways, and a test of each.
    assert_eq!(seen, 18);
}

#[test]
fn whatever_the_chart_names_is_there() {
    for (case, _) in CASES {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = values(&rendered.objects());
        let faults: Vec<_> = objects::dangling(&objects, &FROM_OUTSIDE)
            .into_iter()
            // Chosen by whoever runs the cluster.
            .filter(|fault| !fault.ends_with("its Issuer is not there") || case != "everything")
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{case}");
        for object in objects.iter().filter(|_| case != "policy") {
            let labels = &object["metadata"]["labels"];
            for label in [
                "name",
                "instance",
                "version",
                "managed-by",
                "component",
                "part-of",
            ] {
                let label = &labels[format!("app.kubernetes.io/{label}")];
                assert!(label.is_string(), "{case}: {}: {labels}", title(object));
            }
            for selector in [
                &object["spec"]["selector"]["matchLabels"],
                &object["spec"]["selector"],
            ] {
                let version = &selector["app.kubernetes.io/version"];
                assert!(version.is_null(), "{case}: selectors cannot change");
            }
        }
    }
}

#[test]
fn the_injector_of_the_chart_misses_nothing_but_a_cluster() {
    let mut seen = 0;
    for (case, _) in CASES {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = values(&rendered.objects());
        for deployment in of_kind(&objects, "Deployment") {
            let config = of_kind(&objects, "ConfigMap")
                .into_iter()
                .find(|config| name(config) == name(deployment));
            let defaults = text(config.expect("its defaults"), "/data/defaults.toml");
            let place = tempfile::tempdir().expect("a directory");
            let file = place.path().join("defaults.toml");
            std::fs::write(&file, defaults).expect("a file");
            let mut arguments = injector_arguments(deployment, &file);
            let is_alone = !arguments.iter().any(|argument| argument == "--events");
            if is_alone {
                // It needs no cluster then, and would look for its certificate.
                arguments.push("--events".to_owned());
            }
            let said = outside_of_a_cluster(&arguments);
            assert!(
                said.contains("there is no API server to ask"),
                "{case}: {said}"
            );
            if case == "everything" {
                for line in [
                    "run-as-user = \"1000650000\"",
                    "listen-port = \"8081\"",
                    "[profiles.\"big.one\"]",
                ] {
                    assert!(defaults.contains(line), "{defaults}");
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

#[test]
fn the_injector_of_the_chart_may_do_what_its_certificate_asks_for() {
    for (case, makes, events) in [
        ("defaults", true, true),
        ("cert-manager", false, true),
        ("everything", false, true),
        ("an-own-secret", false, false),
    ] {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = values(&rendered.objects());
        let webhook = of_kind(&objects, "MutatingWebhookConfiguration")[0];
        let allows = |verb, resource, name| objects::allows(&objects, verb, resource, name);
        let tls = "test-hookgate-injector-tls";
        for verb in ["get", "create", "update"] {
            assert_eq!(allows(verb, "secrets", tls), makes, "{case}: {verb}");
        }
        for verb in ["get", "patch"] {
            let may = allows(verb, "mutatingwebhookconfigurations", name(webhook));
            assert_eq!(may, makes, "{case}: {verb}");
        }
        assert!(!allows("get", "secrets", "others"), "{case}");
        assert_eq!(allows("create", "events", ""), events, "{case}");
        let side_effects = if events { "NoneOnDryRun" } else { "None" };
        let webhook = &webhook["webhooks"][0];
        assert_eq!(webhook["sideEffects"], side_effects);
        let own = &webhook["namespaceSelector"]["matchExpressions"][1]["values"];
        assert_eq!(
            list(own, "")
                .iter()
                .filter(|name| **name == "hooks")
                .count(),
            1,
            "{case}"
        );
        let bundle = &webhook["clientConfig"]["caBundle"];
        assert_eq!(bundle.is_string(), case == "an-own-secret");
    }
}

#[test]
fn the_gateway_of_the_chart_passes_the_check() {
    let mut seen = 0;
    for case in ["gateway", "everything"] {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = values(&rendered.objects());
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("stripe"), "whsec_example_not_a_secret").expect("a file");
        let set = of_kind(&objects, "StatefulSet")[0];
        let config = of_kind(&objects, "ConfigMap")
            .into_iter()
            .find(|config| name(config) == name(set));
        let toml = text(config.expect("its configuration"), "/data/hookgate.toml");
        let toml = toml.replace("/run/secrets/hookgate", &place.path().display().to_string());
        let file = place.path().join("hookgate.toml");
        std::fs::write(&file, toml).expect("a file");
        let mut command = Command::new(PROGRAM);
        command.env_clear().arg("check");
        for variable in list(set, "/spec/template/spec/containers/0/env") {
            let value = text(variable, "/value");
            let value = match text(variable, "/name") {
                "HOOKGATE_CONFIG" => {
                    assert_eq!(value, "/etc/hookgate/hookgate.toml");
                    file.to_str().expect("text")
                }
                _ => value,
            };
            command.env(text(variable, "/name"), value);
        }
        let output = command.output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{case}: {errors}");
        assert!(!errors.contains("warning"), "{case}: {errors}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn the_policy_of_the_chart_is_the_one_of_the_program() {
    let given = "image: {repository: registry.example.com/hookgate, pullPolicy: Always}\ninjector: {mode: policy, defaults: {config: gate, secrets: webhooks}}";
    let image = format!("registry.example.com/hookgate:{VERSION}");
    let settings = [
        ("config", "gate"),
        ("secrets", "webhooks"),
        ("image", &image),
        ("image-pull-policy", "Always"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Given::from_iter(settings);
    for minor in 34..=37 {
        let Some(rendered) = render(given, minor) else {
            return;
        };
        let rendered = rendered.expect("a policy").objects();
        let wanted = policy(&settings, minor).expect("a policy");
        assert_eq!(rendered, objects(&wanted), "1.{minor}");
        assert_eq!(rendered.len(), 4);
        objects::are_accepted(&rendered, &[&format!("1.{minor}")]);
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_way_out() {
    let cases = [
        (
            "injector: {mode: policy}",
            36,
            "injector.defaults.config and injector.defaults.secrets",
        ),
        (
            "injector: {mode: policy, defaults: {config: a, secrets: b, spool-size: 2Gi}}",
            36,
            "`hookgate kubernetes policy` prints a policy for any settings",
        ),
        (
            "injector: {mode: policy, profiles: {small: {}}, defaults: {config: a, secrets: b}}",
            36,
            "no profiles",
        ),
        (
            "injector: {mode: policy, defaults: {config: a, secrets: b}}",
            33,
            "set injector.mode to webhook",
        ),
        (
            "gateway: {enabled: true, config: a}",
            36,
            "gateway.appUrl: say where the app is",
        ),
        (
            "gateway: {enabled: true, appUrl: http://a}",
            36,
            "gateway.config: hookgate.toml with your sources",
        ),
        (
            "injector: {certificates: {kind: secret, caBundle: b3Vycw==}}",
            36,
            "injector.certificates.secretName",
        ),
        (
            "injector: {certificates: {kind: secret, secretName: a}}",
            36,
            "injector.certificates.caBundle",
        ),
    ];
    for (given, minor, message) in cases {
        let Some(rendered) = render(given, minor) else {
            return;
        };
        let Err(refusal) = rendered else {
            panic!("{given} was rendered");
        };
        assert!(refusal.contains(message), "{given}: {refusal}");
    }
}

#[test]
fn the_notes_say_what_to_type_next() {
    for (case, wanted, unwanted) in [
        (
            "defaults",
            "kubectl label namespace default hookgate.dev/injection=enabled",
            "port-forward",
        ),
        ("defaults", "helm test test --namespace hooks", "<no value>"),
        (
            "everything",
            "port-forward service/test-hookgate-gateway 8080:8443",
            "hookgate.dev/sources",
        ),
        ("policy", "hookgate.dev/inject: \"true\"", "helm test"),
        ("nothing", "is installed as test", "kubectl label"),
    ] {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let notes = rendered.notes();
        assert!(
            notes.contains(wanted) && !notes.contains(unwanted),
            "{case}: {notes}"
        );
    }
}
