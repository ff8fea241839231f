//! `hookgate config show` and `hookgate config schema`.

use super::{ConfigArgs, Failure, out};
use crate::config;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Every setting in force, with where it was set; secrets are not shown
    Show(ConfigArgs),
    /// A JSON Schema of the configuration file, for editors
    Schema,
    /// The commented file with all defaults
    Default,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Show(args) => out::line(config::show(&args.inputs())?.trim_end()),
        Command::Schema => out::line(format_args!("{:#}", config::schema())),
        Command::Default => out::line(config::DEFAULTS.trim_end()),
    }
    Ok(())
}
