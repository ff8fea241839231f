//! Taking a gate out of a pod again.

use super::draft::Draft;
use super::patch::{Operation, escaped};
use super::skip::{Reason, Skip};
use super::status::Status;
use super::{CONTAINER, INJECTED, STATUS, Tree};

/// The steps that give back what the pod was before [`inject`](super::inject::inject). What others have changed
/// since stays.
///
/// # Errors
/// Nobody added a gate to it, or it does not say any more what was added; see [`Skip`].
pub fn uninject(pod: &Tree) -> Result<Vec<Operation>, Skip> {
    let status = pod.at(&["metadata", "annotations", STATUS]);
    let Some(status) = status.and_then(Tree::text) else {
        let message = format!("it has no annotation {STATUS}, so it is not known what was added");
        return Err(Skip::new(Reason::NotInjected, message));
    };
    let status: Status = serde_json::from_str(status).map_err(|error| {
        let message = format!("its annotation {STATUS} cannot be read: {error}");
        Skip::new(Reason::Malformed, message)
    })?;
    let mut removal = Removal {
        draft: Draft::new(pod),
    };
    for list in ["/spec/initContainers", "/spec/containers"] {
        removal.elements(list, |element| element.name() == Some(CONTAINER))?;
    }
    removal.containers(&status)?;
    removal.elements("/spec/volumes", |element| {
        element
            .name()
            .is_some_and(|name| status.volumes.iter().any(|volume| volume == name))
    })?;
    removal.member("/metadata/labels", INJECTED)?;
    removal.member("/metadata/annotations", STATUS)?;
    for pointer in status
        .made
        .iter()
        .rev()
        .filter(|pointer| pointer.starts_with('/'))
    {
        removal.if_empty(pointer)?;
    }
    Ok(removal.draft.operations)
}

struct Removal {
    draft: Draft,
}

impl Removal {
    fn member(&mut self, map: &str, key: &str) -> Result<(), Skip> {
        match self.draft.pod.find(map).and_then(|map| map.get(key)) {
            Some(_) => self.draft.remove(format!("{map}/{}", escaped(key))),
            None => Ok(()),
        }
    }

    /// Takes elements out of a list, from its end, so that the indices before stay what they are.
    fn elements(&mut self, list: &str, is_ours: impl Fn(&Tree) -> bool) -> Result<(), Skip> {
        let elements = self
            .draft
            .pod
            .find(list)
            .map(Tree::list)
            .unwrap_or_default();
        let ours = elements
            .iter()
            .enumerate()
            .filter(|(_, element)| is_ours(element));
        let ours: Vec<usize> = ours.map(|(index, _)| index).collect();
        for index in ours.into_iter().rev() {
            self.draft.remove(format!("{list}/{index}"))?;
        }
        Ok(())
    }

    fn if_empty(&mut self, pointer: &str) -> Result<(), Skip> {
        let is_empty = match self.draft.pod.find(pointer) {
            Some(Tree::List(list)) => list.is_empty(),
            Some(Tree::Map(map)) => map.is_empty(),
            _ => false,
        };
        if is_empty {
            self.draft.remove(pointer.to_owned())?;
        }
        Ok(())
    }

    /// The pause of the app's container, and what any container mounts of the volumes that go.
    fn containers(&mut self, status: &Status) -> Result<(), Skip> {
        for list in ["/spec/containers", "/spec/initContainers"] {
            let count = self
                .draft
                .pod
                .find(list)
                .map_or(0, |list| list.list().len());
            for index in 0..count {
                let mounts = format!("{list}/{index}/volumeMounts");
                self.elements(&mounts, |mount| {
                    mount
                        .name()
                        .is_some_and(|name| status.volumes.iter().any(|ours| ours == name))
                })?;
            }
        }
        let containers = self
            .draft
            .pod
            .find("/spec/containers")
            .map(Tree::list)
            .unwrap_or_default();
        let app = containers
            .iter()
            .position(|container| container.name() == Some(&status.app));
        let Some(index) = app else {
            let message = format!(
                "the container {} has another name now, so its hook and mounts cannot be told from others: take them out by hand",
                status.app
            );
            return Err(Skip::new(Reason::NoAppContainer, message));
        };
        let path = format!("/spec/containers/{index}");
        let sleep = self
            .draft
            .pod
            .find(&format!("{path}/lifecycle/preStop/sleep/seconds"));
        if status.sleep.is_some() && sleep.and_then(Tree::int) == status.sleep.map(i64::from) {
            self.draft.remove(format!("{path}/lifecycle/preStop"))?;
        }
        for made in ["volumeMounts", "lifecycle"] {
            if status.made.contains(&format!("app/{made}")) {
                self.if_empty(&format!("{path}/{made}"))?;
            }
        }
        Ok(())
    }
}
