//! `hookgate verify`: why a captured request is taken or refused, step by step.

mod captured;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::path::PathBuf;
use std::sync::Arc;

use super::catalogue::{CatalogueArgs, find, name_and_value};
use super::out::printable;
use super::{Failure, out};
use crate::clock::{Clock, UnixMillis};
use crate::config::{Config, Inputs};
use crate::event::{Received, SourceName};
use crate::providers::{Catalogue, Place, Provider};
use crate::secret::{Secret, SecretText};
use crate::store::CapturedSecrets;
use crate::verify::{self, Diagnostician, Explanation, Mark, Rejection, Verifier};
use captured::Captured;

/// Last segment of a path that carries the source's token.
const TOKEN_SEGMENT: &str = "/{token}";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    captured: Captured,
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Verify as this source of the configuration does
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "secrets", "variant", "values", "public_url"])]
    source: Option<String>,
    /// Verify as a source with this provider does
    #[arg(long, value_name = "ID", required_unless_present = "source")]
    provider: Option<String>,
    /// A secret to verify with; for a public-key scheme the public key
    #[arg(
        long = "secret",
        env = "HOOKGATE_VERIFY_SECRET",
        hide_env_values = true
    )]
    secrets: Vec<SecretText>,
    /// The variant of the provider's scheme
    #[arg(long)]
    variant: Option<String>,
    /// A value that the scheme asks for, such as message=...
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = name_and_value)]
    values: Vec<(String, SecretText)>,
    /// The address in front of the path as the sender writes it [default: that of --url]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Verify as if it were this time: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<UnixMillis>,
}

fn instant(text: &str) -> Result<UnixMillis, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        let millis = seconds.checked_mul(1000);
        return millis
            .map(UnixMillis)
            .ok_or_else(|| "is too large".to_owned());
    }
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| UnixMillis(at.as_millisecond()))
        .map_err(|_| "write 2025-01-01T00:00:00Z or 1735689600".to_owned())
}

/// Who verifies, and the others whose secrets a diagnosis may try.
struct Court {
    verifier: Arc<Verifier>,
    all: Vec<Arc<Verifier>>,
    catalogue: Catalogue,
    /// The path ends in a token.
    path_token: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut request = args.captured.read()?;
    let court = match &args.source {
        Some(name) => Court::of_source(name, args.catalogue.config.clone())?,
        None => Court::of_provider(args, request.base.as_deref())?,
    };
    let now = args.at.unwrap_or_else(|| Clock::real().wall());
    request.received.received_at = now;
    if court.path_token {
        request.received.path_token = last_segment(&request.received.target);
    }
    let received = &request.received;
    out::line(format_args!(
        "request: {} {}, {} headers, {} bytes of body, judged at {}",
        received.method,
        printable(&court.verifier.shown_target(received)),
        received.headers.len(),
        received.body.len(),
        now.rfc3339()
    ));
    for note in &request.notes {
        out::line(format_args!("note: {note}"));
    }
    let Explanation { steps, verdict } = court.verifier.explain(received, now);
    for (at, step) in steps.iter().enumerate() {
        let mark = match step.mark {
            Mark::Good => "ok",
            Mark::Bad => "FAIL",
            Mark::Note => "-",
        };
        let text = printable(&step.text);
        out::line(format_args!("{:>2}. {mark:<4} {text}", at + 1));
    }
    match verdict {
        Ok(verified) => {
            let or_none = |text: Option<&str>| printable(text.unwrap_or("none"));
            out::line("verdict: verified");
            out::line(format_args!(
                "event: id {}, type {}; told from others by {}",
                or_none(verified.provider_event_id()),
                or_none(verified.event_type()),
                verified.dedup_rule()
            ));
            Ok(())
        }
        Err(rejection) => {
            let reason = rejection.reason.as_str();
            out::line(format_args!(
                "verdict: refused ({reason}): {}",
                printable(&rejection.detail)
            ));
            court.diagnose(received, &rejection, now);
            Err(Failure::Failed("the request is refused".to_owned()))
        }
    }
}

