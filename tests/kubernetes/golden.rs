//! Admission reviews: `reviews/` holds pods, `golden/` what becomes of them. After a change that is meant,
//! `HOOKGATE_TEST_WRITE=1` writes the answers anew, for reading before they are committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hookgate::kubernetes::defaults::Defaults;
use hookgate::kubernetes::inject::{Surroundings, inject};
use hookgate::kubernetes::remove::uninject;
use hookgate::kubernetes::review::review;
use hookgate::kubernetes::skip::Reason;
use hookgate::kubernetes::{Operation, Tree};
use serde_json::{Value, json};

use crate::{judge, patched, tree};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes");

/// A pod, and what its file says about the cluster in comments.
struct Case {
    name: String,
    pod: Tree,
    minor: u32,
    defaults: Defaults,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a case");
        let comment = |name: &str| {
            let prefix = format!("# {name}: ");
            text.lines().find_map(|line| line.strip_prefix(&prefix))
        };
        let settings = comment("set").into_iter().flat_map(str::split_whitespace);
        let settings = settings.map(|setting| {
            let (name, value) = setting.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        });
        let mut defaults = Defaults::default();
        match comment("profile") {
            Some(profile) => drop(
                defaults
                    .profiles
                    .insert(profile.to_owned(), settings.collect()),
            ),
            None => defaults.given.extend(settings),
        }
        Self {
            name: path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned(),
            pod: tree(&text),
            minor: comment("minor").map_or(33, |minor| minor.parse().expect("a number")),
            defaults,
        }
    }

    fn all() -> Vec<Self> {
        let files = std::fs::read_dir(Path::new(HERE).join("reviews")).expect("cases");
        let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a case").path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn surroundings(&self) -> Surroundings {
        let owner = self.pod.find("/metadata/ownerReferences/0/kind");
        Surroundings {
            minor: self.minor,
            is_job: owner.and_then(Tree::text) == Some("Job"),
        }
    }

    /// The steps that add a gate; none if it is left as it is.
    fn steps(&self) -> Vec<Operation> {
        let injection = inject(&self.pod, &self.defaults, self.surroundings());
        injection
            .map(|injection| injection.operations)
            .unwrap_or_default()
    }

    /// What the API server is told, readable.
    fn answer(&self) -> Value {
        let question = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "namespace": "shop",
                "operation": "CREATE",
                "dryRun": false,
                "object": self.pod,
                "oldObject": null,
            },
        });
        let question = serde_json::to_vec(&question).expect("JSON");
        let reviewed = review(&question, &self.defaults, self.minor).expect("a review");
        let mut answer: Value = serde_json::from_str(&reviewed.body).expect("JSON");
        if let Some(patch) = answer.pointer_mut("/response/patch") {
            use base64::Engine as _;
            let encoded = patch.as_str().expect("text");
            let engine = base64::engine::general_purpose::STANDARD;
            let bytes = engine.decode(encoded).expect("base64");
            *patch = serde_json::from_slice(&bytes).expect("a patch");
        }
        answer
    }
}

