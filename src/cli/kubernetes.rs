//! `hookgate kubernetes`: what a cluster is given to do by itself.

use super::inject::{DefaultsArgs, minor};
use super::{Failure, out};
use crate::kubernetes::policy::policy;
use crate::kubernetes::settings::IMAGE;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a MutatingAdmissionPolicy that adds the gate to pods without a webhook
    Policy(Policy),
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = super::inject::settings_help())]
pub(super) struct Policy {
    #[command(flatten)]
    defaults: DefaultsArgs,
    /// The version of the cluster; 1.34 and 1.35 need the feature gate MutatingAdmissionPolicy and
    /// --runtime-config=admissionregistration.k8s.io/v1beta1=true at their API servers
    #[arg(long, value_name = "1.MINOR", default_value = "1.36", value_parser = minor)]
    kube_version: u32,
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Policy(args) = self;
        let defaults = args.defaults.read()?;
        if !defaults.profiles.is_empty() {
            let message = "a policy knows no profiles: print one for each, with its settings";
            return Err(Failure::Usage(message.to_owned()));
        }
        if !defaults.given.contains_key("image") {
            return Err(Failure::Usage(format!(
                "say which image pods get, such as --set image=registry.example.com/{IMAGE}"
            )));
        }
        let yaml = policy(&defaults.given, args.kube_version);
        out::text(&yaml.map_err(|skip| Failure::Usage(skip.to_string()))?);
        Ok(())
    }
}
