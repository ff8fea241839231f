//! `[sources.NAME]`: provider, secrets, protection and path of each inbound endpoint.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;
use super::layers::{self, Inputs};
use super::protection::{TOKEN_SEGMENT, hands_over, has_topics};
use super::raw::{self, Leaf};
use super::reader::Reader;
use super::resolve::{NETWORK, rate};
use super::units::Span;
use crate::event::SourceName;
use crate::ingress::{About, Ack, SourceConfig};
use crate::providers::{Catalogue, Provider};
use crate::secret::{Secret, Values};
use crate::verify::{self, Verifier};

/// What sources inherit.
pub(super) struct Defaults {
    pub(super) body_max: usize,
    pub(super) public_url: Option<String>,
    pub(super) providers_dir: Option<String>,
}

/// The sources, and the paths of those that the app sees under another one.
#[derive(Default)]
pub(super) struct Resolved {
    pub(super) sources: Vec<SourceConfig>,
    pub(super) app_paths: HashMap<SourceName, Box<str>>,
    pub(super) dedup_windows: HashMap<SourceName, Duration>,
    /// Those whose senders get the app's own answer.
    pub(super) answering: HashSet<SourceName>,
    pub(super) catalogue: Catalogue,
}

pub(super) fn resolve(
    reader: &mut Reader,
    raw: BTreeMap<String, raw::Source>,
    defaults: &Defaults,
) -> Resolved {
    let catalogue = with_directory(reader, defaults.providers_dir.as_deref());
    let mut resolved = Resolved::default();
    let mut taken = Taken::default();
    for (name, source) in raw {
        let key = format!("sources.{name}");
        if !is_name(&name) {
            reader.fault(
                &key,
                "name a source with lower-case letters, digits, \"-\" and \"_\", at most 64",
            );
        }
        if let Some(path) = &reader.want(&format!("{key}.app_path"), source.app_path.clone()) {
            if is_plain_path(path) {
                resolved
                    .app_paths
                    .insert(name.as_str().into(), path.as_str().into());
            } else {
                reader.fault(&format!("{key}.app_path"), PATH);
            }
        }
        let window = source.dedup.window.clone();
        let window = reader.want(&format!("{key}.dedup.window"), window);
        let window = window.map_or(DEDUP_WINDOW, |window| window.0);
        reader.require(
            &format!("{key}.dedup.window"),
            !window.is_zero(),
            "must be longer than 0s",
        );
        resolved.dedup_windows.insert(name.as_str().into(), window);
        let one = One {
            reader,
            key,
            name: &name,
            defaults,
            catalogue: &catalogue,
            taken: &mut taken,
        };
        resolved.sources.extend(one.resolve(source));
    }
    if resolved.sources.is_empty() && reader.faults.0.is_empty() {
        reader.warnings.push(
            "no sources are configured, so every request is answered 404; add a [sources.NAME] table".to_owned(),
        );
    }
    let answering = resolved.sources.iter();
    let answering = answering.filter(|source| matches!(source.ack, Ack::App(_)));
    resolved.answering = answering.map(|source| source.name.clone()).collect();
    resolved.catalogue = catalogue;
    resolved
}

/// For how long a repeat counts as one: twice the longest usual schedule of retries.
const DEDUP_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

const PATH: &str =
    "write an absolute path of letters, digits and -._~/ such as \"/webhooks/stripe\"";

/// The providers that a configuration knows; nothing else of it is checked.
///
/// # Errors
/// The file, or one of its provider files, cannot be used.
pub fn catalogue(inputs: &Inputs) -> Result<Catalogue, Faults> {
    let (mut reader, raw) = Reader::open(layers::stack(inputs)?, &schemars::schema_for!(raw::Raw));
    reader.faults.0.clear();
    let directory = reader.want("providers_dir", raw.providers_dir);
    let catalogue = with_directory(&mut reader, directory.as_deref());
    match reader.faults.0.is_empty() {
        true => Ok(catalogue),
        false => Err(reader.faults),
    }
}

/// The shipped providers and those of the operator's own directory.
fn with_directory(reader: &mut Reader, directory: Option<&str>) -> Catalogue {
    let mut catalogue = Catalogue::embedded();
    for fault in directory
        .iter()
        .flat_map(|name| catalogue.add_directory(Path::new(name)))
    {
        reader.fault("providers_dir", fault);
    }
    catalogue
}