impl Court {
    /// A source of the configuration, which has to be valid.
    fn of_source(name: &str, file: Option<PathBuf>) -> Result<Self, Failure> {
        let config = Config::load(&Inputs::of_process(file, Vec::new()))?;
        let captured = CapturedSecrets::beside(&config.store.path);
        let sources = config.ingress.sources;
        let Some(source) = sources.iter().find(|source| source.name.as_str() == name) else {
            let known: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
            let known = known.join(", ");
            return Err(Failure::Usage(format!(
                "no source {name:?}; there are: {known}"
            )));
        };
        Ok(Self {
            verifier: with_captured(&source.verifier, &source.name, &captured)?,
            path_token: source.path.ends_with(TOKEN_SEGMENT),
            all: sources
                .iter()
                .map(|source| Arc::clone(&source.verifier))
                .collect(),
            catalogue: config.ingress.catalogue,
        })
    }

    /// A source made up of the arguments.
    fn of_provider(args: &Args, base: Option<&str>) -> Result<Self, Failure> {
        let catalogue = args.catalogue.load()?;
        let provider = find(&catalogue, args.provider.as_deref().unwrap_or_default())?;
        let path_token = takes_path_token(&provider);
        let secrets = args.secrets.iter().enumerate();
        let verifier = Verifier::new(verify::Config {
            source: "command-line".into(),
            provider,
            variant: args.variant.clone(),
            secrets: secrets
                .map(|(at, text)| Secret::new(&format!("secret {}", at + 1), text.as_bytes()))
                .collect(),
            values: args.values.iter().cloned().collect(),
            public_url: args.public_url.as_deref().or(base).map(ToOwned::to_owned),
            tolerance: None,
            dedup_key: None,
            allow_from: Vec::new(),
            observe: false,
            capture: false,
            confirm: false,
        });
        let verifier = verifier.map_err(|faults| {
            let faults = faults
                .iter()
                .map(|fault| format!("{}: {}", fault.key, fault.message));
            Failure::Usage(faults.collect::<Vec<_>>().join("\n"))
        })?;
        let verifier = Arc::new(verifier);
        Ok(Self {
            all: vec![Arc::clone(&verifier)],
            verifier,
            catalogue,
            path_token,
        })
    }

    /// Says which known mistake it was, if it was one.
    fn diagnose(self, received: &Received, rejection: &Rejection, now: UnixMillis) {
        let diagnostician = Diagnostician::new(self.catalogue);
        let found = diagnostician.diagnose(&self.verifier, &self.all, received, rejection, now);
        let Some(found) = found else {
            return;
        };
        let clue = found.clue.map(|clue| format!(" ({})", printable(&clue)));
        out::line(format_args!(
            "likely: {}{}",
            found.mistake.explanation(),
            clue.unwrap_or_default()
        ));
        out::line(format_args!("way out: {}", found.mistake.way_out()));
    }
}

/// The verifier with the secret that its source has captured, if it has.
fn with_captured(
    verifier: &Arc<Verifier>,
    source: &SourceName,
    captured: &CapturedSecrets,
) -> Result<Arc<Verifier>, Failure> {
    if !verifier.captures() {
        return Ok(Arc::clone(verifier));
    }
    let failed = |why: String| Failure::Failed(format!("the captured secret: {why}"));
    let secret = captured.load(source);
    let secret = secret.map_err(|error| failed(error.to_string()))?;
    match verifier.with_captured(secret) {
        None => Ok(Arc::clone(verifier)),
        Some(Ok(verifier)) => Ok(Arc::new(verifier)),
        Some(Err(faults)) => {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            Err(failed(messages.join("; ")))
        }
    }
}

fn takes_path_token(provider: &Provider) -> bool {
    let rules = provider
        .schemes
        .iter()
        .filter_map(|scheme| scheme.signature.as_ref());
    let mut places = rules.flat_map(|rule| &rule.from.0);
    places.any(|from| from.place == Place::PathToken)
}

fn last_segment(target: &str) -> Option<Box<str>> {
    let path = target.split('?').next()?;
    path.rsplit('/').next().map(Into::into)
}
