//! Why a pod is left as it is.

/// The closed list of reasons: a label of a metric, and the first word of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It has a gate.
    AlreadyInjected,
    /// Nobody added a gate to it, so none can be taken out.
    NotInjected,
    /// Its label says "false".
    Disabled,
    /// Its label says neither "true" nor "false".
    UnknownLabel,
    /// It shares the node's network, where ports belong to everybody.
    HostNetwork,
    /// A node made it, and it exists already.
    StaticPod,
    /// It runs on Windows, for which there is no image.
    Windows,
    /// It has no container, or none with the name that was given.
    NoAppContainer,
    /// Something in it listens on a port that the gate needs.
    PortClash,
    /// It has a gate, and something that was added after it has a port of the gate's.
    LaterPortClash,
    /// It has a volume with a name that the gate's volumes have.
    NameClash,
    /// The gate could not write to its volume.
    NoFsGroup,
    /// Draining takes longer than the pod has to end.
    DrainExceedsGrace,
    /// It says neither which sources there are nor which ConfigMap says so.
    NoSources,
    /// An annotation has a value that means nothing.
    BadSetting,
    /// A Job would never end beside a container that does not.
    JobNeedsNativeSidecar,
    /// The review is of something else.
    NotAPod,
    /// It is not what a pod looks like.
    Malformed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::AlreadyInjected,
        Self::NotInjected,
        Self::Disabled,
        Self::UnknownLabel,
        Self::HostNetwork,
        Self::StaticPod,
        Self::Windows,
        Self::NoAppContainer,
        Self::PortClash,
        Self::LaterPortClash,
        Self::NameClash,
        Self::NoFsGroup,
        Self::DrainExceedsGrace,
        Self::NoSources,
        Self::BadSetting,
        Self::JobNeedsNativeSidecar,
        Self::NotAPod,
        Self::Malformed,
    ];

    /// Its name in metrics and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlreadyInjected => "already_injected",
            Self::NotInjected => "not_injected",
            Self::Disabled => "disabled",
            Self::UnknownLabel => "unknown_label",
            Self::HostNetwork => "host_network",
            Self::StaticPod => "static_pod",
            Self::Windows => "windows",
            Self::NoAppContainer => "no_app_container",
            Self::PortClash => "port_clash",
            Self::LaterPortClash => "later_port_clash",
            Self::NameClash => "name_clash",
            Self::NoFsGroup => "no_fs_group",
            Self::DrainExceedsGrace => "drain_exceeds_grace",
            Self::NoSources => "no_sources",
            Self::BadSetting => "bad_setting",
            Self::JobNeedsNativeSidecar => "job_needs_native_sidecar",
            Self::NotAPod => "not_a_pod",
            Self::Malformed => "malformed",
        }
    }

    /// What is the matter with the pod, for documents.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AlreadyInjected => "has a gate",
            Self::NotInjected => "has none that could be taken out",
            Self::Disabled => "has the label `hookgate.dev/inject=\"false\"`",
            Self::UnknownLabel => {
                "has a label `hookgate.dev/inject` that is neither \"true\" nor \"false\" nor a profile"
            }
            Self::HostNetwork => "shares the node's network, where ports belong to everybody",
            Self::StaticPod => "was made by a node, which does not ask",
            Self::Windows => "runs on Windows, for which there is no image",
            Self::NoAppContainer => {
                "has no container, or none with the name in `hookgate.dev/app-container`"
            }
            Self::PortClash => {
                "listens on a port that the gate needs, or gives one the gate's name: choose another by `hookgate.dev/listen-port`, `ops-port` or `admin-port`. **If its port is called `webhooks`, a Service of yours that goes by that name leads to the app itself**: rename it"
            }
            Self::LaterPortClash => {
                "has a gate, and a container that another webhook added after it has a port of the gate's, or its name: as above"
            }
            Self::NameClash => {
                "has a volume with a name of the gate's, or a part of one at the socket's folder"
            }
            Self::NoFsGroup => {
                "keeps events on a volume that belongs to root: set `spec.securityContext.fsGroup`, which makes volumes writable for the gate"
            }
            Self::DrainExceedsGrace => {
                "has less time to end than draining takes: raise `terminationGracePeriodSeconds` or lower `hookgate.dev/drain-seconds`"
            }
            Self::NoSources => "says neither `hookgate.dev/sources` nor `hookgate.dev/config`",
            Self::BadSetting => {
                "has an annotation that means nothing; the message says which and what to write"
            }
            Self::JobNeedsNativeSidecar => {
                "belongs to a Job, which would never end beside a container that does not"
            }
            Self::NotAPod => {
                "is something else: the rules of the webhook's configuration are wrong"
            }
            Self::Malformed => "is not what a pod looks like",
        }
    }

    /// Whether the pod has a gate all the same.
    #[must_use]
    pub const fn has_gate(self) -> bool {
        matches!(self, Self::AlreadyInjected | Self::LaterPortClash)
    }

    /// Whether somebody wanted it so, and nothing is wrong.
    #[must_use]
    pub const fn is_intended(self) -> bool {
        matches!(
            self,
            Self::AlreadyInjected | Self::NotInjected | Self::Disabled
        )
    }
}

/// A pod is left as it is: why, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Skip {
    /// Which kind of trouble.
    pub reason: Reason,
    /// In words, with the field or the annotation, and what to do.
    pub message: String,
}

impl Skip {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message }
    }
}