/// What may not be used twice.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) paths: HashMap<String, String>,
    pub(super) secrets: Vec<(String, Secret, bool)>,
}

/// The source being resolved.
pub(super) struct One<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) key: String,
    pub(super) name: &'a str,
    pub(super) defaults: &'a Defaults,
    pub(super) catalogue: &'a Catalogue,
    pub(super) taken: &'a mut Taken,
}

impl One<'_> {
    pub(super) fn fault(&mut self, key: &str, message: impl std::fmt::Display) {
        self.reader.fault(&format!("{}.{key}", self.key), message);
    }

    pub(super) fn want<T>(&mut self, key: &str, leaf: Leaf<T>) -> Option<T> {
        self.reader.want(&format!("{}.{key}", self.key), leaf)
    }

    fn resolve(mut self, mut raw: raw::Source) -> Option<SourceConfig> {
        let path = self.path(std::mem::take(&mut raw.path));
        let (id, scheme) = (
            std::mem::take(&mut raw.provider),
            std::mem::take(&mut raw.scheme),
        );
        let provider = self.provider(id, scheme);
        let (ack, timeout) = (
            std::mem::take(&mut raw.ack),
            std::mem::take(&mut raw.ack_timeout),
        );
        let ack = self.ack(ack, timeout, provider.as_deref());
        let protection = self.protection(&mut raw);
        let (shared, unread) = (protection.shared, protection.unread);
        let (capture, confirm) = (protection.capture, protection.confirm);
        let checks = self.checks(&mut raw);
        let body_max = self
            .want("body_max", raw.body_max)
            .map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
        if body_max == Some(0) {
            self.fault("body_max", "must be larger than 0");
        }
        let rate = rate(self.reader, &format!("{}.rate", self.key), raw.rate);

        let unsigned = protection.unsigned;
        let (provider, secrets) = self.protected(provider?, protection, &path)?;
        self.check_path_token(&provider, &path);
        self.check_capture(&provider, capture, &secrets);
        self.check_confirm(&provider, confirm);
        for secret in &secrets {
            self.claim_secret(secret, shared);
        }
        if unsigned && secrets.is_empty() && checks.allow_from.is_empty() {
            self.warn("anybody can send to this source: set token or allow_from");
        }
        if checks.observe {
            self.warn("mode is \"observe\": requests that fail verification are let through");
        }
        let labels = secrets.iter().map(|secret| secret.label.clone());
        let secret_labels = labels.chain(capture.then(|| "captured".into())).collect();
        let about = About {
            provider: Arc::clone(&provider),
            observe: checks.observe,
            public_url: self.defaults.public_url.clone(),
        };
        let config = verify::Config {
            source: self.name.into(),
            provider,
            variant: checks.variant,
            secrets,
            values: checks.values,
            public_url: self.defaults.public_url.clone(),
            tolerance: checks.tolerance,
            dedup_key: checks.dedup_key,
            allow_from: checks.allow_from,
            observe: checks.observe,
            capture,
            confirm,
        };
        Some(SourceConfig {
            name: self.name.into(),
            path,
            body_bytes_max: body_max.unwrap_or(self.defaults.body_max),
            ack,
            rate,
            secret_labels,
            verifier: Arc::new(self.verifier(config, unread)?),
            about,
        })
    }

    fn verifier(&mut self, config: verify::Config, unread: bool) -> Option<Verifier> {
        let other_way = hands_over(&config.provider);
        let everybodys_topics =
            has_topics(&config.provider) && !config.values.contains_key("topic_arn");
        match Verifier::new(config) {
            Ok(verifier) => {
                if everybodys_topics {
                    self.warn(
                        "every AWS account is signed for with the same keys: set values.topic_arn",
                    );
                }
                for idle in verifier.idle_challenges() {
                    self.warn(idle);
                }
                Some(verifier)
            }
            Err(faults) => {
                for fault in faults {
                    let no_secret = fault.key == "secret";
                    if no_secret && other_way && !unread {
                        let message = fault.message;
                        self.fault("secret", format_args!("{message}, or capture = true to take the one that the provider hands over"));
                    } else if !(no_secret && unread) {
                        self.fault(&fault.key, fault.message);
                    }
                }
                None
            }
        }
    }

    pub(super) fn warn(&mut self, what: &str) {
        self.reader.warnings.push(format!("{}: {what}", self.key));
    }

    /// What is checked beside the proof.
    fn checks(&mut self, raw: &mut raw::Source) -> Checks {
        let allow_from = std::mem::take(&mut raw.allow_from);
        let allow_from_key = format!("{}.allow_from", self.key);
        let dedup_key = std::mem::take(&mut raw.dedup.key);
        let values = std::mem::take(&mut raw.values)
            .into_iter()
            .filter_map(|(name, value)| {
                let value = self.want(&format!("values.{name}"), value)?;
                Some((name, value))
            });
        Checks {
            values: values.collect(),
            variant: self.want("variant", std::mem::take(&mut raw.variant)),
            tolerance: self.positive("tolerance", std::mem::take(&mut raw.tolerance)),
            dedup_key: self.want("dedup.key", dedup_key).map(|list| list.0),
            allow_from: self.reader.list(&allow_from_key, allow_from, NETWORK),
            observe: self.mode(std::mem::take(&mut raw.mode)),
        }
    }

    pub(super) fn positive(&mut self, key: &str, leaf: Leaf<Span>) -> Option<Duration> {
        let span = self.want(key, leaf)?.0;
        if span.is_zero() {
            self.fault(key, "must be longer than 0s");
        }
        Some(span)
    }

    fn mode(&mut self, mode: Leaf<String>) -> bool {
        match self.want("mode", mode).as_deref() {
            None | Some("enforce") => false,
            Some("observe") => true,
            Some(other) => {
                self.fault(
                    "mode",
                    format_args!("{other:?}: write \"enforce\" or \"observe\""),
                );
                false
            }
        }
    }

    fn path(&mut self, path: Leaf<String>) -> String {
        let path = self
            .want("path", path)
            .unwrap_or_else(|| format!("/webhooks/{}", self.name));
        let without_token = path.strip_suffix(TOKEN_SEGMENT).unwrap_or(&path);
        if !is_plain_path(without_token) {
            self.fault(
                "path",
                format_args!("{PATH}; its last segment may be {{token}}"),
            );
        }
        if let Some(other) = self.taken.paths.insert(path.clone(), self.name.to_owned()) {
            self.fault(
                "path",
                format_args!("source {other} has the same path; give each its own"),
            );
        }
        path
    }

    /// The provider, with the overrides of `scheme` merged over its own.
    fn provider(
        &mut self,
        id: Leaf<String>,
        scheme: Leaf<raw::SchemeTable>,
    ) -> Option<Arc<Provider>> {
        if id.0.is_none() {
            self.fault("provider", "missing: name the sender's provider (`hookgate providers` lists them), or \"hmac\"");
        }
        let id = self.want("provider", id)?;
        let Some(provider) = self.catalogue.get(&id) else {
            match self.catalogue.suggest(&id) {
                Some(near) => self.fault("provider", format_args!("no provider {id:?}; did you mean {near:?}?")),
                None => self.fault("provider", format_args!("no provider {id:?}; `hookgate providers` lists them, and \"hmac\" fits any HMAC signature")),
            }
            return None;
        };
        let Some(overrides) = self.want("scheme", scheme) else {
            return Some(provider);
        };
        match provider.with_scheme(&serde_json::Value::Object(overrides.0)) {
            Ok(provider) => Some(Arc::new(provider)),
            Err(message) => {
                let (key, message) = message.split_once(": ").unwrap_or(("scheme", &message));
                self.fault(key, message);
                None
            }
        }
    }
}

/// What a source says about its requests beside who may send.
struct Checks {
    variant: Option<String>,
    values: Values,
    tolerance: Option<Duration>,
    dedup_key: Option<Vec<String>>,
    allow_from: Vec<ipnet::IpNet>,
    observe: bool,
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

fn is_plain_path(path: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    path.starts_with('/')
        && path.len() <= 512
        && path.bytes().all(fits)
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}
