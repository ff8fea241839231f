//! Whether a pod can have a gate, and which one.

use super::defaults::Defaults;
use super::inject::Surroundings;
use super::settings::{Given, Settings, Spool, Upstream};
use super::skip::{Reason, Skip};
use super::{CONTAINER, INJECT, INJECTED, Tree, parts, ports};

/// On pods that stand for one that a node runs without asking.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What Kubernetes gives a pod to end if it names nothing, in seconds.
const GRACE: i64 = 30;

/// For owners of pods that take their events with them.
const LOST_WITH_THE_POD: &str =
    "events that the app has not taken are lost with the pod: hookgate.dev/spool is emptyDir";

/// What is decided before anything is changed.
pub(super) struct Plan<'a> {
    pub(super) settings: Settings,
    /// Of the app among the containers.
    pub(super) app_index: usize,
    pub(super) app_name: String,
    pub(super) is_native: bool,
    /// The app's container waits before its end.
    pub(super) app_sleeps: bool,
    /// There has to be a volume for the socket.
    pub(super) makes_socket: bool,
    socket_volume: Option<&'a str>,
    user: i64,
    shares_resources: bool,
    pub(super) notes: Vec<String>,
}

impl<'a> Plan<'a> {
    /// All that has to hold, in the order in which a person would want to hear of it.
    pub(super) fn of(
        pod: &'a Tree,
        defaults: &Defaults,
        surroundings: Surroundings,
    ) -> Result<Self, Skip> {
        check_shape(pod)?;
        let given = consent(pod, defaults)?;
        check_place(pod)?;
        let settings = Settings::of(pod, &given)?;
        if settings.sources.is_empty() && settings.config.is_none() {
            return Err(Skip::new(
                Reason::NoSources,
                "set hookgate.dev/sources, such as \"stripe=stripe\" (and hookgate.dev/secrets), or hookgate.dev/config",
            ));
        }
        if !settings.sources.is_empty() && settings.secrets.is_none() {
            let message = "hookgate.dev/sources needs hookgate.dev/secrets: a Secret with a key for each source";
            return Err(Skip::new(Reason::BadSetting, message));
        }
        let (app_index, app) = app_container(pod, &settings)?;
        ports::check(pod, &settings)?;
        check_grace(pod, &settings)?;
        check_volume(pod, &settings)?;
        let surroundings = Surroundings {
            is_job: surroundings.is_job || ends_by_itself(pod),
            ..surroundings
        };
        let is_native = is_native(&settings, surroundings)?;
        let socket_volume = socket_volume(app, &settings)?;
        let is_unix = matches!(settings.upstream, Upstream::Unix { .. });
        let makes_socket = is_unix && socket_volume.is_none();
        let mut notes = Vec::new();
        let user = user(pod, app, &settings, &mut notes);
        if settings.spool == Spool::EmptyDir {
            notes.push(LOST_WITH_THE_POD.to_owned());
        }
        Ok(Self {
            app_index,
            app_name: app.name().unwrap_or_default().to_owned(),
            is_native,
            app_sleeps: surroundings.has_sleep()
                && !surroundings.is_job
                && app.at(&["lifecycle", "preStop"]).is_none(),
            makes_socket,
            socket_volume: socket_volume.or(makes_socket.then_some(parts::RUN_VOLUME)),
            user,
            shares_resources: pod.at(&["spec", "resources"]).is_some(),
            notes,
            settings,
        })
    }

    pub(super) fn fit(&self) -> parts::Fit<'a> {
        parts::Fit {
            is_native: self.is_native,
            shares_resources: self.shares_resources,
            user: self.user,
            socket_volume: self.socket_volume,
        }
    }
}

/// A fresh volume belongs to root, and the gate is somebody else.
fn check_volume(pod: &Tree, settings: &Settings) -> Result<(), Skip> {
    let group = pod.at(&["spec", "securityContext", "fsGroup"]);
    if settings.spool == Spool::EmptyDir || group.is_some() {
        return Ok(());
    }
    let message = "the gate could not write to its volume: set spec.securityContext.fsGroup";
    Err(Skip::new(Reason::NoFsGroup, message))
}

