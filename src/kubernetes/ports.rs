//! The ports of a pod, which all its containers share.

use super::plan::containers;
use super::settings::Settings;
use super::skip::{Reason, Skip};
use super::{CONTAINER, Tree};

/// Nothing in the pod has a port of the gate's, as far as it says so, nor the name of one: a Service that goes by a name
/// looks for it in the app's containers first.
pub(super) fn check(pod: &Tree, settings: &Settings) -> Result<(), Skip> {
    let ours = [
        ("listen-port", settings.listen_port),
        ("ops-port", settings.ops_port),
        ("admin-port", settings.admin_port),
    ];
    for container in containers(pod) {
        let declared = container.get("ports").map(Tree::list).unwrap_or_default();
        if let Some(name) = declared.iter().find_map(name_of_ours) {
            let message = format!(
                "a container has a port called {name}, to which a Service that goes by this name would send unverified webhooks: give it another name"
            );
            return Err(Skip::new(Reason::PortClash, message));
        }
        for number in numbers(container).chain(probed(container)) {
            let clash = ours.iter().find(|(_, ours)| number == i64::from(*ours));
            if let Some((setting, number)) = clash {
                let message = format!(
                    "a container has port {number}: set hookgate.dev/{setting} to another one"
                );
                return Err(Skip::new(Reason::PortClash, message));
            }
        }
    }
    Ok(())
}

fn name_of_ours(port: &Tree) -> Option<&str> {
    let name = port.get("name").and_then(Tree::text)?;
    ["webhooks", "hookgate-ops"].contains(&name).then_some(name)
}

/// What of the pod's gate another container has, too, and the way out: others may add containers after the gate.
/// The admin port is not declared, so nobody can see whether it is free.
pub(super) fn beside_gate(pod: &Tree) -> Option<String> {
    let is_gate = |container: &&Tree| container.name() == Some(CONTAINER);
    let ours: Vec<i64> = containers(pod).filter(is_gate).flat_map(numbers).collect();
    let others = containers(pod).filter(|container| !is_gate(container));
    let clash = |container: &Tree| {
        let declared = container.get("ports").map(Tree::list).unwrap_or_default();
        if let Some(name) = declared.iter().find_map(name_of_ours) {
            return Some(format!(
                "beside its gate a container has a port called {name}, to which a Service that goes by this name sends unverified webhooks: give it another name"
            ));
        }
        let mut theirs = numbers(container).chain(probed(container));
        let number = theirs.find(|number| ours.contains(number))?;
        Some(format!(
            "beside its gate a container has the gate's port {number}, too: set hookgate.dev/listen-port or ops-port"
        ))
    };
    others.filter_map(clash).next()
}

/// The TCP ports that a container declares.
fn numbers(container: &Tree) -> impl Iterator<Item = i64> {
    let declared = container.get("ports").map(Tree::list).unwrap_or_default();
    let declared = declared.iter().filter(|port| {
        matches!(
            port.get("protocol").and_then(Tree::text),
            None | Some("TCP")
        )
    });
    declared.filter_map(|port| port.get("containerPort").and_then(Tree::int))
}

/// Ports that a container has without declaring them, which it need not: its probes and hooks ask there.
fn probed(container: &Tree) -> impl Iterator<Item = i64> {
    let askers = [
        &["startupProbe"][..],
        &["readinessProbe"],
        &["livenessProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let askers = askers.into_iter().filter_map(|path| container.at(path));
    askers.flat_map(|asker| {
        let ways = ["httpGet", "tcpSocket", "grpc"].into_iter();
        ways.filter_map(|way| asker.at(&[way, "port"])?.int())
    })
}
