//! `[sources.NAME]`: provider, secrets, protection and path of each inbound endpoint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::raw::{self, Leaf, SecretEntry};
use super::reader::Reader;
use super::resolve::rate;
use super::units::{FilePath, Span};
use crate::clock::UnixMillis;
use crate::event::SourceName;
use crate::ingress::SourceConfig;
use crate::providers::{Catalogue, Kind, Place, Provider, Scheme};
use crate::secret::Secret;
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
}

pub(super) fn resolve(
    reader: &mut Reader,
    raw: BTreeMap<String, raw::Source>,
    defaults: &Defaults,
) -> Resolved {
    let catalogue = catalogue(reader, defaults.providers_dir.as_deref());
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
    resolved
}

/// Last segment of a path that carries the source's token.
const TOKEN_SEGMENT: &str = "/{token}";

const PATH: &str =
    "write an absolute path of letters, digits and -._~/ such as \"/webhooks/stripe\"";

/// The built-in providers and those of the operator's own directory.
fn catalogue(reader: &mut Reader, directory: Option<&str>) -> Catalogue {
    let mut catalogue = Catalogue::embedded();
    let Some(directory) = directory else {
        return catalogue;
    };
    let files = match std::fs::read_dir(Path::new(directory)) {
        Ok(files) => files,
        Err(error) => {
            reader.fault(
                "providers_dir",
                format_args!("cannot read {directory}: {error}"),
            );
            return catalogue;
        }
    };
    let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    for path in paths {
        let id = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let provider = read
            .and_then(|text| Provider::from_toml(&id, &text).map_err(|error| error.to_string()));
        match provider {
            Ok(provider) => catalogue.insert(provider),
            Err(error) => {
                reader.fault("providers_dir", format_args!("{}: {error}", path.display()))
            }
        }
    }
    catalogue
}

/// What may not be used twice.
#[derive(Default)]
struct Taken {
    paths: HashMap<String, String>,
    secrets: Vec<(String, Secret, bool)>,
}

/// The source being resolved.
struct One<'a> {
    reader: &'a mut Reader,
    key: String,
    name: &'a str,
    defaults: &'a Defaults,
    catalogue: &'a Catalogue,
    taken: &'a mut Taken,
}