/// Its containers are meant to end, as those of a Job are.
fn ends_by_itself(pod: &Tree) -> bool {
    let policy = pod.at(&["spec", "restartPolicy"]).and_then(Tree::text);
    matches!(policy, Some("Never" | "OnFailure"))
}

/// Lists are lists, and containers and volumes are maps with names.
fn check_shape(pod: &Tree) -> Result<(), Skip> {
    let malformed = |what: String| Err(Skip::new(Reason::Malformed, what));
    if !matches!(pod.get("spec"), Some(Tree::Map(_))) {
        return malformed("it has no spec".to_owned());
    }
    for path in [
        &["metadata"][..],
        &["metadata", "labels"],
        &["metadata", "annotations"],
    ] {
        if !matches!(pod.at(path), None | Some(Tree::Map(_))) {
            return malformed(format!("{} is no map", path.join(".")));
        }
    }
    for list in ["containers", "initContainers", "volumes"] {
        let elements = match pod.at(&["spec", list]) {
            None => continue,
            Some(Tree::List(elements)) => elements,
            Some(_) => return malformed(format!("spec.{list} is no list")),
        };
        if elements.iter().any(|element| element.name().is_none()) {
            return malformed(format!("an element of spec.{list} has no name"));
        }
    }
    for container in containers(pod) {
        for (field, is_list) in [
            ("ports", true),
            ("volumeMounts", true),
            ("lifecycle", false),
        ] {
            let fits = match container.get(field) {
                None => true,
                Some(value) => matches!(
                    (value, is_list),
                    (Tree::List(_), true) | (Tree::Map(_), false)
                ),
            };
            if !fits {
                return malformed(format!("{field} of a container has the wrong type"));
            }
        }
    }
    Ok(())
}

pub(super) fn containers(pod: &Tree) -> impl Iterator<Item = &Tree> {
    let of = |list| pod.at(&["spec", list]).map(Tree::list).unwrap_or_default();
    of("containers").iter().chain(of("initContainers"))
}

/// Whether its labels allow it, and which defaults they ask for.
fn consent(pod: &Tree, defaults: &Defaults) -> Result<Given, Skip> {
    let label = |name| pod.at(&["metadata", "labels", name]);
    let has_one = containers(pod).any(|container| container.name() == Some(CONTAINER));
    if label(INJECTED).is_some() || has_one {
        return Err(Skip::new(Reason::AlreadyInjected, "it has a gate"));
    }
    let mut given = defaults.given.clone();
    match label(INJECT).map(|label| label.text().unwrap_or_default()) {
        None | Some("true") => {}
        Some("false") => {
            let message = format!("its label {INJECT} is \"false\"");
            return Err(Skip::new(Reason::Disabled, message));
        }
        Some(name) => match defaults.profiles.get(name) {
            Some(profile) => given.extend(profile.clone()),
            None => {
                let message = format!(
                    "its label {INJECT} is neither \"true\" nor \"false\" nor a known profile"
                );
                return Err(Skip::new(Reason::UnknownLabel, message));
            }
        },
    }
    Ok(given)
}

fn check_place(pod: &Tree) -> Result<(), Skip> {
    if pod.at(&["spec", "hostNetwork"]) == Some(&Tree::Bool(true)) {
        let message = "spec.hostNetwork: the gate's ports would be the node's";
        return Err(Skip::new(Reason::HostNetwork, message));
    }
    if pod.at(&["metadata", "annotations", MIRROR]).is_some() {
        let message = "a node made it, and its manifest is on that node";
        return Err(Skip::new(Reason::StaticPod, message));
    }
    let os = [
        &["spec", "os", "name"][..],
        &["spec", "nodeSelector", "kubernetes.io/os"],
    ];
    if os
        .iter()
        .any(|path| pod.at(path).and_then(Tree::text) == Some("windows"))
    {
        return Err(Skip::new(Reason::Windows, "there is no image for Windows"));
    }
    Ok(())
}