#[test]
fn every_review_is_answered_as_it_was_agreed() {
    let write = std::env::var_os("HOOKGATE_TEST_WRITE").is_some();
    let mut different = Vec::new();
    let mut outcomes = BTreeSet::new();
    let cases = Case::all();
    for case in &cases {
        let answer = case.answer();
        assert_eq!(answer["response"]["allowed"], true, "{}", case.name);
        let outcome = &answer["response"]["auditAnnotations"]["outcome"];
        outcomes.insert(outcome.as_str().expect("an outcome").to_owned());
        let is_skipped = case.name.starts_with("skipped-");
        assert_eq!(
            *outcome != "injected",
            is_skipped,
            "{}: {outcome}",
            case.name
        );
        assert_eq!(
            answer["response"]["patch"].is_null(),
            is_skipped,
            "{}",
            case.name
        );
        let path = Path::new(HERE)
            .join("golden")
            .join(format!("{}.json", case.name));
        let text = format!("{answer:#}\n");
        if write {
            std::fs::write(&path, &text).expect("a golden file");
        } else if std::fs::read_to_string(&path).ok() != Some(text) {
            different.push(case.name.clone());
        }
    }
    assert!(cases.len() >= 40);
    assert_eq!(different, Vec::<String>::new(), "see HOOKGATE_TEST_WRITE");
    let all = Reason::ALL.iter().map(|reason| reason.name());
    // Those have no pod that shows them: see tests/kubernetes/injector.rs and command.rs.
    let elsewhere = ["not_a_pod", "not_injected"];
    let missing: Vec<_> = all
        .filter(|name| !outcomes.contains(*name) && !elsewhere.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn injecting_twice_is_injecting_once() {
    for case in Case::all() {
        let once = patched(&case.pod, &case.steps());
        let again = inject(&once, &case.defaults, case.surroundings());
        if case.steps().is_empty() {
            assert!(again.is_err(), "{}", case.name);
            continue;
        }
        let skip = again.expect_err("it has a gate");
        assert_eq!(skip.reason, Reason::AlreadyInjected, "{}", case.name);
    }
}

#[test]
fn taking_it_out_gives_back_what_was_there() {
    let mut seen = 0;
    for case in Case::all() {
        let steps = case.steps();
        if steps.is_empty() {
            continue;
        }
        seen += 1;
        let with = patched(&case.pod, &steps);
        assert_ne!(with, case.pod, "{}", case.name);
        let without = patched(&with, &uninject(&with).expect("a gate"));
        if case.name == "null-lists" {
            // What was null is not there any more, which is the same to Kubernetes.
            assert_eq!(without.find("/spec/volumes"), None);
            continue;
        }
        let text = |tree: &Tree| serde_json::to_string(tree).expect("JSON");
        assert_eq!(text(&without), text(&case.pod), "{}", case.name);
    }
    assert!(seen >= 35, "{seen}");
}

#[test]
fn taking_it_out_leaves_what_others_did_since() {
    let case = Case::read(&Path::new(HERE).join("reviews/plain.yaml"));
    let mut with = patched(&case.pod, &case.steps());
    let others = r#"[
        {"op": "add", "path": "/spec/initContainers/0", "value": {"name": "first", "image": "i"}},
        {"op": "add", "path": "/spec/containers/0", "value": {"name": "other", "image": "o"}},
        {"op": "add", "path": "/spec/containers/1/volumeMounts/-", "value": {"name": "x", "mountPath": "/x"}},
        {"op": "add", "path": "/spec/volumes/0", "value": {"name": "x", "emptyDir": {}}}
    ]"#;
    let others: Vec<Value> = serde_json::from_str(others).expect("JSON");
    for other in &others {
        let step = Operation::Add {
            path: other["path"].as_str().expect("a path").to_owned(),
            value: Tree::of(&other["value"]).expect("a value"),
        };
        step.apply(&mut with).expect("it fits");
    }
    let without = patched(&with, &uninject(&with).expect("a gate"));
    let text = serde_json::to_string(&without).expect("JSON");
    assert!(
        !text.contains("hookgate-run") && !text.contains("\"hookgate\""),
        "{text}"
    );
    for name in ["first", "other"] {
        assert!(text.contains(&format!("\"name\":\"{name}\"")), "{text}");
    }
    assert_eq!(text.matches("\"name\":\"x\"").count(), 2, "{text}");
}

#[test]
fn what_comes_out_is_good_for_every_supported_version_and_for_the_restricted_profile() {
    let cases = Case::all()
        .into_iter()
        .filter(|case| !case.steps().is_empty());
    // A pod's own resources came with 1.32.
    let (newer, older): (Vec<_>, Vec<_>) = cases
        .map(|case| {
            let pod = patched(&case.pod, &case.steps());
            (case.name, pod)
        })
        .partition(|(name, _)| name == "pod-level-resources");
    judge::accepts(&older);
    judge::validates(&newer, &["1.32", "1.34", "1.37"]);
}
