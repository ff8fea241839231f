//! What Kubernetes says to an object: the schemas of its versions, strictly, and the restricted Pod Security profile
//! for the gate's container.
//!
//! Needs `HOOKGATE_TEST_PYTHON` with the packages of `tests/interop/requirements.txt`; `scripts/test` sees to that, or
//! says what was skipped.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hookgate::kubernetes::Tree;
use serde_json::{Value, json};

/// Every object is what every version from 1.29 on takes.
pub(crate) fn accepts(objects: &[(String, Tree)]) {
    for (name, object) in objects {
        assert_eq!(unrestricted(object), Vec::<String>::new(), "{name}");
    }
    let Some(versions) = validates(objects, &[]) else {
        return;
    };
    assert!(versions >= 9, "1.29 to 1.37");
}

/// Every object is what these versions take, or all from 1.29 on; the number of versions, unless it was skipped.
pub(crate) fn validates(objects: &[(String, Tree)], versions: &[&str]) -> Option<usize> {
    let Some(python) = std::env::var_os("HOOKGATE_TEST_PYTHON") else {
        eprintln!("skipped: HOOKGATE_TEST_PYTHON is not set");
        return None;
    };
    let lines = objects
        .iter()
        .map(|(name, object)| json!([name, object]).to_string());
    let input = lines.collect::<Vec<_>>().join("\n");
    let mut child = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/kubernetes/judge.py"
        ))
        .args(versions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("a verdict");
    assert_eq!(verdict["faults"], json!([]));
    let versions = verdict["versions"].as_array().map_or(0, Vec::len);
    assert_eq!(verdict["validated"], json!(objects.len() * versions));
    Some(versions)
}

/// What the restricted profile (kubernetes.io/docs/concepts/security/pod-security-standards/) has against the gate's
/// container, wherever in the object it is.
fn unrestricted(object: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    match object {
        Tree::Map(map)
            if map.get("name").and_then(Tree::text) == Some("hookgate")
                && map.contains_key("image") =>
        {
            let wanted = [
                ("allowPrivilegeEscalation", json!(false)),
                ("runAsNonRoot", json!(true)),
                ("readOnlyRootFilesystem", json!(true)),
                ("capabilities", json!({"drop": ["ALL"]})),
                ("seccompProfile", json!({"type": "RuntimeDefault"})),
            ];
            for (field, wanted) in wanted {
                let is = object.at(&["securityContext", field]);
                if is != Tree::of(&wanted).ok().as_ref() {
                    faults.push(format!("{field} is {is:?}"));
                }
            }
            let user = object
                .at(&["securityContext", "runAsUser"])
                .and_then(Tree::int);
            if user.is_none_or(|user| user < 1) {
                faults.push("it may be root".to_owned());
            }
        }
        Tree::Map(map) => faults.extend(map.values().flat_map(unrestricted)),
        Tree::List(list) => faults.extend(list.iter().flat_map(unrestricted)),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
    faults
}