fn app_container<'a>(pod: &'a Tree, settings: &Settings) -> Result<(usize, &'a Tree), Skip> {
    let containers = pod
        .at(&["spec", "containers"])
        .map(Tree::list)
        .unwrap_or_default();
    let is_app = |container: &Tree| match &settings.app_container {
        Some(name) => container.name() == Some(name),
        None => true,
    };
    let app = containers
        .iter()
        .enumerate()
        .find(|(_, container)| is_app(container));
    app.ok_or_else(|| {
        let message = match &settings.app_container {
            Some(name) => format!("it has no container called {name} (hookgate.dev/app-container)"),
            None => "it has no container".to_owned(),
        };
        Skip::new(Reason::NoAppContainer, message)
    })
}

fn check_grace(pod: &Tree, settings: &Settings) -> Result<(), Skip> {
    let grace = pod.at(&["spec", "terminationGracePeriodSeconds"]);
    let grace = grace.map_or(Some(GRACE), Tree::int).unwrap_or_default();
    let drain = settings.drain_seconds;
    if i64::from(drain) < grace {
        return Ok(());
    }
    Err(Skip::new(
        Reason::DrainExceedsGrace,
        format!(
            "hookgate.dev/drain-seconds is {drain}, and the pod has {grace} seconds to end: raise spec.terminationGracePeriodSeconds"
        ),
    ))
}

fn is_native(settings: &Settings, surroundings: Surroundings) -> Result<bool, Skip> {
    let can = surroundings.has_native_sidecars();
    let is_native = settings.native_sidecar.unwrap_or(can);
    if is_native && !can {
        let minor = surroundings.minor;
        let message = format!(
            "hookgate.dev/native-sidecar is true, and Kubernetes 1.{minor} has none (1.29 does)"
        );
        return Err(Skip::new(Reason::BadSetting, message));
    }
    if surroundings.is_job && !is_native {
        let message = "a Job ends when its containers do, and a gate beside the app never does: it needs a native sidecar";
        return Err(Skip::new(Reason::JobNeedsNativeSidecar, message));
    }
    Ok(is_native)
}

/// The volume that the app has at the socket's folder already.
fn socket_volume<'a>(app: &'a Tree, settings: &Settings) -> Result<Option<&'a str>, Skip> {
    let Upstream::Unix { folder, .. } = &settings.upstream else {
        return Ok(None);
    };
    let mounts = app.get("volumeMounts").map(Tree::list).unwrap_or_default();
    let at_folder = mounts.iter().find(|mount| {
        let path = mount.get("mountPath").and_then(Tree::text);
        path.is_some_and(|path| path.trim_end_matches('/') == folder)
    });
    let Some(mount) = at_folder else {
        return Ok(None);
    };
    if mount.get("subPath").is_some() || mount.get("subPathExpr").is_some() {
        let message = format!(
            "the app mounts a part of a volume at {folder}: set hookgate.dev/upstream to a socket in another folder"
        );
        return Err(Skip::new(Reason::NameClash, message));
    }
    Ok(mount.name())
}

/// The app's user, because frameworks make sockets that only their own user may open.
fn user(pod: &Tree, app: &Tree, settings: &Settings, notes: &mut Vec<String>) -> i64 {
    if let Some(user) = settings.run_as_user {
        return user;
    }
    let of_pod = || pod.at(&["spec", "securityContext", "runAsUser"]);
    let user = app.at(&["securityContext", "runAsUser"]).or_else(of_pod);
    let user = user.and_then(Tree::int).filter(|user| *user > 0);
    if user.is_none() && matches!(settings.upstream, Upstream::Unix { .. }) {
        notes.push(format!(
            "the pod does not say which user the app is, or says root: the gate runs as {}, and the app's socket must be open to it (mode 0666), or set runAsUser",
            parts::USER
        ));
    }
    user.unwrap_or(parts::USER)
}
