//! `hookgate completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hookgate", &mut script);
    out::line(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