impl One<'_> {
    fn fault(&mut self, key: &str, message: impl std::fmt::Display) {
        self.reader.fault(&format!("{}.{key}", self.key), message);
    }

    fn want<T>(&mut self, key: &str, leaf: Leaf<T>) -> Option<T> {
        self.reader.want(&format!("{}.{key}", self.key), leaf)
    }

    fn resolve(mut self, raw: raw::Source) -> Option<SourceConfig> {
        self.check_ack(raw.ack);
        let path = self.path(raw.path);
        let provider = self.provider(raw.provider, raw.scheme);
        let shared = self
            .want("allow_shared_secret", raw.allow_shared_secret)
            .is_some_and(|flag| flag.0);
        let faults = self.reader.faults.0.len();
        let secrets = self.secrets(raw.secret, raw.secret_file, raw.secrets);
        // What is there but cannot be read is not missing too.
        let unread = secrets.is_empty() && self.reader.faults.0.len() > faults;
        let token = self.token(raw.token, raw.token_file);
        let token_in = self.want("token_in", raw.token_in);
        let unsigned = self
            .want("unsigned", raw.unsigned)
            .is_some_and(|flag| flag.0);
        let key = self.key.clone();
        let networks = "write a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
        let allow_from = self
            .reader
            .list(&format!("{key}.allow_from"), raw.allow_from, networks);
        let observe = self.mode(raw.mode);
        let tolerance = self.positive("tolerance", raw.tolerance);
        let dedup_key = self.want("dedup.key", raw.dedup.key).map(|list| list.0);
        let dedup_window = self.positive("dedup.window", raw.dedup.window);
        let body_max = self
            .want("body_max", raw.body_max)
            .map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
        if body_max == Some(0) {
            self.fault("body_max", "must be larger than 0");
        }
        let rate = rate(self.reader, &format!("{key}.rate"), raw.rate);
        let values = raw.values.into_iter().filter_map(|(name, value)| {
            let value = self.want(&format!("values.{name}"), value)?;
            Some((name, value))
        });
        let values = values.collect();
        let variant = self.want("variant", raw.variant);

        let (provider, secrets) = self.protected(
            provider?,
            Protection {
                unsigned,
                token,
                token_in,
                secrets,
            },
            &path,
        )?;
        self.check_path_token(&provider, &path);
        for secret in &secrets {
            self.claim_secret(secret, shared);
        }
        if unsigned && secrets.is_empty() && allow_from.is_empty() {
            self.reader.warnings.push(format!(
                "{key}: anybody can send to this source: set token or allow_from"
            ));
        }
        if observe {
            self.reader.warnings.push(format!(
                "{key}: mode is \"observe\": requests that fail verification are let through"
            ));
        }
        let secret_labels = secrets.iter().map(|secret| secret.label.clone()).collect();
        let verifier = Verifier::new(verify::Config {
            source: self.name.into(),
            provider,
            variant,
            secrets,
            values,
            public_url: self.defaults.public_url.clone(),
            tolerance,
            dedup_key,
            allow_from,
            observe,
        });
        match verifier {
            Ok(verifier) => Some(SourceConfig {
                name: self.name.into(),
                path,
                body_bytes_max: body_max.unwrap_or(self.defaults.body_max),
                rate,
                dedup_window,
                secret_labels,
                verifier: Arc::new(verifier),
            }),
            Err(faults) => {
                let news = faults
                    .into_iter()
                    .filter(|fault| !(unread && fault.key == "secret"));
                for fault in news {
                    self.fault(&fault.key, fault.message);
                }
                None
            }
        }
    }

    fn positive(&mut self, key: &str, leaf: Leaf<Span>) -> Option<Duration> {
        let span = self.want(key, leaf)?.0;
        if span.is_zero() {
            self.fault(key, "must be longer than 0s");
        }
        Some(span)
    }

    /// A secret segment in the path belongs to a scheme that looks at it.
    fn check_path_token(&mut self, provider: &Provider, path: &str) {
        let from = |scheme: &Scheme| scheme.signature.clone().map(|rule| rule.from.0);
        let mut places = provider.schemes.iter().filter_map(from).flatten();
        let is_read = places.any(|from| from.place == Place::PathToken);
        let is_there = path.ends_with(TOKEN_SEGMENT);
        if is_there && !is_read && self.reader.is_sound(&format!("{}.token", self.key)) {
            let way_out = "has {token}, which nothing looks at: set token, or remove it";
            self.reader
                .require(&format!("{}.path", self.key), false, way_out);
        }
        if is_read && !is_there {
            self.fault("path", "must end in /{token}, where the scheme has it");
        }
    }

    fn check_ack(&mut self, ack: Leaf<String>) {
        if let Some(ack) = self.want("ack", ack)
            && ack != "stored"
        {
            self.fault("ack", format_args!("{ack:?}: there is only \"stored\""));
        }
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

    /// A provider that signs needs secrets; one that does not needs to be said so, and gets the
    /// token, if there is one, as its scheme.
    fn protected(
        &mut self,
        provider: Arc<Provider>,
        protection: Protection,
        path: &str,
    ) -> Option<(Arc<Provider>, Vec<Secret>)> {
        let signs = provider
            .schemes
            .iter()
            .any(|scheme| scheme.kind != Kind::None);
        let Protection {
            unsigned,
            token,
            token_in,
            secrets,
        } = protection;
        if signs {
            let given = [
                ("unsigned", unsigned),
                ("token", token.is_some()),
                ("token_in", token_in.is_some()),
            ];
            if let Some((key, _)) = given.iter().find(|(_, given)| *given) {
                let title = &provider.title;
                let way_out =
                    format!("{title} proves who it is; remove unsigned, token and token_in");
                self.fault(key, way_out);
            }
            return Some((provider, secrets));
        }
        if !unsigned {
            self.fault("unsigned", format_args!("{} signs nothing; if that is acceptable, set unsigned = true, and a token or allow_from", provider.title));
        }
        if !secrets.is_empty() {
            self.fault(
                "secret",
                format_args!(
                    "{} has no secret; use token for one of your own",
                    provider.title
                ),
            );
        }
        let in_path = path.ends_with(TOKEN_SEGMENT);
        let place_is_set = token_in.is_some();
        let place = match (in_path, token_in) {
            (true, None) => "path:token".to_owned(),
            (false, Some(place)) if place.starts_with("query:") || place.starts_with("header:") => {
                place
            }
            (true, Some(_)) => {
                self.fault(
                    "token_in",
                    "the path already has {token}; remove one of them",
                );
                return None;
            }
            (false, Some(_)) => {
                self.fault(
                    "token_in",
                    "write \"query:NAME\" or \"header:NAME\", or put {token} into path",
                );
                return None;
            }
            (false, None) => "query:token".to_owned(),
        };
        if matches!(place.as_str(), "query:" | "header:") {
            self.fault(
                "token_in",
                "names nothing: write \"query:NAME\" or \"header:NAME\"",
            );
            return None;
        }
        let Some(token) = token else {
            if place_is_set {
                self.fault(
                    "token",
                    "missing: token_in is set, so set token or token_file",
                );
            }
            if in_path {
                self.fault(
                    "token",
                    "missing: the path has {token}, so set token or token_file",
                );
            }
            return Some((provider, Vec::new()));
        };
        let scheme = json!({ "kind": "token", "signature": { "from": place } });
        match provider.with_scheme(&scheme) {
            Ok(provider) => Some((Arc::new(provider), vec![token])),
            Err(_) => {
                let way_out = "is not a header's or a query parameter's name";
                self.fault("token_in", way_out);
                None
            }
        }
    }

    fn secrets(
        &mut self,
        secret: Leaf<raw::SecretText>,
        file: Leaf<FilePath>,
        list: Leaf<raw::SecretList>,
    ) -> Vec<Secret> {
        let given = [
            ("secret", secret.0.is_some()),
            ("secret_file", file.0.is_some()),
            ("secrets", list.0.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(key, _)| key);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.fault(
                second,
                format_args!("{first} is set too; set only one of secret, secret_file and secrets"),
            );
        }
        let mut secrets = Vec::new();
        if let Some(secret) = self.want("secret", secret) {
            secrets.extend(self.from_text("secret", &secret));
        }
        if let Some(file) = self.want("secret_file", file) {
            secrets.extend(self.from_file("secret_file", &file));
        }
        for (index, entry) in self
            .want("secrets", list)
            .map(|list| list.0)
            .unwrap_or_default()
            .into_iter()
            .enumerate()
        {
            let key = format!("secrets[{index}]");
            match entry {
                Ok(entry) => secrets.extend(self.entry(&key, entry)),
                Err(message) => self.fault(&key, message),
            }
        }
        secrets
    }

    fn entry(&mut self, key: &str, entry: SecretEntry) -> Option<Secret> {
        let mut secret = match (entry.file, entry.value) {
            (Some(file), None) => self.from_file(key, &file),
            (None, Some(value)) => self.from_text(key, &value),
            (Some(_), Some(_)) | (None, None) => {
                self.fault(key, "write one of file = \"...\" and value = \"...\"");
                None
            }
        }?;
        secret.not_after = entry
            .not_after
            .map(|instant| UnixMillis(instant.0.as_millisecond()));
        Some(secret)
    }

    fn token(&mut self, token: Leaf<raw::SecretText>, file: Leaf<FilePath>) -> Option<Secret> {
        if token.0.is_some() && file.0.is_some() {
            self.fault(
                "token_file",
                "token is set too; set only one of token and token_file",
            );
        }
        let text = self
            .want("token", token)
            .and_then(|token| self.from_text("token", &token));
        let file = self
            .want("token_file", file)
            .and_then(|file| self.from_file("token_file", &file));
        text.or(file)
    }

    fn from_text(&mut self, key: &str, text: &raw::SecretText) -> Option<Secret> {
        if text.0.trim().is_empty() {
            self.fault(key, "is empty: without a secret anybody could sign");
            return None;
        }
        Some(self.secret(key, text.0.as_bytes()))
    }

    fn from_file(&mut self, key: &str, file: &FilePath) -> Option<Secret> {
        let content = self
            .reader
            .secret_file(&format!("{}.{key}", self.key), file)?;
        Some(self.secret(key, &content))
    }

    fn secret(&mut self, key: &str, content: &[u8]) -> Secret {
        if content.trim_ascii() != content {
            let warning = "begins or ends with white space, which counts as part of the secret";
            let warning = format!("{}.{key} {warning}", self.key);
            self.reader.warnings.push(warning);
        }
        Secret::new(key, content)
    }

    /// Most signatures do not cover the URL: with a shared secret, an event for one source would
    /// verify at the other.
    fn claim_secret(&mut self, secret: &Secret, shared: bool) {
        let other = self
            .taken
            .secrets
            .iter()
            .find(|(name, other, _)| name != self.name && other.expose() == secret.expose());
        if let Some((other, _, other_shares)) = other
            && !(shared && *other_shares)
        {
            let message = format!(
                "is also the secret of source {other}: an event for one would verify at the other; if that is meant, set allow_shared_secret = true on both"
            );
            self.fault(&secret.label, message);
        }
        self.taken
            .secrets
            .push((self.name.to_owned(), secret.clone(), shared));
    }
}

/// What a source says about who may send.
struct Protection {
    unsigned: bool,
    token: Option<Secret>,
    token_in: Option<String>,
    secrets: Vec<Secret>,
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
