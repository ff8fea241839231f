//! `hookgate inject`: the sidecar into a manifest, or out of it, without a cluster.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Failure, out};
use crate::kubernetes::defaults::Defaults;
use crate::kubernetes::inject::{Surroundings, inject};
use crate::kubernetes::manifest::{Place, places};
use crate::kubernetes::remove::uninject;
use crate::kubernetes::settings::SETTINGS;
use crate::kubernetes::{Operation, Tree, document};

/// More than any file that people write.
const FILE_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(after_long_help = settings_help())]
pub(super) struct Args {
    /// A manifest: YAML or JSON, with one or several documents; "-" reads standard input
    #[arg(long = "filename", short, value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
    /// Take the sidecar out again
    #[arg(long)]
    uninject: bool,
    /// The manifest as it becomes, or the steps there as a JSON patch (of one object)
    #[arg(long, short, value_name = "FORMAT", default_value = "yaml")]
    output: Output,
    #[command(flatten)]
    defaults: DefaultsArgs,
    /// The version of the cluster
    #[arg(long, value_name = "1.MINOR", default_value = "1.30", value_parser = minor)]
    kube_version: u32,
}

/// What holds where a pod's annotations say nothing.
#[derive(Debug, clap::Args)]
pub(super) struct DefaultsArgs {
    /// A setting for pods without an annotation of that name, such as sources=stripe=stripe
    #[arg(long = "set", value_name = "SETTING=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// A TOML file of settings; its tables [profiles.NAME] are for pods that are labelled hookgate.dev/inject=NAME
    #[arg(long, value_name = "FILE")]
    defaults: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Yaml,
    JsonPatch,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write SETTING=VALUE, such as secrets=webhooks")?;
    let name = name.strip_prefix("hookgate.dev/").unwrap_or(name);
    if SETTINGS.iter().all(|setting| setting.name != name) {
        return Err("there is no such setting; `hookgate inject --help` lists them".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn minor(text: &str) -> Result<u32, String> {
    let minor = text.trim_start_matches('v').strip_prefix("1.");
    let minor = minor.and_then(|minor| minor.split(['.', '+', '-']).next()?.parse().ok());
    minor.ok_or_else(|| "write 1 and the minor version, such as 1.33".to_owned())
}

pub(super) fn settings_help() -> String {
    let mut help =
        "Settings, by --set NAME=VALUE or as the annotation hookgate.dev/NAME of a pod:\n"
            .to_owned();
    for setting in SETTINGS {
        let meaning = setting.meaning.replace('`', "\"");
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        help.push_str(&format!("  {:<18} {meaning}{default}\n", setting.name));
    }
    help
}

impl DefaultsArgs {
    pub(super) fn read(&self) -> Result<Defaults, Failure> {
        let mut defaults = match &self.defaults {
            None => Defaults::default(),
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
                Defaults::read(&text)
                    .map_err(|fault| Failure::Usage(format!("{}: {fault}", file.display())))?
            }
        };
        defaults.given.extend(self.set.iter().cloned());
        Ok(defaults)
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", file.display()))
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let work = Work {
        defaults: args.defaults.read()?,
        minor: args.kube_version,
        uninject: args.uninject,
    };
    let mut texts = Vec::new();
    let mut patches = Vec::new();
    let mut refusals = Vec::new();
    let mut places_seen = 0;
    for file in &args.files {
        let text = read(file)?;
        apart(&mut texts, &text);
        for (index, part) in document::documents(&text).into_iter().enumerate() {
            let shown = match file.as_os_str() == "-" {
                true => format!("document {}", index + 1),
                false => format!("{}, document {}", file.display(), index + 1),
            };
            let broken = |error| Failure::Usage(format!("{shown} is no YAML: {error}"));
            let Some(object) = document::parse(part).map_err(broken)? else {
                texts.push(part.to_owned());
                continue;
            };
            let places = places(&object);
            places_seen += places.len();
            let operations = work.object(&object, &places, &mut refusals);
            if operations.is_empty() {
                texts.push(part.to_owned());
                continue;
            }
            texts.push(changed(part, object, &operations).map_err(broken)?);
            patches.push(operations);
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::Failed(refusals.join("\nerror: ")));
    }
    if places_seen == 0 {
        out::warning("there is no pod and no workload in it");
    }
    match args.output {
        Output::Yaml => out::text(&texts.concat()),
        Output::JsonPatch => match patches.as_slice() {
            [] => out::line("[]"),
            [operations] => out::json(operations)?,
            [_, _, ..] => {
                let message = "a JSON patch is for one object, and several would change: give them one by one";
                return Err(Failure::Usage(message.to_owned()));
            }
        },
    }
    Ok(())
}

/// What follows is a document of its own, however the file before it ended.
fn apart(texts: &mut Vec<String>, next: &str) {
    let Some(last) = texts.last_mut() else { return };
    if !last.ends_with('\n') {
        last.push('\n');
    }
    if !next.starts_with("---") {
        texts.push("---\n".to_owned());
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(FILE_MAX)
            .read_to_string(&mut text),
        false => {
            std::fs::File::open(file).and_then(|open| open.take(FILE_MAX).read_to_string(&mut text))
        }
    };
    match read.map_err(|error| unreadable(file, &error))? as u64 {
        FILE_MAX => Err(Failure::Usage(format!(
            "{} is larger than {FILE_MAX} bytes",
            file.display()
        ))),
        _ => Ok(text),
    }
}

fn changed(document: &str, mut object: Tree, operations: &[Operation]) -> Result<String, String> {
    for operation in operations {
        let applied = operation.apply(&mut object);
        applied.map_err(|misfit| misfit.to_string())?;
    }
    document::render(document, &object)
}

struct Work {
    defaults: Defaults,
    minor: u32,
    uninject: bool,
}

impl Work {
    /// The steps for all pods of an object. What a person should know goes to standard error.
    fn object(
        &self,
        object: &Tree,
        places: &[Place],
        refusals: &mut Vec<String>,
    ) -> Vec<Operation> {
        let mut operations = Vec::new();
        for place in places {
            let title = out::printable(&place.title);
            let pod = object.find(&place.pointer).cloned().unwrap_or_default();
            let surroundings = Surroundings {
                minor: self.minor,
                is_job: place.is_job,
            };
            let done = match self.uninject {
                true => uninject(&pod).map(|operations| (operations, Vec::new())),
                false => inject(&pod, &self.defaults, surroundings)
                    .map(|injection| (injection.operations, injection.notes)),
            };
            match done {
                Ok((steps, notes)) => {
                    out::note(&format!(
                        "{title}: {}",
                        if self.uninject {
                            "taken out"
                        } else {
                            "injected"
                        }
                    ));
                    for note in notes {
                        out::note(&format!("{title}: {}", out::printable(&note)));
                    }
                    operations.extend(steps.into_iter().map(|step| step.below(&place.pointer)));
                }
                Err(skip) if skip.reason.is_intended() => {
                    out::note(&format!("{title}: left as it is: {skip}"));
                }
                Err(skip) => {
                    let why = out::printable(&skip.to_string());
                    refusals.push(format!("{title}: {why} ({})", skip.reason.name()));
                }
            }
        }
        operations
    }
}
