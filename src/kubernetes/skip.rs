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
    /// It runs on Windows, for which there is no image.
    Windows,
    /// It has no container, or none with the name that was given.
    NoAppContainer,
    /// Something in it listens on a port that the gate needs.
    PortClash,
    /// It has a volume with a name that the gate's volumes have.
    NameClash,
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
    pub const ALL: [Self; 15] = [
        Self::AlreadyInjected,
        Self::NotInjected,
        Self::Disabled,
        Self::UnknownLabel,
        Self::HostNetwork,
        Self::Windows,
        Self::NoAppContainer,
        Self::PortClash,
        Self::NameClash,
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
            Self::Windows => "windows",
            Self::NoAppContainer => "no_app_container",
            Self::PortClash => "port_clash",
            Self::NameClash => "name_clash",
            Self::DrainExceedsGrace => "drain_exceeds_grace",
            Self::NoSources => "no_sources",
            Self::BadSetting => "bad_setting",
            Self::JobNeedsNativeSidecar => "job_needs_native_sidecar",
            Self::NotAPod => "not_a_pod",
            Self::Malformed => "malformed",
        }
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
