//! What the Helm chart renders.

use std::process::Command;

use hookgate::kubernetes::policy::policy;
use hookgate::kubernetes::settings::Given;
use serde_json::json;

use crate::manifests::{injector_arguments, outside_of_a_cluster};
use crate::objects::{self, containers, list, name, objects, of_kind, pods, text, title, values};
use crate::profile::unrestricted;
use crate::rendering::{CASES, EVERYTHING, render, render_as, rendered};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What people make themselves.
const FROM_OUTSIDE: [&str; 4] = ["webhooks", "ours", "registry", "default"];

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
fn reviews_are_for_everybody_or_for_the_api_servers_that_are_named() {
    for (case, wanted) in [
        ("defaults", json!(null)),
        (
            "everything",
            json!([{"ipBlock": {"cidr": "10.0.0.10/32"}}, {"ipBlock": {"cidr": "fd00::/64"}}]),
        ),
    ] {
        let Some(rendered) = rendered(case) else {
            return;
        };
        let objects = values(&rendered.objects());
        let policies = of_kind(&objects, "NetworkPolicy").into_iter();
        let mut rules = policies.flat_map(|policy| list(policy, "/spec/ingress"));
        let reviews = rules.find(|rule| rule["ports"][0]["port"] == 8443);
        assert_eq!(reviews.expect("a rule")["from"], wanted, "{case}");
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
            "gateway: {enabled: true, appUrl: http://a, config: a, drainSeconds: 60}",
            36,
            "raise gateway.terminationGracePeriodSeconds",
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

/// YAML reads 123 as a number, which Kubernetes takes for no name.
#[test]
fn names_that_look_like_numbers_stay_names() {
    let numbers = "\nfullnameOverride: hooks\ncommonLabels: {team: '7'}\n";
    let given = EVERYTHING.replace("\ncommonLabels: {team: shop}\n", numbers);
    let given = given
        .replace("secretName: webhooks", "secretName: '123'")
        .replace("storageClassName: fast", "storageClassName: '1'")
        .replace("priorityClassName: high", "priorityClassName: '2'")
        .replace(
            "serviceAccount: {name: injector,",
            "serviceAccount: {name: '3',",
        )
        .replace("podLabels: {c: d}", "podLabels: {c: d, team: '8'}");
    let Some(rendered) = render_as("123", "2024", &given, 36) else {
        return;
    };
    let objects = rendered.expect("a chart").objects();
    assert!(objects.len() > 20, "{}", objects.len());
    objects::are_accepted(&objects, &["1.36"]);
    let values = values(&objects);
    for object in &values {
        let metadata = &object["metadata"];
        let namespace = &metadata["namespace"];
        assert!(namespace.is_null() || namespace == "2024", "{metadata}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "123");
        assert_eq!(metadata["labels"]["team"], "7", "{metadata}");
    }
    let set = of_kind(&values, "StatefulSet")[0];
    let pod = &set["spec"]["template"];
    // What is said of one part's pods goes before what is said of all.
    assert_eq!(pod["metadata"]["labels"]["team"], "8");
    let volumes = list(pod, "/spec/volumes").iter();
    let mut secrets = volumes.filter_map(|volume| volume["secret"]["secretName"].as_str());
    assert_eq!(secrets.next(), Some("123"));
    let Some(Err(refusal)) = render_as("123", "2024", "", 36) else {
        panic!("no Service can be called 123-hookgate-injector");
    };
    assert!(refusal.contains("set fullnameOverride"), "{refusal}");
}

#[test]
fn the_notes_say_what_to_type_next() {
    for (case, wanted, unwanted) in [
        (
            "defaults",
            "kubectl label namespace YOUR_NAMESPACE hookgate.dev/injection=enabled",
            "port-forward",
        ),
        (
            "defaults",
            "(not hooks: the injector leaves its own one out)",
            "default",
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
