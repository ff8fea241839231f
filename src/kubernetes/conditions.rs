//! What has to hold for a pod to get a gate from a policy: [`Plan`](super::plan::Plan) in the Common Expression Language.
//!
//! Kubernetes evaluates all of them, in any order: one that does not hold decides, whatever error another one meets.

use super::cel::text;
use super::parts::{self, RUN_VOLUME};
use super::settings::{PREFIX, Settings, Spool, Upstream};
use super::{CONTAINER, INJECT, INJECTED, Tree};

/// Something that has to hold for a pod to get a gate.
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) expression: String,
    /// What a person reads if it does not.
    pub(super) message: String,
}

/// The annotation of a pod without spaces around it, or else what holds for all.
pub(super) fn annotation(name: &str, default: &str) -> String {
    let key = text(&format!("{PREFIX}{name}"));
    format!(
        "object.metadata.?annotations[{key}].orValue({}).trim()",
        text(default)
    )
}

/// Settings that a pod may have: names in the place of those that all have.
fn known(settings: &Settings) -> Vec<&'static str> {
    let mut known = vec!["listen-port"];
    known.extend(settings.config.is_some().then_some("config"));
    known.extend(settings.secrets.is_some().then_some("secrets"));
    known
}

pub(super) fn has_gate() -> String {
    let named = |list: &str| format!("{list}.exists(c, c.name == {})", text(CONTAINER));
    format!(
        "{} in object.metadata.labels || {} || has(object.spec.initContainers) && {}",
        text(INJECTED),
        named("object.spec.containers"),
        named("object.spec.initContainers")
    )
}

/// For every container of both lists.
fn no_container(condition: &str) -> String {
    format!(
        "!object.spec.containers.exists(c, {condition}) && !(has(object.spec.initContainers) && object.spec.initContainers.exists(c, {condition}))"
    )
}

/// Whether the mount called `mount` is at the folder, with whatever slashes at its end.
pub(super) fn is_at_folder(mount: &str, folder: &str) -> String {
    format!(
        "{mount}.mountPath.startsWith({}) && {mount}.mountPath.substring({}).replace(\"/\", \"\") == \"\"",
        text(folder),
        folder.len()
    )
}

const fn condition(name: &'static str, expression: String, message: String) -> Condition {
    Condition {
        name,
        expression,
        message,
    }
}

/// Where a pod runs, and as what.
fn places() -> [Condition; 4] {
    [
        condition(
            "own-network",
            "!(has(object.spec.hostNetwork) && object.spec.hostNetwork)".to_owned(),
            "spec.hostNetwork: the gate's ports would be the node's".to_owned(),
        ),
        condition(
            "own-resources",
            "!has(object.spec.resources)".to_owned(),
            "spec.resources: what the gate asks for might not fit into the pod's; `hookgate inject` can do it".to_owned(),
        ),
        condition(
            "not-static",
            "!has(object.metadata.annotations) || !(\"kubernetes.io/config.mirror\" in object.metadata.annotations)".to_owned(),
            "a node made it, and its manifest is on that node".to_owned(),
        ),
        condition(
            "linux",
            "!(has(object.spec.os) && object.spec.os.name == \"windows\") && !(has(object.spec.nodeSelector) && \"kubernetes.io/os\" in object.spec.nodeSelector && object.spec.nodeSelector[\"kubernetes.io/os\"] == \"windows\")".to_owned(),
            "there is no image for Windows".to_owned(),
        ),
    ]
}

pub(super) fn conditions(settings: &Settings) -> Vec<Condition> {
    let known = known(settings);
    let drain = settings.drain_seconds;
    let mut conditions = Vec::from(places());
    conditions.extend([
        condition(
            "known-settings",
            known_settings(&known),
            format!("it has an annotation {PREFIX}* that the policy cannot follow; it knows {}", known.join(", ")),
        ),
        condition(
            "good-port",
            good_port(settings),
            format!("{PREFIX}listen-port is no port from 1024 to 65535, or another one of the gate or the app"),
        ),
        condition(
            "good-names",
            good_names(settings),
            format!("{PREFIX}config or {PREFIX}secrets is no name of an object"),
        ),
        condition(
            "free-ports",
            free_ports(settings),
            "a container has a port, or the name of a port, that the gate needs, or is probed at one".to_owned(),
        ),
        condition(
            "free-names",
            free_names(settings),
            "it has a volume with a name that the gate's volumes have".to_owned(),
        ),
        condition(
            "time-to-drain",
            format!("(has(object.spec.terminationGracePeriodSeconds) ? object.spec.terminationGracePeriodSeconds : 30) > {drain}"),
            format!("draining takes {drain} seconds: raise spec.terminationGracePeriodSeconds"),
        ),
    ]);
    if settings.spool != Spool::EmptyDir {
        conditions.push(condition(
            "writable-volume",
            "has(object.spec.securityContext) && has(object.spec.securityContext.fsGroup)"
                .to_owned(),
            "the gate could not write to its volume: set spec.securityContext.fsGroup".to_owned(),
        ));
    }
    if let Upstream::Unix { folder, .. } = &settings.upstream {
        let is_part = format!(
            "{} && (has(m.subPath) || has(m.subPathExpr))",
            is_at_folder("m", folder)
        );
        conditions.push(condition(
            "whole-folder",
            format!("!({})", app_mounts(&is_part)),
            "the app mounts a part of a volume at the folder of the socket".to_owned(),
        ));
    }
    conditions
}

