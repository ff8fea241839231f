//! Objects that Kubernetes itself does not know: whether their makers know the fields that are used.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::objects::text;

/// Fields of custom resources that are used here, as their API references have them
/// (prometheus-operator.dev/docs/api-reference/api/, cert-manager.io/docs/reference/api-docs/).
const KNOWN: [(&str, &[&str]); 4] = [
    (
        "PodMonitor",
        &[
            "spec.namespaceSelector.any:bool",
            "spec.selector.matchLabels.*:text",
            "spec.podMetricsEndpoints[].port:text",
            "spec.podMetricsEndpoints[].path:text",
            "spec.podMetricsEndpoints[].interval:text",
        ],
    ),
    (
        "PrometheusRule",
        &[
            "spec.groups[].name:text",
            "spec.groups[].rules[].alert:text",
            "spec.groups[].rules[].expr:text",
            "spec.groups[].rules[].for:text",
            "spec.groups[].rules[].labels.*:text",
            "spec.groups[].rules[].annotations.*:text",
        ],
    ),
    ("Issuer", &["spec.selfSigned:{}", "spec.ca.secretName:text"]),
    (
        "Certificate",
        &[
            "spec.isCA:bool",
            "spec.commonName:text",
            "spec.secretName:text",
            "spec.duration:text",
            "spec.renewBefore:text",
            "spec.dnsNames[]:text",
            "spec.usages[]:text",
            "spec.privateKey.algorithm:text",
            "spec.privateKey.size:number",
            "spec.privateKey.rotationPolicy:text",
            "spec.issuerRef.group:text",
            "spec.issuerRef.kind:text",
            "spec.issuerRef.name:text",
        ],
    ),
];

pub(crate) fn unknown_fields(object: &Value) -> Vec<String> {
    let kind = text(object, "/kind");
    let known = KNOWN.iter().find(|(known, _)| *known == kind);
    let Some((_, known)) = known else {
        return vec![format!("the kind {kind} is not known")];
    };
    let mut leaves = BTreeSet::new();
    leaves_of(&object["spec"], "spec", &mut leaves);
    assert!(!leaves.is_empty(), "{kind} without a spec");
    let is_known = |leaf: &String| {
        known.iter().any(|known| {
            let (known, kind) = known.split_once(':').unwrap_or_default();
            let (leaf, leaf_kind) = leaf.split_once(':').unwrap_or_default();
            let is_there = match known.strip_suffix('*') {
                Some(map) => leaf.starts_with(map),
                None => leaf == known,
            };
            is_there && leaf_kind == kind
        })
    };
    leaves.into_iter().filter(|leaf| !is_known(leaf)).collect()
}

fn leaves_of(value: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves_of(value, &format!("{path}.{key}"), leaves);
            }
            return;
        }
        Value::Array(list) => {
            for value in list {
                leaves_of(value, &format!("{path}[]"), leaves);
            }
            return;
        }
        Value::Object(_) => "{}",
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
    };
    leaves.insert(format!("{path}:{kind}"));
}
