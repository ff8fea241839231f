//! What Kubernetes objects say of each other.

use std::collections::BTreeSet;

use hookgate::kubernetes::{Tree, document};
use serde_json::Value;

use crate::custom::unknown_fields;
use crate::{judge, tree};

/// The objects of a file, with a name for each.
pub(crate) fn objects(yaml: &str) -> Vec<(String, Tree)> {
    let trees = document::documents(yaml).into_iter().map(tree);
    let objects = trees.filter(|tree| *tree != Tree::Null);
    objects.map(|tree| (title(&value(&tree)), tree)).collect()
}

pub(crate) fn value(tree: &Tree) -> Value {
    serde_json::to_value(tree).expect("JSON")
}

pub(crate) fn values(objects: &[(String, Tree)]) -> Vec<Value> {
    objects.iter().map(|(_, tree)| value(tree)).collect()
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let is_one = |object: &&Value| text(object, "/kind") == kind;
    objects.iter().filter(is_one).collect()
}

/// A pod, or a template of pods.
pub(crate) struct Pod<'a> {
    /// What it belongs to.
    pub(crate) owner: &'a Value,
    pub(crate) labels: &'a Value,
    pub(crate) spec: &'a Value,
}

pub(crate) fn title(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), name(object))
}

pub(crate) fn pods(objects: &[Value]) -> Vec<Pod<'_>> {
    let mut pods = Vec::new();
    for object in objects {
        let pod = match text(object, "/kind") {
            "Pod" => object,
            "Deployment" | "StatefulSet" => &object["spec"]["template"],
            _ => continue,
        };
        pods.push(Pod {
            owner: object,
            labels: &pod["metadata"]["labels"],
            spec: &pod["spec"],
        });
    }
    pods
}

pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    let first = list(spec, "/initContainers").iter();
    first.chain(list(spec, "/containers"))
}

/// Every version takes them; of kinds that Kubernetes has not, only fields that their own makers know are there.
pub(crate) fn are_accepted(objects: &[(String, Tree)], versions: &[&str]) {
    let is_own = |tree: &Tree| {
        let group = tree.get("apiVersion").and_then(Tree::text).unwrap_or("");
        !["monitoring.coreos.com/v1", "cert-manager.io/v1"].contains(&group)
    };
    let (own, others): (Vec<_>, Vec<_>) =
        objects.iter().cloned().partition(|(_, tree)| is_own(tree));
    for (title, tree) in &others {
        assert_eq!(
            unknown_fields(&value(tree)),
            Vec::<String>::new(),
            "{title}"
        );
    }
    if let Some(seen) = judge::validates(&own, versions) {
        assert!(seen >= 9 || seen == versions.len(), "1.29 to 1.37");
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().into_iter().flatten();
    let mut wanted = wanted.peekable();
    wanted.peek().is_some() && wanted.all(|(key, value)| labels[key] == *value)
}

/// On a port of this number or name.
fn listens(container: &Value, port: &Value) -> bool {
    let mut ports = list(container, "/ports").iter();
    ports.any(|there| there["name"] == *port || there["containerPort"] == *port)
}

fn has_port(spec: &Value, port: &Value) -> bool {
    containers(spec).any(|container| listens(container, port))
}

/// What points to something that is not there. `from_outside` are Secrets, ConfigMaps and the like that people make.
pub(crate) fn dangling(objects: &[Value], from_outside: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let pods = pods(objects);
    let is_there = |kind: &str, wanted: &str| {
        let mut found = of_kind(objects, kind).into_iter();
        // cert-manager makes a Secret of each Certificate.
        let mut made = of_kind(objects, "Certificate").into_iter();
        found.any(|object| name(object) == wanted)
            || kind == "Secret" && made.any(|object| text(object, "/spec/secretName") == wanted)
            || from_outside.contains(&wanted)
    };
    for pod in &pods {
        let mut fault = |what: String| faults.push(format!("{}: {what}", title(pod.owner)));
        dangling_in_pod(pod, &is_there)
            .into_iter()
            .for_each(&mut fault);
        let selector = pod.owner.pointer("/spec/selector/matchLabels");
        if selector.is_some_and(|selector| !selects(selector, pod.labels)) {
            fault("it does not select its own pods".to_owned());
        }
        for constraint in list(pod.spec, "/topologySpreadConstraints") {
            if !selects(&constraint["labelSelector"]["matchLabels"], pod.labels) {
                fault("it spreads other pods".to_owned());
            }
        }
    }
    for object in objects {
        let found = dangling_in_object(object, &pods, &is_there).into_iter();
        faults.extend(found.map(|fault| format!("{}: {fault}", title(object))));
    }
    faults
}

fn dangling_in_pod(pod: &Pod<'_>, is_there: &dyn Fn(&str, &str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let of_pod = list(pod.spec, "/volumes");
    let claims = list(pod.owner, "/spec/volumeClaimTemplates")
        .iter()
        .map(name);
    let volumes: BTreeSet<&str> = of_pod
        .iter()
        .map(|volume| text(volume, "/name"))
        .chain(claims)
        .collect();
    for volume in of_pod {
        for (kind, pointer) in [
            ("ConfigMap", "/configMap/name"),
            ("Secret", "/secret/secretName"),
            ("PersistentVolumeClaim", "/persistentVolumeClaim/claimName"),
        ] {
            let wanted = text(volume, pointer);
            if !wanted.is_empty() && !is_there(kind, wanted) {
                faults.push(format!("there is no {kind} {wanted}"));
            }
        }
    }
    let account = text(pod.spec, "/serviceAccountName");
    if !account.is_empty() && !is_there("ServiceAccount", account) {
        faults.push(format!("there is no ServiceAccount {account}"));
    }
    for container in containers(pod.spec) {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            if !port.is_null() && !listens(container, port) {
                faults.push(format!("{probe} goes to {port}"));
            }
        }
        for mount in list(container, "/volumeMounts") {
            let volume = text(mount, "/name");
            if !volumes.contains(volume) {
                faults.push(format!("there is no volume {volume}"));
            }
        }
    }
    faults
}

