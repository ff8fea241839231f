//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 failed while running, 2 usage or configuration.

mod api;
mod catalogue;
mod check;
mod completions;
mod config;
mod demo;
mod drain;
mod events;
mod http;
mod inject;
mod injector;
mod kubernetes;
mod man;
mod out;
mod promise;
mod providers;
mod rejections;
mod run;
mod send;
mod service;
mod sources;
mod verify;

#[cfg(any(test, fuzzing))]
pub(crate) use verify::fuzzing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Faults, Inputs};

/// Verifies, deduplicates, stores and forwards webhooks: a 200 means the event is on disk and will
/// reach your app.
#[derive(Debug, Parser)]
#[command(
    name = "hookgate",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate in front of an app
    Run(run::Args),
    /// See it all at work: a demo app, the gate, and real signed events of every provider
    Demo(demo::Args),
    /// Check the configuration and report all its faults
    Check(check::Args),
    /// Show the configuration, or its schema
    #[command(subcommand)]
    Config(config::Command),
    /// Sign an event as a provider does, and post it
    Send(send::Args),
    /// Tell why a captured request is verified or refused, step by step
    Verify(Box<verify::Args>),
    /// List the providers, or show one
    Providers(providers::Args),
    /// Look at events of a running gate, follow them, replay them, erase them
    Events(events::Args),
    /// List the sources of a running gate; look after secrets that providers hand over
    Sources(sources::Args),
    /// Stop handing a source's events to the app: they are taken and kept
    Hold(sources::Hold),
    /// Resume handing a source's events to the app
    Release(sources::Hold),
    /// Prepare a running gate for its end: senders go elsewhere, the app gets what there is
    Drain(drain::Drain),
    /// Say whether a running gate is ready, by the exit code: for probes in images without a shell
    Healthcheck(drain::Healthcheck),
    /// Add the gate to a Kubernetes manifest as a sidecar, or take it out again
    Inject(inject::Args),
    /// Answer a Kubernetes API server that asks which pods get a gate: the admission webhook
    Injector(injector::Args),
    /// Print what a cluster can do by itself
    #[command(subcommand)]
    Kubernetes(kubernetes::Command),
    /// Show what a running gate refused recently, why, and the way out
    Rejections(rejections::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands into a directory
    Man(man::Args),
}

/// Where settings come from; every command that needs the configuration takes these.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file [default: hookgate.toml if there is one; env: HOOKGATE_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where senders reach hookgate: "host:port" or "unix:/path"
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the app listens: "http://host:port", "host:port" or "unix:/path"
    #[arg(long, value_name = "URL")]
    app: Option<String>,
    /// Add a source, such as stripe=stripe; its secret comes from
    /// `HOOKGATE__SOURCES__NAME__SECRET`
    #[arg(long = "source", value_name = "NAME=PROVIDER", value_parser = name_and_provider)]
    sources: Vec<(String, String)>,
}

fn name_and_provider(text: &str) -> Result<(String, String), String> {
    let (name, provider) = text
        .split_once('=')
        .ok_or("write NAME=PROVIDER, such as stripe=stripe")?;
    if name.contains('.') {
        return Err("a source's name has letters, digits, \"-\" and \"_\"".to_owned());
    }
    Ok((name.to_owned(), provider.to_owned()))
}

impl ConfigArgs {
    pub(crate) fn inputs(self) -> Inputs {
        let mut flags = Vec::new();
        if let Some(listen) = self.listen {
            flags.push(("server.listen".to_owned(), listen));
        }
        if let Some(app) = self.app {
            let is_url = app.starts_with("unix:") || app.contains("://");
            flags.push((
                "app.url".to_owned(),
                if is_url { app } else { format!("http://{app}") },
            ));
        }
        for (name, provider) in self.sources {
            flags.push((format!("sources.{name}.provider"), provider));
        }
        Inputs::of_process(self.config, flags)
    }
}

/// What ends a command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration or the arguments are wrong: exit code 2.
    Usage(String),
    /// It failed while running: exit code 1.
    Failed(String),
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Usage(faults.to_string())
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse(); // a usage error is printed and exits with 2
    let result = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(args),
        Command::Config(command) => config::run(command),
        Command::Send(args) => send::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Providers(args) => providers::run(&args),
        Command::Events(args) => events::run(args),
        Command::Sources(args) => sources::run(args),
        Command::Hold(args) => args.run(true),
        Command::Release(args) => args.run(false),
        Command::Drain(args) => http::block_on(args.run()),
        Command::Healthcheck(args) => http::block_on(args.run()),
        Command::Inject(args) => inject::run(&args),
        Command::Injector(args) => injector::run(args),
        Command::Kubernetes(command) => command.run(),
        Command::Rejections(args) => rejections::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            out::error(&message);
            ExitCode::from(2)
        }
        Err(Failure::Failed(message)) => {
            out::error(&message);
            ExitCode::FAILURE
        }
    }
}
