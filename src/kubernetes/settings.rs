//! What can be said about a pod's gate: by annotations, by a profile, by flags.
//!
//! One vocabulary for all: the annotation `hookgate.dev/drain-seconds`, `--set drain-seconds=20` and a line of a
//! profile are the same setting. Everything else belongs into the gate's own configuration file.

use std::collections::BTreeMap;

use super::quantity;
use super::skip::{Reason, Skip};
use super::tree::Tree;
use super::{INJECT, STATUS};

/// What the annotations of settings begin with.
pub const PREFIX: &str = "hookgate.dev/";

/// A setting: its name, what holds if nobody says anything, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The annotation without its prefix.
    pub name: &'static str,
    /// Empty if there is none.
    pub default: &'static str,
    /// For help and documents.
    pub meaning: &'static str,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// All settings there are.
#[rustfmt::skip] // a table
pub const SETTINGS: [Setting; 21] = [
    setting("sources", "", "`NAME=PROVIDER`, comma-separated: sources at `/webhooks/NAME` whose secret is the key NAME of the Secret"),
    setting("config", "", "a ConfigMap with the key `hookgate.toml`; what is set here goes before what it says"),
    setting("secrets", "", "a Secret, mounted at `/run/secrets/hookgate`: one file per key"),
    setting("upstream", "unix:/run/hookgate/app.sock", "where the app listens: a Unix socket, whose folder both containers get, or `http://127.0.0.1:PORT`"),
    setting("app-container", "", "the container that is the app; the first one by default"),
    setting("listen-host", "0.0.0.0", "the address of the ports that others reach; `[::]` in a cluster of IPv6"),
    setting("listen-port", "9602", "the port that senders reach; its name is always `webhooks`"),
    setting("ops-port", "9600", "the port of probes and metrics; its name is `hookgate-ops`"),
    setting("admin-port", "9601", "the port of API and page, on the pod's loopback only"),
    setting("spool", "emptyDir", "where events are kept: `emptyDir`, `ephemeral:STORAGECLASS` or `pvc:CLAIM`"),
    setting("spool-size", "1Gi", "how much of it; the gate stops taking events a tenth, or 128Mi, before that"),
    setting("drain-seconds", "10", "how long the gate hands over events, and the app waits for them, when the pod ends"),
    setting("native-sidecar", "auto", "`true`: an init container that goes on running; `false`: a container beside the app; `auto`: what the cluster can do"),
    setting("run-as-user", "auto", "the gate's user id; `auto`: the app's if the pod names one, else 65532"),
    setting("log-level", "info", "`error`, `warn`, `info`, `debug` or `trace`"),
    setting("image", "", "the gate's image"),
    setting("image-pull-policy", "", "`Always`, `IfNotPresent` or `Never`; Kubernetes' own default if not set"),
    setting("cpu-request", "10m", "as Kubernetes writes it"),
    setting("cpu-limit", "none", "`none`: throttling shows as slow answers to senders"),
    setting("memory-request", "32Mi", "as Kubernetes writes it"),
    setting("memory-limit", "128Mi", "as Kubernetes writes it"),
];

/// What a store's journal may take beside it, in bytes.
const JOURNAL: u64 = 128 << 20;

/// The image where nobody names one.
pub const IMAGE: &str = concat!("hookgate:", env!("CARGO_PKG_VERSION"));

/// What holds for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub image: String,
    pub image_pull_policy: Option<String>,
    /// Name and provider of each.
    pub sources: Vec<(String, String)>,
    pub config: Option<String>,
    pub secrets: Option<String>,
    pub upstream: Upstream,
    pub app_container: Option<String>,
    /// With its brackets.
    pub listen_host: String,
    pub listen_port: u16,
    pub ops_port: u16,
    pub admin_port: u16,
    pub spool: Spool,
    /// As written; [`Settings::store_bytes`] is what the gate may use of it.
    pub spool_size: String,
    pub drain_seconds: u16,
    /// `None`: what the cluster can do.
    pub native_sidecar: Option<bool>,
    /// `None`: the app's.
    pub run_as_user: Option<i64>,
    pub log_level: String,
    pub cpu_request: Option<String>,
    pub cpu_limit: Option<String>,
    pub memory_request: Option<String>,
    pub memory_limit: Option<String>,
}

/// Where the app listens, inside the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// A socket in a folder that both containers mount.
    Unix { folder: String, url: String },
    /// A loopback port, with the URL.
    Tcp { port: u16, url: String },
}

/// What events are kept on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spool {
    /// Gone with the pod.
    EmptyDir,
    /// A volume of this storage class, gone with the pod.
    Ephemeral(String),
    /// A claim of this name, which outlives the pod.
    Claim(String),
}

/// Settings by name, without the prefix.
pub type Given = BTreeMap<String, String>;

impl Settings {
    /// What holds for `pod`: its annotations, then `given`, then the defaults.
    ///
    /// # Errors
    /// All that is wrong with them, in one [`Skip`].
    pub fn of(pod: &Tree, given: &Given) -> Result<Self, Skip> {
        let mut values = given.clone();
        if let Some(Tree::Map(annotations)) = pod.at(&["metadata", "annotations"]) {
            for (key, value) in annotations {
                let Some(name) = key.strip_prefix(PREFIX) else {
                    continue;
                };
                if [INJECT, STATUS].contains(&key.as_str()) {
                    continue;
                }
                let text = value.text().ok_or_else(|| {
                    let message = format!("the annotation {key} is no text: put it in quotes");
                    Skip::new(Reason::BadSetting, message)
                })?;
                values.insert(name.to_owned(), text.to_owned());
            }
        }
        Self::read(&values)
    }

    /// Bytes that the store may use. The rest is for its journal, so that the gate refuses events before Kubernetes,
    /// which counts every file, evicts the pod.
    #[must_use]
    pub fn store_bytes(&self) -> u64 {
        let size = quantity::bytes(&self.spool_size).unwrap_or_default();
        size.saturating_sub((size / 10).max(JOURNAL))
    }

    /// For how long a gate that drains goes on taking events, in milliseconds: half of its time, and no longer than it
    /// takes until all nodes know.
    #[must_use]
    pub fn accept_for(&self) -> u32 {
        (u32::from(self.drain_seconds) * 500).min(5_000)
    }
}
