//! The Kustomize component beside `hookgate inject`: both make the same of an app.

use std::process::Command;

use serde_json::Value;

use crate::manifests::{errors, kustomize, read, there_is_kubectl};
use crate::objects::{self, objects, text};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

/// An app that has most of what a gate comes near to, and one that has nothing.
const APPS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: plain
  labels: {hookgate.dev/inject: "true"}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain}}
    spec: {containers: [{name: app, image: "app:1"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: full
  labels: {hookgate.dev/inject: "true", other: label}
spec:
  serviceName: full
  selector: {matchLabels: {app: full}}
  template:
    metadata: {labels: {app: full}, annotations: {a: b}}
    spec:
      securityContext: {runAsUser: 65532, fsGroup: 65532}
      terminationGracePeriodSeconds: 60
      initContainers: [{name: first, image: "first:1", volumeMounts: [{name: data, mountPath: /data}]}]
      containers:
      - name: app
        image: app:1
        ports: [{containerPort: 3000, name: http}]
        env: [{name: A, value: b}]
        volumeMounts: [{name: data, mountPath: /data}]
      - {name: beside, image: "beside:1"}
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: not-asked}
spec:
  selector: {matchLabels: {app: not-asked}}
  template:
    metadata: {labels: {app: not-asked}}
    spec: {containers: [{name: app, image: "app:1"}]}
"#;

/// Kubernetes looks for volumes and mounts by their names, so their order says nothing.
fn by_name(object: &Value) -> Value {
    let mut object = object.clone();
    let spec = &mut object["spec"]["template"]["spec"];
    let sort = |list: &mut Value| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(|one| text(one, "/name").to_owned());
        }
    };
    sort(&mut spec["volumes"]);
    for containers in ["initContainers", "containers"] {
        for container in spec[containers].as_array_mut().into_iter().flatten() {
            sort(&mut container["volumeMounts"]);
        }
    }
    object
}

#[test]
fn the_component_adds_what_inject_adds() {
    if !there_is_kubectl() {
        return;
    }
    // Kustomize goes from folder to folder, not from root to root.
    let place = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        ("apps.yaml", APPS.to_owned()),
        ("gate.yaml", read("kubernetes/component/gate.yaml")),
        (
            "component.yaml",
            read("kubernetes/component/kustomization.yaml"),
        ),
        (
            "kustomization.yaml",
            "resources: [apps.yaml]\ncomponents: [component]\n".to_owned(),
        ),
    ] {
        let folder = place.path().join("component");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = match name {
            "component.yaml" => folder.join("kustomization.yaml"),
            "gate.yaml" => folder.join(name),
            _ => place.path().join(name),
        };
        std::fs::write(path, text).expect("a file");
    }
    let with_component = objects(&kustomize(place.path()));
    objects::are_accepted(&with_component, &[]);

    let apps = place.path().join("apps.yaml");
    let output = Command::new(PROGRAM)
        .env_clear()
        .args(["inject", "--set=config=hookgate", "--set=secrets=hookgate"])
        .arg(format!("--filename={}", apps.display()))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", errors(&output));
    let injected = objects(&String::from_utf8(output.stdout).expect("text"));

    let mut seen = 0;
    for (title, component) in &with_component {
        let asked = APPS_WITHOUT_LABEL != title;
        let (_, inject) = injected
            .iter()
            .find(|(name, _)| name == title)
            .expect("the same");
        let mut inject = objects::value(inject);
        let metadata = &mut inject["spec"]["template"]["metadata"];
        let annotations = metadata["annotations"]
            .as_object_mut()
            .expect("annotations");
        // The notes of `--uninject`, which a component needs none of: it is left out.
        assert!(annotations.remove("hookgate.dev/status").is_some());
        if annotations.is_empty() {
            metadata
                .as_object_mut()
                .expect("metadata")
                .remove("annotations");
        }
        let component = objects::value(component);
        if asked {
            assert_eq!(by_name(&component), by_name(&inject), "{title}");
            seen += 1;
        } else {
            assert!(!component.to_string().contains("hookgate"), "{component}");
        }
    }
    assert_eq!((seen, with_component.len()), (2, 3));
}

const APPS_WITHOUT_LABEL: &str = "Deployment not-asked";
