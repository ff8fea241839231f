//! `hookgate inject` as people and pipelines use it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hookgate::kubernetes::{Tree, document};
use serde_json::Value;

use crate::{judge, tree};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

/// Everything that can hold a pod, in one file, between things that cannot; each with the settings that it needs.
const EVERY_KIND: &str = include_str!("every-kind.yaml");

/// Exit code, standard output, standard error.
fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(PROGRAM)
        .arg("inject")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("its input");
    // It may refuse its arguments before it reads.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn injected(input: &str) -> String {
    let (code, output, errors) = run(&[], input);
    assert_eq!(code, Some(0), "{errors}");
    output
}

fn trees(text: &str) -> Vec<Tree> {
    let parts = document::documents(text);
    parts
        .into_iter()
        .map(tree)
        .filter(|tree| *tree != Tree::Null)
        .collect()
}

#[test]
fn every_kind_of_workload_gets_a_gate_and_nothing_else_is_touched() {
    let output = injected(EVERY_KIND);
    let parts = document::documents(EVERY_KIND);
    let after = document::documents(&output);
    assert_eq!(parts.len(), after.len());
    let mut with_gate = Vec::new();
    for (before, after) in parts.iter().zip(&after) {
        if before == after {
            continue;
        }
        let tree = tree(after);
        with_gate.push((format!("{:?}", tree.get("kind")), tree));
        let comments: Vec<_> = before
            .lines()
            .take_while(|line| line.starts_with(['#', '-']))
            .collect();
        assert!(after.starts_with(&comments.join("\n")), "{after}");
    }
    // Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, and a List of two.
    assert_eq!(with_gate.len(), 8);
    assert_eq!(output.matches("name: hookgate\n").count(), 9);
    judge::accepts(
        &with_gate
            .into_iter()
            .filter(|(kind, _)| !kind.contains("List"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_second_time_changes_not_one_byte() {
    let once = injected(EVERY_KIND);
    assert_eq!(injected(&once), once);
}

#[test]
fn uninject_gives_back_what_was_there() {
    let (code, output, errors) = run(&["--uninject"], &injected(EVERY_KIND));
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(trees(&output), trees(EVERY_KIND));
    let (_, again, _) = run(&["--uninject"], &output);
    assert_eq!(again, output);
}

#[test]
fn a_file_without_workloads_comes_out_byte_by_byte() {
    let odd = "%YAML 1.2\n---\n# only a comment\n---   # and a mark\nkind:   Service\nspec: {a: 'b'}   # odd\n...\n---\n\n";
    let (code, output, errors) = run(&[], odd);
    assert_eq!((code, &*output), (Some(0), odd));
    assert!(errors.contains("there is no pod"), "{errors}");
}

#[test]
fn text_that_other_readers_of_yaml_would_take_for_something_else_stays_text() {
    let input = "kind: Pod\nmetadata:\n  annotations: {hookgate.dev/config: c, a: 'yes', b: 'on', c: '0755', d: '1e3', e: 'null', f: \"x: y\", g: '12:30:45', h: '~', i: \"l\\nm\\n\", j: '0x1F', k: '1_000', l: 'y'}\nspec:\n  containers: [{name: app, args: ['no', 'off', '=', '-', '? a', '- b', '2001-01-01', '.inf']}]\n  volumes: [{name: v, configMap: {name: c, defaultMode: 0440}}]\n";
    let output = injected(input);
    let (before, after) = (tree(input), tree(&output));
    for pointer in [
        "/metadata/annotations/a",
        "/metadata/annotations/i",
        "/spec/containers/0/args",
    ] {
        assert_eq!(before.find(pointer), after.find(pointer));
    }
    let mode = after.find("/spec/volumes/0/configMap/defaultMode");
    assert_eq!(mode.and_then(Tree::int), Some(0o440));
    let Some(python) = std::env::var_os("HOOKGATE_TEST_PYTHON") else {
        eprintln!("skipped: HOOKGATE_TEST_PYTHON is not set");
        return;
    };
    // PyYAML reads YAML 1.1, as kubectl does.
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let mut child = Command::new(python);
    let child = child
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.spawn().expect("Python runs");
    child
        .stdin
        .take()
        .expect("input")
        .write_all(output.as_bytes())
        .expect("it reads");
    let read = child.wait_with_output().expect("it ends").stdout;
    let read: Tree = serde_json::from_slice(&read).expect("JSON");
    assert_eq!(read, after);
}

#[test]
fn several_files_come_out_as_documents_of_their_own() {
    let place = tempfile::tempdir().expect("a directory");
    let files = ["a.yaml", "b.json", "c.yaml"].map(|name| place.path().join(name));
    let json = serde_json::to_string(&tree(POD)).expect("JSON");
    // No line break at the end, no mark at the beginning; JSON behind a mark and a comment.
    let texts = [
        POD.trim_end().to_owned(),
        json.clone(),
        format!("kind: Service\n---\n# note\n{json}\n"),
    ];
    for (file, text) in files.iter().zip(&texts) {
        std::fs::write(file, text).expect("a file");
    }
    let arguments: Vec<_> = files
        .iter()
        .flat_map(|file| ["--filename", file.to_str().expect("text")])
        .collect();
    let (code, output, errors) = run(&arguments, "");
    assert_eq!(code, Some(0), "{errors}");
    let kinds = trees(&output);
    let kinds: Vec<_> = kinds
        .iter()
        .map(|tree| tree.get("kind").and_then(Tree::text))
        .collect();
    assert_eq!(
        kinds,
        [Some("Pod"), Some("Pod"), Some("Service"), Some("Pod")]
    );
    assert!(output.contains("---\n# note\n{"), "{output}");
    assert_eq!(output.matches("hookgate.dev/injected").count(), 3);
}

#[test]
fn a_broken_manifest_is_named_without_what_stands_in_it() {
    let (code, _, errors) = run(
        &[],
        "kind: Secret\nstringData:\n  password: do-not-show-this\n  bad: [\n",
    );
    assert_eq!(code, Some(2));
    assert!(!errors.contains("do-not-show-this"), "{errors}");
}

#[test]
fn uninject_refuses_what_it_cannot_tell_any_more() {
    let renamed = injected(POD).replace("- name: app\n", "- name: other\n");
    let (code, output, errors) = run(&["--uninject"], &renamed);
    assert_eq!((code, &*output), (Some(1), ""));
    assert!(errors.contains("has another name now"), "{errors}");
    // A mount that somebody added since goes with its volume.
    let shared = injected(POD).replace(
        "    volumeMounts:\n",
        "    volumeMounts:\n    - {name: hookgate-run, mountPath: /second}\n",
    );
    let (code, output, errors) = run(&["--uninject"], &shared);
    assert_eq!(code, Some(0), "{errors}");
    assert!(!output.contains("hookgate-run"), "{output}");
}

#[test]
fn json_stays_json() {
    let input = serde_json::to_string(&tree(POD)).expect("JSON");
    let output = injected(&input);
    let value: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(value["spec"]["initContainers"][0]["name"], "hookgate");
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: app\n  annotations: {hookgate.dev/config: c}\nspec:\n  containers: [{name: app, image: a}]\n";

#[test]
fn a_json_patch_does_what_the_manifest_shows() {
    let (code, patch, errors) = run(&["--output", "json-patch"], POD);
    assert_eq!(code, Some(0), "{errors}");
    let Ok(kubectl) = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
    else {
        eprintln!("skipped: there is no kubectl");
        return;
    };
    assert!(kubectl.status.success());
    let place = tempfile::tempdir().expect("a directory");
    std::fs::write(place.path().join("pod.yaml"), POD).expect("a file");
    std::fs::write(place.path().join("patch.json"), &patch).expect("a file");
    let output = Command::new("kubectl")
        .current_dir(place.path())
        .args(["patch", "--local", "--filename=pod.yaml", "--type=json"])
        .args(["--patch-file=patch.json", "--output=json"])
        .output()
        .expect("kubectl runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let patched: Tree = serde_json::from_slice(&output.stdout).expect("JSON");
    let ours = tree(&injected(POD));
    for pointer in [
        "/spec/initContainers/0/name",
        "/spec/initContainers/0/env",
        "/spec/volumes",
        "/metadata/labels",
        "/metadata/annotations",
        "/spec/containers/0/volumeMounts",
        "/spec/containers/0/lifecycle",
    ] {
        assert!(ours.find(pointer).is_some(), "{pointer}");
        assert_eq!(patched.find(pointer), ours.find(pointer), "{pointer}");
    }
}

#[test]
fn what_cannot_have_a_gate_is_refused_with_the_way_out_and_nothing_is_printed() {
    let clash = POD.replace("image: a", "image: a, ports: [{containerPort: 9602}]");
    let both = format!("{POD}---\n{clash}");
    let (code, output, errors) = run(&[], &both);
    assert_eq!((code, &*output), (Some(1), ""));
    assert!(
        errors.contains("error: pod/app: a container has port 9602: set hookgate.dev/listen-port"),
        "{errors}"
    );
    let (code, output, _) = run(&["--set", "listen-port=8081"], &both);
    assert_eq!(code, Some(0));
    assert_eq!(output.matches("containerPort: 8081").count(), 2);
}

#[test]
fn bad_arguments_and_bad_files_exit_with_2_and_say_what_is_wrong() {
    let place = tempfile::tempdir().expect("a directory");
    let defaults = place.path().join("defaults.toml");
    std::fs::write(
        &defaults,
        "spool-size = \"1Gi\"\n[profiles.a]\nlisten-port = 8081\nnope = 1\n",
    )
    .expect("a file");
    let defaults = defaults.display().to_string();
    let cases: [(&[&str], &str, &str); 8] = [
        (&["--set", "nope=1"], POD, "there is no such setting"),
        (&["--set", "listen-port"], POD, "write SETTING=VALUE"),
        (&["--kube-version", "2"], POD, "such as 1.33"),
        (
            &["--filename", "/does/not/exist"],
            POD,
            "cannot read /does/not/exist",
        ),
        (&["--defaults", &defaults], POD, "there is no setting nope"),
        (&[], "kind: [\n", "document 1 is no YAML"),
        (
            &[],
            "kind: Pod\n---\nkind: {{ .Values.kind }}\n",
            "document 2 is no YAML",
        ),
        (&["--output", "json-patch"], EVERY_KIND, "one by one"),
    ];
    for (arguments, input, message) in cases {
        let (code, output, errors) = run(arguments, input);
        assert_eq!((code, &*output), (Some(2), ""), "{arguments:?} {errors}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
}

#[test]
fn profiles_and_defaults_come_from_a_file() {
    let place = tempfile::tempdir().expect("a directory");
    let defaults = place.path().join("defaults.toml");
    let text = "image = \"registry.example.com/hookgate:1\"\nnative-sidecar = true\n[profiles.small]\nspool-size = \"256Mi\"\nlisten-port = 8081\n";
    std::fs::write(&defaults, text).expect("a file");
    let defaults = defaults.display().to_string();
    let pod = POD.replace(
        "  annotations",
        "  labels: {hookgate.dev/inject: small}\n  annotations",
    );
    let (code, output, errors) = run(&["--defaults", &defaults], &pod);
    assert_eq!(code, Some(0), "{errors}");
    for expected in [
        "sizeLimit: 256Mi",
        "containerPort: 8081",
        "image: registry.example.com/hookgate:1",
    ] {
        assert!(output.contains(expected), "{output}");
    }
}

#[test]
fn the_help_lists_every_setting() {
    let (code, help, _) = run(&["--help"], "");
    assert_eq!(code, Some(0));
    for setting in hookgate::kubernetes::settings::SETTINGS {
        assert!(
            help.contains(&format!("\n  {} ", setting.name)),
            "{}",
            setting.name
        );
    }
}
