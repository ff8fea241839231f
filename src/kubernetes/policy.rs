//! Injection by the API server itself: a MutatingAdmissionPolicy that does what [`inject`](super::inject::inject) does,
//! without a webhook (Kubernetes 1.34 behind a feature gate, 1.36 for everybody; KEP-3962).
//!
//! Its steps are JSON patches, because apply configurations may not touch lists such as a container's arguments. Typed
//! objects may stand in the patch only, not in variables, and conditions see no variables.
//!
//! An expression cannot do all that a program can: a policy takes the first container for the app, and of a pod's own
//! settings it knows three at most, written plainly. A pod that sets another one, or takes one away by an empty value, is
//! left alone, and a second policy, which only warns, says so. `scripts/evaluate-policy` compares the rest with `inject`.

use super::cel::{render, text};
use super::conditions::{Condition, annotation, conditions, has_gate, is_at_folder};
use super::parts::{self, Fit, RUN_VOLUME};
use super::settings::{Given, Settings, Spool, Upstream};
use super::skip::{Reason, Skip};
use super::{INJECT, INJECTED, NAMESPACE, Tree};

/// What all objects are called.
const NAME: &str = "hookgate-inject.hookgate.dev";

/// The pod's controller is a Job.
const IS_JOB: &str = "object.spec.?restartPolicy.orValue(\"Always\") != \"Always\" || has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, o.kind == \"Job\" && has(o.controller) && o.controller)";

/// The policies and their bindings, as a YAML file.
///
/// # Errors
/// The settings are not enough, or more than a policy can do; or Kubernetes is too old.
pub fn policy(given: &Given, minor: u32) -> Result<String, Skip> {
    let version = match minor {
        0..34 => {
            let message = format!(
                "Kubernetes 1.{minor} has no such policies: they came with 1.34 (`hookgate injector` works with every version)"
            );
            return Err(Skip::new(Reason::BadSetting, message));
        }
        34 | 35 => "v1beta1",
        _ => "v1",
    };
    let settings = Settings::read(given)?;
    check(&settings)?;
    let conditions = conditions(&settings);
    let mutation = mutation(&settings)?;
    let mut yaml = format!(
        "# Made by `hookgate kubernetes policy` {} for Kubernetes 1.{minor}.\n# Pods ask by the label {INJECT}=\"true\" in namespaces with the label {NAMESPACE}=enabled.\n",
        env!("CARGO_PKG_VERSION")
    );
    yaml.push_str(&format!("apiVersion: admissionregistration.k8s.io/{version}\nkind: MutatingAdmissionPolicy\nmetadata:\n  name: {NAME}\nspec:\n"));
    yaml.push_str("  # A pod without a gate gets no webhooks; a pod that cannot start serves nobody.\n  failurePolicy: Ignore\n  reinvocationPolicy: IfNeeded\n");
    yaml.push_str(&constraints());
    yaml.push_str("  matchConditions:\n");
    yaml.push_str(&format!(
        "  - name: not-yet-injected\n{}",
        folded(4, "expression", &format!("!({})", has_gate()))
    ));
    for condition in &conditions {
        yaml.push_str(&format!("  - name: {}\n", condition.name));
        yaml.push_str(&folded(4, "expression", &condition.expression));
    }
    yaml.push_str("  variables:\n");
    for (name, expression) in variables(&settings) {
        yaml.push_str(&format!(
            "  - name: {name}\n{}",
            folded(4, "expression", &expression)
        ));
    }
    yaml.push_str("  mutations:\n  - patchType: JSONPatch\n    jsonPatch:\n");
    yaml.push_str(&folded(6, "expression", &mutation));
    yaml.push_str(&binding(
        version,
        "MutatingAdmissionPolicyBinding",
        NAME,
        "",
    ));
    yaml.push_str(&warnings(&conditions));
    Ok(yaml)
}

fn check(settings: &Settings) -> Result<(), Skip> {
    let refuse = |message: &str| Err(Skip::new(Reason::BadSetting, message));
    if !settings.sources.is_empty() && settings.secrets.is_none() {
        return refuse("sources needs secrets: a Secret with a key for each source");
    }
    if settings.sources.is_empty() && settings.config.is_none() {
        return refuse(
            "set config, or sources and secrets: those of every pod that does not name others",
        );
    }
    if settings.native_sidecar == Some(false) {
        return refuse(
            "native-sidecar is false: a policy adds native sidecars, which every version that has policies can do",
        );
    }
    if settings.app_container.is_some() {
        return refuse(
            "app-container: a policy takes the first container for the app (`hookgate injector` takes the one you name)",
        );
    }
    if let Spool::Claim(_) = settings.spool {
        return refuse(
            "spool: pods that a policy injects cannot share one claim; set it in their manifests with `hookgate inject`",
        );
    }
    Ok(())
}

fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    let port = annotation("listen-port", &settings.listen_port.to_string());
    let mut variables = vec![("port", format!("int({port})"))];
    if let Some(config) = &settings.config {
        variables.push(("config", annotation("config", config)));
    }
    if let Some(secrets) = &settings.secrets {
        variables.push(("secrets", annotation("secrets", secrets)));
    }
    let user_of = |path: &str| format!("{path}.?securityContext.?runAsUser");
    match settings.run_as_user {
        Some(user) => variables.push(("user", user.to_string())),
        None => {
            // What the app says goes before what the pod says, root too.
            let (app, pod) = (user_of("object.spec.containers[0]"), user_of("object.spec"));
            let named = "variables.namedUser";
            variables.push(("namedUser", format!("{app}.or({pod}).orValue(0)")));
            let user = format!("{named} > 0 ? {named} : {}", parts::USER);
            variables.push(("user", user));
        }
    }
    if let Upstream::Unix { folder, .. } = &settings.upstream {
        // What the app has at the socket's folder already; the gate then mounts the same.
        let app = "object.spec.containers[0].volumeMounts";
        let at_folder = is_at_folder("m", folder);
        let mounts = format!("has({app}) ? {app}.filter(m, {at_folder}) : []");
        variables.push(("socketMounts", mounts));
        let volume = format!(
            "size(variables.socketMounts) > 0 ? variables.socketMounts[0].name : {}",
            text(RUN_VOLUME)
        );
        variables.push(("socketVolume", volume));
    }
    variables
}

/// The steps as one expression.
fn mutation(settings: &Settings) -> Result<String, Skip> {
    let is_unix = matches!(settings.upstream, Upstream::Unix { .. });
    let add = |path: &str, value: String| {
        format!(
            "[JSONPatch{{op: \"add\", path: {}, value: {value}}}]",
            text(path)
        )
    };
    let ensure = |field: &str, path: &str, empty: &str| {
        format!("(has({field}) ? [] : {})", add(path, empty.to_owned()))
    };
    let unless = |condition: &str, step: String| format!("({condition} ? [] : {step})");
    let has_socket = "size(variables.socketMounts) > 0";
    let mut steps = vec![ensure("object.spec.volumes", "/spec/volumes", "[]")];
    for mut volume in parts::volumes(settings, is_unix) {
        for (pointer, variable) in [
            ("/configMap/name", "variables.config"),
            ("/secret/secretName", "variables.secrets"),
        ] {
            raw(&mut volume, pointer, variable);
        }
        let step = add("/spec/volumes/-", render(&volume, "Object.spec.volumes"));
        steps.push(match volume.name() {
            Some(RUN_VOLUME) => unless(has_socket, step),
            Some(_) | None => step,
        });
    }
    steps.push(ensure(
        "object.spec.initContainers",
        "/spec/initContainers",
        "[]",
    ));
    let container = container(settings, is_unix)?;
    steps.push(add(
        "/spec/initContainers/0",
        render(&container, "Object.spec.initContainers"),
    ));
    let app = "object.spec.containers[0]";
    if let Upstream::Unix { folder, .. } = &settings.upstream {
        let path = "/spec/containers/0/volumeMounts";
        // Where something is there, there is a list.
        steps.push(ensure(&format!("{app}.volumeMounts"), path, "[]"));
        let mount = render(
            &parts::app_mount(folder),
            "Object.spec.containers.volumeMounts",
        );
        steps.push(unless(has_socket, add(&format!("{path}/-"), mount)));
    }
    let path = "/spec/containers/0/lifecycle";
    let hook = render(
        &parts::app_sleep(settings),
        "Object.spec.containers.lifecycle.preStop",
    );
    let lifecycle = format!("Object.spec.containers.lifecycle{{preStop: {hook}}}");
    let add_hook = unless(
        &format!("has({app}.lifecycle.preStop)"),
        add(&format!("{path}/preStop"), hook),
    );
    // A Job's app ends when it is done, and waits for nothing.
    let sleep = format!(
        "(has({app}.lifecycle) ? {add_hook} : {})",
        add(path, lifecycle)
    );
    steps.push(unless(IS_JOB, sleep));
    // The selector asks for a label, so there are labels.
    steps.push(add(
        &format!("/metadata/labels/{}", super::patch::escaped(INJECTED)),
        text("true"),
    ));
    Ok(steps.join(" +\n"))
}

