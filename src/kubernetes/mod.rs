//! hookgate in somebody else's pod: what is added to a manifest, as pure functions.
//!
//! [`inject`](inject::inject) turns a pod and [`Settings`] into a list of JSON Patch operations; the command line,
//! the admission webhook and the generated policy all show what it does. Nothing here does I/O, and no stage
//! of the gate is known here: the gate that runs in the pod gets environment variables, like anybody's.
//!
//! Labels select, because selectors see only labels; annotations set ([`settings`]). A pod that cannot have a
//! gate is left as it is, with a [`Skip`] that says why: it must start all the same. That is safe while the app
//! listens on a Unix socket or on loopback only: a pod without its gate gets no webhooks instead of unverified ones. The
//! one exception is a pod whose app has the gate's port, or a port with its name; its owner is told so.

mod cel;
mod conditions;
pub mod defaults;
pub mod document;
mod draft;
pub mod inject;
pub mod manifest;
mod parts;
pub mod patch;
mod plan;
pub mod policy;
mod ports;
mod quantity;
mod reader;
pub mod remove;
pub mod review;
pub mod settings;
pub mod skip;
mod status;
pub mod tree;

pub use patch::Operation;
pub use settings::Settings;
pub use skip::Skip;
pub use tree::Tree;

/// The name of the container that is added.
pub const CONTAINER: &str = "hookgate";
/// Label of a pod: "true" asks for a gate, "false" refuses one.
pub const INJECT: &str = "hookgate.dev/inject";
/// Label of a pod that has a gate, written by whoever added it.
pub const INJECTED: &str = "hookgate.dev/injected";
/// Annotation of a pod that has a gate: what was added, for its removal.
pub const STATUS: &str = "hookgate.dev/status";
/// Label of a namespace: "enabled" lets its pods ask for a gate.
pub const NAMESPACE: &str = "hookgate.dev/injection";
