//! `hookgate man`: manual pages, made from the commands' own help.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::{Cli, Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write hookgate.1, hookgate-run.1, ... into this directory instead
    #[arg(long, value_name = "DIRECTORY")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let command = Cli::command();
    if let Some(directory) = &args.to {
        let written = std::fs::create_dir_all(directory);
        let written = written.and_then(|()| clap_mangen::generate_to(command, directory));
        let cannot = |error| Failure::Failed(format!("{}: {error}", directory.display()));
        return written.map_err(cannot);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::Failed(format!("cannot make the page: {error}")))?;
    out::line(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}
