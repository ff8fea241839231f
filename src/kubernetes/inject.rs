//! Adding the gate to a pod: decided and described, not done.

use indexmap::IndexMap;

use super::defaults::Defaults;
use super::draft::Draft;
use super::patch::{Operation, escaped};
use super::plan::Plan;
use super::settings::Upstream;
use super::skip::{Reason, Skip};
use super::status::Status;
use super::{INJECTED, STATUS, Tree, parts};

/// What the cluster can do, and what a pod itself does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The minor version of Kubernetes 1.
    pub minor: u32,
    /// The pod belongs to a Job, which ends with its containers.
    pub is_job: bool,
}

impl Surroundings {
    /// Init containers that go on running: on by default since 1.29 (KEP-753).
    pub(super) const fn has_native_sidecars(self) -> bool {
        self.minor >= 29
    }

    /// A hook that waits without a shell: on by default since 1.30 (KEP-3960). 1.29 takes it away in silence; versions
    /// before that do not know it, and refuse a hook of no kind.
    pub(super) const fn has_sleep(self) -> bool {
        self.minor >= 30
    }
}

/// How a pod gets its gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The steps, in order.
    pub operations: Vec<Operation>,
    /// What its owner should know.
    pub notes: Vec<String>,
}

/// Adds a gate to a pod or pod template. Doing it again changes nothing: the pod then has one.
///
/// # Errors
/// The pod stays as it is; see [`Skip`].
pub fn inject(
    pod: &Tree,
    defaults: &Defaults,
    surroundings: Surroundings,
) -> Result<Injection, Skip> {
    let plan = Plan::of(pod, defaults, surroundings)?;
    let unwritable = |error| {
        Skip::new(
            Reason::Malformed,
            format!("cannot be written as JSON: {error}"),
        )
    };
    let container = parts::container(&plan.settings, &plan.fit()).map_err(unwritable)?;
    let mut work = Work {
        draft: Draft::new(pod),
        made: Vec::new(),
    };
    let volumes = work.add_volumes(&plan)?;
    work.add_container(container, plan.is_native)?;
    work.change_app(&plan)?;
    let sleep = plan.app_sleeps.then_some(plan.settings.drain_seconds);
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        volumes,
        app: plan.app_name,
        mount: plan.makes_socket,
        sleep,
        made: Vec::new(),
    };
    work.mark(status)?;
    Ok(Injection {
        operations: work.draft.operations,
        notes: plan.notes,
    })
}

struct Work {
    draft: Draft,
    /// Lists and maps that were not there.
    made: Vec<String>,
}

impl Work {
    /// Makes a list or a map where there is none, and remembers that under `name`.
    fn ensure(&mut self, path: &str, name: &str, empty: Tree) -> Result<(), Skip> {
        if self.draft.pod.find(path).is_none() {
            self.draft.add(path.to_owned(), empty)?;
            self.made.push(name.to_owned());
        }
        Ok(())
    }

    fn add_volumes(&mut self, plan: &Plan<'_>) -> Result<Vec<String>, Skip> {
        let volumes = parts::volumes(&plan.settings, plan.makes_socket);
        let names = volumes.iter().filter_map(Tree::name).map(str::to_owned);
        let names: Vec<String> = names.collect();
        let there = self
            .draft
            .pod
            .find("/spec/volumes")
            .map(Tree::list)
            .unwrap_or_default();
        let mut there = there.iter().filter_map(Tree::name);
        if let Some(clash) = there.find(|name| names.iter().any(|ours| ours == name)) {
            let message = format!("it has a volume called {clash}: give it another name");
            return Err(Skip::new(Reason::NameClash, message));
        }
        let path = "/spec/volumes";
        self.ensure(path, path, Tree::List(Vec::new()))?;
        for volume in volumes {
            self.draft.add("/spec/volumes/-".to_owned(), volume)?;
        }
        Ok(names)
    }

    /// A native sidecar before all others, so that it is there when they start; a plain container last, so that
    /// the app stays the one that tools take if they are told none.
    fn add_container(&mut self, container: Tree, is_native: bool) -> Result<(), Skip> {
        if !is_native {
            return self.draft.add("/spec/containers/-".to_owned(), container);
        }
        let path = "/spec/initContainers";
        self.ensure(path, path, Tree::List(Vec::new()))?;
        self.draft
            .add("/spec/initContainers/0".to_owned(), container)
    }

    /// The folder of the socket, and a pause before the end, for what the gate still hands over.
    fn change_app(&mut self, plan: &Plan<'_>) -> Result<(), Skip> {
        let app = format!("/spec/containers/{}", plan.app_index);
        if let (true, Upstream::Unix { folder, .. }) = (plan.makes_socket, &plan.settings.upstream)
        {
            let path = format!("{app}/volumeMounts");
            self.ensure(&path, "app/volumeMounts", Tree::List(Vec::new()))?;
            self.draft
                .add(format!("{path}/-"), parts::app_mount(folder))?;
        }
        if plan.app_sleeps {
            let path = format!("{app}/lifecycle");
            self.ensure(&path, "app/lifecycle", Tree::Map(IndexMap::new()))?;
            self.draft
                .add(format!("{path}/preStop"), parts::app_sleep(&plan.settings))?;
        }
        Ok(())
    }

    fn mark(&mut self, status: Status) -> Result<(), Skip> {
        for path in ["/metadata", "/metadata/labels", "/metadata/annotations"] {
            self.ensure(path, path, Tree::Map(IndexMap::new()))?;
        }
        let made = std::mem::take(&mut self.made);
        let label = format!("/metadata/labels/{}", escaped(INJECTED));
        self.draft.add(label, "true".into())?;
        let annotation = format!("/metadata/annotations/{}", escaped(STATUS));
        let status = Status { made, ..status };
        self.draft.add(annotation, Tree::Text(status.to_string()))
    }
}
