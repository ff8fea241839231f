//! Text to [`Config`], once: layers, shapes, units, secrets, and all faults at the same time.
//!
//! No component reads configuration on its own; each declares its `Config` type, and this folder
//! fills them in. What a `Config` holds is valid: nothing later has to check it again.

mod ack;
mod faults;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod layers;
mod protection;
mod raw;
mod reader;
mod resolve;
mod show;
mod sources;
mod tracing;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use crate::net::{Address, Passed};
use crate::{admin, forward, ingress, keys, server, store, telemetry, trace};

pub use faults::{Fault, Faults};
pub use layers::{DEFAULTS, Inputs};
pub use show::{schema, show};
pub use sources::catalogue;

/// Everything that can be set, checked and read in.
pub struct Config {
    /// What senders reach.
    pub listen: Vec<Address>,
    /// Sockets passed to this process, which an address may name; none, until somebody fills them in.
    pub passed: Passed,
    /// How connections are limited.
    pub server: server::Config,
    /// How requests are received and verified.
    pub ingress: ingress::Config,
    /// How keys are fetched that senders publish.
    pub keys: keys::Config,
    /// How events are handed to the app.
    pub forward: forward::Config,
    /// How events are kept.
    pub store: store::Config,
    /// API, health and metrics.
    pub admin: admin::Config,
    /// A listener for probes and scrapers, if they have one of their own.
    pub ops_listen: Vec<Address>,
    /// Logs.
    pub log: telemetry::Config,
    /// Where spans go, if anywhere.
    pub trace: Option<trace::Config>,
    /// How long events are taken yet once a drain has begun.
    pub drain_accept_for: Duration,
    /// Time to finish requests and attempts after SIGTERM.
    pub grace: Duration,
    /// What a person should know although it is allowed.
    pub warnings: Vec<String>,
}

impl Config {
    /// Stacks the layers and checks everything, files with secrets included.
    ///
    /// # Errors
    /// All faults together.
    pub fn load(inputs: &Inputs) -> Result<Self, Faults> {
        let mut config = resolve::resolve(layers::stack(inputs)?)?;
        config.trace = tracing::read(&inputs.environment, &mut config.warnings);
        Ok(config)
    }
}

impl Inputs {
    /// The environment of this process, and a file: the one given, else the one that
    /// `HOOKGATE_CONFIG` names, else `hookgate.toml` in the working directory if there is one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the environment is read"
    )]
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let here = PathBuf::from("hookgate.toml");
        let file = file
            .or_else(|| std::env::var_os("HOOKGATE_CONFIG").map(PathBuf::from))
            .filter(|file| !file.as_os_str().is_empty())
            .or_else(|| here.is_file().then_some(here));
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok()?;
            // What is none of ours is not copied: it may be somebody else's secret.
            let ours = name.starts_with(layers::PREFIX) || tracing::is_known(&name);
            ours.then_some((name, value.into_string().ok()?.into()))
        };
        Self {
            file,
            environment: std::env::vars_os().filter_map(text).collect(),
            flags,
        }
    }
}