fn dangling_in_object(
    object: &Value,
    pods: &[Pod<'_>],
    is_there: &dyn Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    let chosen = |selector: &Value| -> Vec<&Value> {
        let chosen = pods.iter().filter(|pod| selects(selector, pod.labels));
        chosen.map(|pod| pod.spec).collect()
    };
    match text(object, "/kind") {
        "Service" => {
            let specs = chosen(&object["spec"]["selector"]);
            for port in list(object, "/spec/ports") {
                // By number: before 1.33 a Service does not find the names of a native sidecar's ports.
                let is_met = !specs.is_empty()
                    && port["targetPort"].is_i64()
                    && specs.iter().all(|spec| has_port(spec, &port["targetPort"]));
                if !is_met {
                    faults.push(format!("nobody has the port {}", port["targetPort"]));
                }
            }
        }
        "NetworkPolicy" => {
            let specs = chosen(&object["spec"]["podSelector"]["matchLabels"]);
            for port in list(object, "/spec/ingress")
                .iter()
                .flat_map(|rule| list(rule, "/ports"))
            {
                // By number: see the manifests.
                if !port["port"].is_i64() || !specs.iter().any(|spec| has_port(spec, &port["port"]))
                {
                    faults.push(format!("nobody has the port {}", port["port"]));
                }
            }
        }
        "PodDisruptionBudget" if chosen(&object["spec"]["selector"]["matchLabels"]).is_empty() => {
            faults.push("it chooses no pods".to_owned());
        }
        "StatefulSet" if !is_there("Service", text(object, "/spec/serviceName")) => {
            faults.push("its Service is not there".to_owned());
        }
        "MutatingWebhookConfiguration" => {
            for webhook in list(object, "/webhooks") {
                let service = text(webhook, "/clientConfig/service/name");
                if !is_there("Service", service)
                    || webhook["clientConfig"]["service"]["port"] != 443
                {
                    faults.push(format!("it calls {service}"));
                }
            }
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let role = (text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
            let subject = text(object, "/subjects/0/name");
            if !is_there(role.0, role.1) || !is_there("ServiceAccount", subject) {
                faults.push(format!("{role:?} for {subject}"));
            }
        }
        "Certificate" if !is_there("Issuer", text(object, "/spec/issuerRef/name")) => {
            faults.push("its Issuer is not there".to_owned());
        }
        _ => {}
    }
    faults
}

/// Whether the roles of these objects allow something, in one namespace or, with ClusterRoles, in all.
pub(crate) fn allows(objects: &[Value], verb: &str, resource: &str, name: &str) -> bool {
    let roles = of_kind(objects, "Role")
        .into_iter()
        .chain(of_kind(objects, "ClusterRole"));
    let mut rules = roles.flat_map(|role| list(role, "/rules"));
    let has = |rule: &Value, field: &str, wanted: &str| {
        list(rule, field)
            .iter()
            .any(|there| there == wanted || there == "*")
    };
    rules.any(|rule| {
        has(rule, "/verbs", verb)
            && has(rule, "/resources", resource)
            && (rule["resourceNames"].is_null() || has(rule, "/resourceNames", name))
    })
}
