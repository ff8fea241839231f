//! The container and the volumes that are added, in Kubernetes' shapes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::settings::{Settings, Spool, Upstream};
use super::{CONTAINER, Tree};

/// Where the gate finds its configuration, its secrets, its store and its program: the app's socket lies elsewhere.
pub(super) const TAKEN: [&str; 5] = [CONFIG, SECRETS, SPOOL, "/hookgate", "/var/run/secrets"];
const CONFIG: &str = "/etc/hookgate";
const SECRETS: &str = "/run/secrets/hookgate";
const SPOOL: &str = "/var/lib/hookgate";

/// The volumes' names.
pub(super) const RUN_VOLUME: &str = "hookgate-run";
pub(super) const SPOOL_VOLUME: &str = "hookgate-spool";
pub(super) const CONFIG_VOLUME: &str = "hookgate-config";
pub(super) const SECRETS_VOLUME: &str = "hookgate-secrets";

/// The user of the image, and the group of volumes that belong to nobody else.
pub(super) const USER: i64 = 65532;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    name: &'static str,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<&'static str>,
    args: [&'static str; 1],
    env: Vec<Variable>,
    ports: [Port; 2],
    startup_probe: Probe,
    readiness_probe: Probe,
    liveness_probe: Probe,
    lifecycle: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources<'a>>,
    security_context: SecurityContext,
    volume_mounts: Vec<Mount<'a>>,
}

#[derive(Serialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: &'static str,
    container_port: u16,
    protocol: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    http_get: HttpGet,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_delay_seconds: Option<u16>,
    period_seconds: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_threshold: Option<u16>,
}

#[derive(Serialize)]
struct HttpGet {
    path: &'static str,
    port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    pre_stop: PreStop,
}

#[derive(Serialize)]
struct PreStop {
    exec: Exec,
}

#[derive(Serialize)]
struct Exec {
    command: Vec<String>,
}

#[derive(Serialize)]
struct Resources<'a> {
    requests: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    run_as_user: i64,
    run_as_non_root: bool,
    allow_privilege_escalation: bool,
    read_only_root_filesystem: bool,
    capabilities: Capabilities,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
}

#[derive(Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mount<'a> {
    name: &'a str,
    mount_path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

const fn mount<'a>(name: &'a str, mount_path: &'a str, read_only: bool) -> Mount<'a> {
    Mount {
        name,
        mount_path,
        read_only,
    }
}

/// What the pod, and not the settings, decides about the container.
pub(super) struct Fit<'a> {
    /// An init container that goes on running.
    pub(super) is_native: bool,
    /// The pod's resources are counted as one.
    pub(super) shares_resources: bool,
    /// Its user id.
    pub(super) user: i64,
    /// The volume of the app's socket, if that is how the app listens.
    pub(super) socket_volume: Option<&'a str>,
}

/// The gate's container.
pub(super) fn container(settings: &Settings, fit: &Fit<'_>) -> Result<Tree, serde_json::Error> {
    let probe = |path, period_seconds, initial_delay_seconds, failure_threshold| Probe {
        http_get: HttpGet {
            path,
            port: settings.ops_port,
        },
        initial_delay_seconds,
        period_seconds,
        failure_threshold,
    };
    let port = |name, container_port| Port {
        name,
        container_port,
        protocol: "TCP",
    };
    let timeout = settings.drain_seconds.to_string();
    let drain = ["/hookgate", "drain", "--wait", "--timeout", &timeout];
    Tree::of(&Container {
        name: CONTAINER,
        image: &settings.image,
        image_pull_policy: settings.image_pull_policy.as_deref(),
        restart_policy: fit.is_native.then_some("Always"),
        args: ["run"],
        env: environment(settings),
        ports: [
            port("webhooks", settings.listen_port),
            port("hookgate-ops", settings.ops_port),
        ],
        // The app starts after it. Not /readyz: a full store would keep away the app that empties it.
        startup_probe: probe("/livez", 1, None, Some(120)),
        readiness_probe: probe("/readyz", 5, None, None),
        liveness_probe: probe("/livez", 10, Some(10), None),
        lifecycle: Lifecycle {
            pre_stop: PreStop {
                exec: Exec {
                    command: drain.map(str::to_owned).to_vec(),
                },
            },
        },
        resources: (!fit.shares_resources).then(|| Resources {
            requests: quantities(&settings.cpu_request, &settings.memory_request),
            limits: quantities(&settings.cpu_limit, &settings.memory_limit),
        }),
        security_context: SecurityContext {
            run_as_user: fit.user,
            run_as_non_root: true,
            allow_privilege_escalation: false,
            read_only_root_filesystem: true,
            capabilities: Capabilities { drop: ["ALL"] },
            seccomp_profile: SeccompProfile {
                r#type: "RuntimeDefault",
            },
        },
        volume_mounts: mounts(settings, fit.socket_volume),
    })
}

fn quantities<'a>(
    cpu: &'a Option<String>,
    memory: &'a Option<String>,
) -> BTreeMap<&'static str, &'a str> {
    let pairs = [("cpu", cpu), ("memory", memory)];
    let pairs = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
    pairs.collect()
}

