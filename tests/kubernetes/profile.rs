//! The restricted Pod Security profile, for every container of a pod.

use serde_json::{Value, json};

use crate::objects::{containers, list};

/// What the restricted profile (kubernetes.io/docs/concepts/security/pod-security-standards/) and we have against the
/// containers of a pod.
pub(crate) fn unrestricted(spec: &Value) -> Vec<String> {
    const VOLUMES: [&str; 8] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let mut faults = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            faults.push(field.to_owned());
        }
    }
    for volume in list(spec, "/volumes") {
        let kinds = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| &**key);
        for kind in kinds.filter(|key| *key != "name" && !VOLUMES.contains(key)) {
            faults.push(format!("a volume of the kind {kind}"));
        }
    }
    for container in containers(spec) {
        let found = unrestricted_container(spec, container).into_iter();
        faults.extend(found.map(|fault| format!("{}: {fault}", container["name"])));
    }
    if containers(spec).count() == 0 {
        faults.push("there is no container".to_owned());
    }
    faults
}

fn unrestricted_container(spec: &Value, container: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    // What the container does not say, its pod does.
    let of = |field: &str| {
        let own = &container["securityContext"][field];
        if own.is_null() {
            &spec["securityContext"][field]
        } else {
            own
        }
    };
    for (field, wanted) in [
        ("allowPrivilegeEscalation", json!(false)),
        ("readOnlyRootFilesystem", json!(true)),
        ("capabilities", json!({"drop": ["ALL"]})),
    ] {
        if container["securityContext"][field] != wanted {
            faults.push(format!(
                "{field} is {}",
                container["securityContext"][field]
            ));
        }
    }
    for (field, wanted) in [
        ("runAsNonRoot", json!(true)),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        if *of(field) != wanted {
            faults.push(format!("{field} is {}", of(field)));
        }
    }
    if of("runAsUser").as_i64().is_none_or(|user| user < 1) {
        faults.push("it may be root".to_owned());
    }
    if container["securityContext"]["privileged"] == true {
        faults.push("it is privileged".to_owned());
    }
    if list(container, "/ports")
        .iter()
        .any(|port| !port["hostPort"].is_null())
    {
        faults.push("it has a port of the node".to_owned());
    }
    if !container["resources"]["limits"]["memory"].is_string() {
        faults.push("its memory has no limit".to_owned());
    }
    faults
}