fn container(settings: &Settings, is_unix: bool) -> Result<Tree, Skip> {
    let fit = Fit {
        is_native: true,
        shares_resources: false,
        user: parts::USER,
        socket_volume: is_unix.then_some(RUN_VOLUME),
    };
    let unwritable = |error| {
        Skip::new(
            Reason::Malformed,
            format!("cannot be written as JSON: {error}"),
        )
    };
    let mut container = parts::container(settings, &fit).map_err(unwritable)?;
    raw(&mut container, "/ports/0/containerPort", "variables.port");
    if is_unix {
        raw(
            &mut container,
            "/volumeMounts/0/name",
            "variables.socketVolume",
        );
    }
    raw(
        &mut container,
        "/securityContext/runAsUser",
        "variables.user",
    );
    let variables = container.get("env").map(Tree::list).unwrap_or_default();
    let listen = variables
        .iter()
        .position(|one| one.name() == Some("HOOKGATE__SERVER__LISTEN"));
    let address = format!(
        "{} + string(variables.port)",
        text(&format!("{}:", settings.listen_host))
    );
    raw(
        &mut container,
        &format!("/env/{}/value", listen.unwrap_or_default()),
        &address,
    );
    Ok(container)
}

/// Puts an expression in the place of a value, if there is one.
fn raw(tree: &mut Tree, pointer: &str, expression: &str) {
    if tree.find(pointer).is_some() {
        let step = super::Operation::Add {
            path: pointer.to_owned(),
            value: super::cel::raw(expression),
        };
        // There is a value, so there is a place.
        let _ = step.apply(tree);
    }
}

/// Which pods are looked at.
fn constraints() -> String {
    format!(
        "  matchConstraints:\n    matchPolicy: Equivalent\n    objectSelector:\n      matchLabels:\n        {INJECT}: \"true\"\n    resourceRules:\n    - apiGroups: [\"\"]\n      apiVersions: [v1]\n      operations: [CREATE]\n      resources: [pods]\n      scope: Namespaced\n"
    )
}

fn binding(version: &str, kind: &str, policy: &str, actions: &str) -> String {
    format!(
        "---\n# Without a binding a policy does nothing.\napiVersion: admissionregistration.k8s.io/{version}\nkind: {kind}\nmetadata:\n  name: {policy}\nspec:\n  policyName: {policy}\n{actions}  matchResources:\n    namespaceSelector:\n      matchExpressions:\n      - key: {NAMESPACE}\n        operator: In\n        values: [enabled]\n      - key: kubernetes.io/metadata.name\n        operator: NotIn\n        values: [kube-system, kube-public, kube-node-lease]\n"
    )
}

/// The policy that says why a pod that asked for a gate has none; it stands in nobody's way.
fn warnings(conditions: &[Condition]) -> String {
    let name = NAME.replace("inject", "warn");
    let mut yaml = format!(
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: {name}\nspec:\n  failurePolicy: Ignore\n{}",
        constraints()
    );
    yaml.push_str("  matchConditions:\n  - name: without-a-gate\n");
    yaml.push_str(&folded(4, "expression", &format!("!({})", has_gate())));
    yaml.push_str("  validations:\n");
    for condition in conditions {
        let message = text(&format!("hookgate: not injected: {}", condition.message));
        yaml.push_str(&format!("  - message: {message}\n"));
        yaml.push_str(&folded(4, "expression", &condition.expression));
    }
    let message = text("hookgate: this pod starts without a gate, and gets no webhooks");
    yaml.push_str(&format!(
        "  - message: {message}\n    expression: \"false\"\n"
    ));
    yaml.push_str(&binding(
        "v1",
        "ValidatingAdmissionPolicyBinding",
        &name,
        "  validationActions: [Warn, Audit]\n",
    ));
    yaml
}

/// A key whose value is a text over several lines, which YAML folds into one.
fn folded(indent: usize, key: &str, value: &str) -> String {
    let space = " ".repeat(indent);
    let lines = value.lines().map(|line| format!("{space}  {line}\n"));
    format!("{space}{key}: >-\n{}", lines.collect::<String>())
}