/// The gate's settings that follow from the pod's; they go before its file.
fn environment(settings: &Settings) -> Vec<Variable> {
    let host = &settings.listen_host;
    let url = match &settings.upstream {
        Upstream::Unix { url, .. } | Upstream::Tcp { url, .. } => url.clone(),
    };
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.push(Variable {
            name: name.to_owned(),
            value,
        });
    };
    if settings.config.is_some() {
        set("HOOKGATE_CONFIG", format!("{CONFIG}/hookgate.toml"));
    }
    set(
        "HOOKGATE__SERVER__LISTEN",
        format!("{host}:{}", settings.listen_port),
    );
    set(
        "HOOKGATE__OPS__LISTEN",
        format!("{host}:{}", settings.ops_port),
    );
    set(
        "HOOKGATE__ADMIN__LISTEN",
        format!("127.0.0.1:{}", settings.admin_port),
    );
    // For the hook and for `kubectl exec`: where the commands find the gate.
    set(
        "HOOKGATE_ADMIN",
        format!("127.0.0.1:{}", settings.admin_port),
    );
    set("HOOKGATE__APP__URL", url);
    set("HOOKGATE__STORE__PATH", format!("{SPOOL}/events"));
    set(
        "HOOKGATE__STORE__BYTES_MAX",
        format!("{}B", settings.store_bytes()),
    );
    set("HOOKGATE__LOG__FORMAT", "json".to_owned());
    set("HOOKGATE__LOG__LEVEL", settings.log_level.clone());
    set(
        "HOOKGATE__SERVER__DRAIN__ACCEPT_FOR",
        format!("{}ms", settings.accept_for()),
    );
    for (name, provider) in &settings.sources {
        let key = name.to_ascii_uppercase();
        set(
            &format!("HOOKGATE__SOURCES__{key}__PROVIDER"),
            provider.clone(),
        );
        set(
            &format!("HOOKGATE__SOURCES__{key}__SECRET_FILE"),
            format!("{SECRETS}/{name}"),
        );
    }
    variables
}

fn mounts<'a>(settings: &'a Settings, socket_volume: Option<&'a str>) -> Vec<Mount<'a>> {
    let mut mounts = Vec::new();
    if let (Some(volume), Upstream::Unix { folder, .. }) = (socket_volume, &settings.upstream) {
        mounts.push(mount(volume, folder, false));
    }
    mounts.push(mount(SPOOL_VOLUME, SPOOL, false));
    if settings.config.is_some() {
        mounts.push(mount(CONFIG_VOLUME, CONFIG, true));
    }
    if settings.secrets.is_some() {
        mounts.push(mount(SECRETS_VOLUME, SECRETS, true));
    }
    mounts
}

/// The mount of the socket's folder in the app's container.
pub(super) fn app_mount(folder: &str) -> Tree {
    map([("name", RUN_VOLUME.into()), ("mountPath", folder.into())])
}

/// What keeps the app until the gate has handed over what there is (Kubernetes 1.30).
pub(super) fn app_sleep(settings: &Settings) -> Tree {
    let seconds = Tree::Number(settings.drain_seconds.into());
    map([("sleep", map([("seconds", seconds)]))])
}

/// The volumes that the gate needs; that of the socket only if the app has none in its place.
pub(super) fn volumes(settings: &Settings, makes_socket_volume: bool) -> Vec<Tree> {
    let mut volumes = Vec::new();
    if makes_socket_volume {
        let limit = [
            ("medium", Tree::from("Memory")),
            ("sizeLimit", "1Mi".into()),
        ];
        volumes.push(volume(RUN_VOLUME, "emptyDir", map(limit)));
    }
    volumes.push(spool(settings));
    if let Some(config) = &settings.config {
        let config = map([("name", Tree::from(&**config))]);
        volumes.push(volume(CONFIG_VOLUME, "configMap", config));
    }
    if let Some(secrets) = &settings.secrets {
        // Readable for the gate's user, whatever it is; only the gate mounts it.
        let mode = Tree::Number(0o444.into());
        let secret = map([
            ("secretName", Tree::from(&**secrets)),
            ("defaultMode", mode),
        ]);
        volumes.push(volume(SECRETS_VOLUME, "secret", secret));
    }
    volumes
}

fn spool(settings: &Settings) -> Tree {
    let size = Tree::from(&*settings.spool_size);
    match &settings.spool {
        Spool::EmptyDir => volume(SPOOL_VOLUME, "emptyDir", map([("sizeLimit", size)])),
        Spool::Claim(claim) => {
            let claim = map([("claimName", Tree::from(&**claim))]);
            volume(SPOOL_VOLUME, "persistentVolumeClaim", claim)
        }
        Spool::Ephemeral(class) => {
            let modes = Tree::List(vec!["ReadWriteOnce".into()]);
            let requests = map([("requests", map([("storage", size)]))]);
            let spec = map([
                ("accessModes", modes),
                ("storageClassName", Tree::from(&**class)),
                ("resources", requests),
            ]);
            let template = map([("spec", spec)]);
            volume(
                SPOOL_VOLUME,
                "ephemeral",
                map([("volumeClaimTemplate", template)]),
            )
        }
    }
}

fn volume(name: &str, kind: &str, what: Tree) -> Tree {
    map([("name", Tree::from(name)), (kind, what)])
}

fn map<const N: usize>(entries: [(&str, Tree); N]) -> Tree {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Tree::Map(entries.collect())
}