/// Whether one of the app's mounts, called `m`, is like that.
fn app_mounts(condition: &str) -> String {
    let app = "object.spec.containers[0].volumeMounts";
    format!("has({app}) && {app}.exists(m, {condition})")
}

fn known_settings(known: &[&str]) -> String {
    let settings = known.iter().map(|name| text(&format!("{PREFIX}{name}")));
    // `Settings::of` passes over this one, and over a status, which a policy could not bring up to date.
    let keys = settings.chain([text(INJECT)]);
    format!(
        "!has(object.metadata.annotations) || object.metadata.annotations.all(k, !k.startsWith({}) || k in [{}])",
        text(PREFIX),
        keys.collect::<Vec<_>>().join(", ")
    )
}

fn good_port(settings: &Settings) -> String {
    let port = annotation("listen-port", &settings.listen_port.to_string());
    let mut others = vec![settings.ops_port, settings.admin_port];
    if let Upstream::Tcp { port, .. } = settings.upstream {
        others.push(port);
    }
    format!(
        "{port}.matches(\"^[1-9][0-9]{{3,4}}$\") && int({port}) >= 1024 && int({port}) <= 65535 && !(int({port}) in {others:?})"
    )
}

fn free_ports(settings: &Settings) -> String {
    let port = annotation("listen-port", &settings.listen_port.to_string());
    let (ops, admin) = (settings.ops_port, settings.admin_port);
    // As text, because an annotation may be no number.
    let numbers = format!("[{port}, \"{ops}\", \"{admin}\"]");
    let probed = probed().join(", ");
    no_container(&format!(
        "has(c.ports) && c.ports.exists(p, has(p.name) && p.name in [\"webhooks\", \"hookgate-ops\"] || (!has(p.protocol) || p.protocol == \"TCP\") && string(p.containerPort) in {numbers}) || [{probed}].exists(n, n in {numbers})"
    ))
}

/// The ports at which a container's probes and hooks ask, as text: some are numbers or names. "0" where there is none.
fn probed() -> Vec<String> {
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"];
    let hooks = ["lifecycle.?postStart", "lifecycle.?preStop"];
    let ways = ["httpGet", "tcpSocket"];
    let http = probes
        .iter()
        .chain(&hooks)
        .flat_map(|asker| ways.map(|way| (*asker, way)));
    // Hooks know no gRPC.
    let grpc = probes.iter().map(|probe| (*probe, "grpc"));
    let ports = http.chain(grpc);
    let ports = ports.map(|(asker, way)| format!("string(c.?{asker}.?{way}.?port.orValue(0))"));
    ports.collect()
}

/// RFC 1123; what is no name would make the whole pod invalid.
fn good_names(settings: &Settings) -> String {
    let names = [("config", &settings.config), ("secrets", &settings.secrets)];
    let names = names.into_iter().filter_map(|(name, default)| {
        let name = annotation(name, default.as_deref()?);
        Some(format!(
            "{name}.matches(\"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$\") && size({name}) <= 253"
        ))
    });
    let names: Vec<_> = names.collect();
    match names.is_empty() {
        true => "true".to_owned(),
        false => names.join(" && "),
    }
}

/// The volume of the socket is added only where the app has none in its place.
fn free_names(settings: &Settings) -> String {
    let volumes = parts::volumes(settings, false);
    let names: Vec<_> = volumes.iter().filter_map(Tree::name).map(text).collect();
    let mut taken = format!("v.name in [{}]", names.join(", "));
    if let Upstream::Unix { folder, .. } = &settings.upstream {
        let has_folder = app_mounts(&is_at_folder("m", folder));
        taken.push_str(&format!(
            " || v.name == {} && !({has_folder})",
            text(RUN_VOLUME)
        ));
    }
    format!("!has(object.spec.volumes) || !object.spec.volumes.exists(v, {taken})")
}
