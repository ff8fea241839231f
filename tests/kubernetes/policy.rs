//! `hookgate kubernetes policy`: valid objects for every version that has such policies. Nothing in Rust can evaluate their
//! expressions; `scripts/evaluate-policy` has Kubernetes' own code do it and compares with `inject`.

use std::collections::BTreeMap;

use hookgate::kubernetes::policy::policy;
use hookgate::kubernetes::settings::Given;
use hookgate::kubernetes::{Tree, document};

use crate::{judge, tree};

type Setting<'a> = (&'a str, &'a str);

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/kubernetes/policy-1.36.yaml"
);

fn given(settings: &[Setting<'_>]) -> Given {
    let settings = settings
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    BTreeMap::from_iter(settings)
}

fn objects(yaml: &str) -> Vec<(String, Tree)> {
    let parts = document::documents(yaml).into_iter().map(tree);
    parts
        .map(|tree| (format!("{:?}", tree.get("kind")), tree))
        .collect()
}

#[test]
fn it_is_good_for_every_version_that_has_such_policies() {
    let several: [&[Setting<'_>]; 4] = [
        &[("config", "gate")],
        &[
            ("sources", "stripe=stripe,github=github"),
            ("secrets", "webhooks"),
        ],
        &[
            ("config", "gate"),
            ("upstream", "http://127.0.0.1:3000"),
            ("spool", "ephemeral:fast"),
            ("run-as-user", "1000"),
        ],
        &[
            ("config", "gate"),
            ("secrets", "s"),
            ("listen-host", "[::]"),
            ("cpu-limit", "1"),
            ("memory-limit", "none"),
        ],
    ];
    for minor in 34..=37 {
        for settings in several {
            let yaml = policy(&given(settings), minor).expect("a policy");
            let objects = objects(&yaml);
            assert_eq!(objects.len(), 4);
            judge::validates(&objects, &[&format!("1.{minor}")]);
        }
    }
}

#[test]
fn it_is_what_was_agreed() {
    let yaml =
        policy(&given(&[("config", "gate"), ("secrets", "webhooks")]), 36).expect("a policy");
    if std::env::var_os("HOOKGATE_TEST_WRITE").is_some() {
        std::fs::write(GOLDEN, &yaml).expect("a golden file");
    }
    assert_eq!(
        std::fs::read_to_string(GOLDEN).expect("a golden file"),
        yaml
    );
}

#[test]
fn what_a_policy_cannot_do_is_refused_with_the_way_out() {
    let cases: [(&[Setting<'_>], u32, &str); 6] = [
        (&[], 36, "set config, or sources and secrets"),
        (
            &[("config", "c")],
            33,
            "`hookgate injector` works with every version",
        ),
        (
            &[("config", "c"), ("native-sidecar", "false")],
            36,
            "native-sidecar",
        ),
        (
            &[("config", "c"), ("app-container", "web")],
            36,
            "first container",
        ),
        (
            &[("config", "c"), ("spool", "pvc:a")],
            36,
            "cannot share one claim",
        ),
        (&[("config", "C!")], 36, "hookgate.dev/config"),
    ];
    for (settings, minor, message) in cases {
        let refusal = policy(&given(settings), minor)
            .expect_err("a refusal")
            .to_string();
        assert!(refusal.contains(message), "{refusal}");
    }
}

/// What follows "name: " in the first policy, up to the next one.
fn expression(yaml: &str, name: &str) -> String {
    let start = format!("  - name: {name}\n    expression: >-\n");
    let (_, rest) = yaml.split_once(&start).unwrap_or_default();
    rest.lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn conditions_and_variables_follow_the_settings() {
    let tcp = policy(
        &given(&[("config", "gate"), ("upstream", "http://127.0.0.1:3000")]),
        36,
    )
    .expect("a policy");
    // The app's own port is none for the gate; without a socket nothing is asked about folders.
    assert!(expression(&tcp, "good-port").ends_with("in [9600, 9601, 3000])"));
    assert!(!tcp.contains("hookgate-run") && !tcp.contains("socketMounts"));
    assert_eq!(expression(&tcp, "whole-folder"), "");
    assert!(
        expression(&tcp, "free-names").ends_with(r#"in ["hookgate-spool", "hookgate-config"])"#)
    );

    let unix = policy(
        &given(&[
            ("sources", "stripe=stripe"),
            ("secrets", "webhooks"),
            ("upstream", "unix:/srv/a.b/app.sock"),
            ("run-as-user", "1000"),
        ]),
        36,
    )
    .expect("a policy");
    assert!(expression(&unix, "good-port").ends_with("in [9600, 9601])"));
    let at_folder =
        r#"m.mountPath.startsWith("/srv/a.b") && m.mountPath.substring(8).replace("/", "") == """#;
    for name in ["whole-folder", "free-names", "socketMounts"] {
        assert!(expression(&unix, name).contains(at_folder), "{name}");
    }
    assert!(
        expression(&unix, "free-names").contains(r#"["hookgate-spool", "hookgate-secrets"] ||"#)
    );
    assert!(!expression(&unix, "known-settings").contains("hookgate.dev/config"));
    assert_eq!(expression(&unix, "user"), "1000");
}
