//! Who may send to a source: its secrets, or the token and networks of one whose provider does not
//! sign.

use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use super::raw::{self, SecretEntry};
use super::sources::One;
use super::units::FilePath;
use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};
use crate::providers::{Kind, Place, Procedure, Provider, Scheme};
use crate::secret::{Secret, SecretText};

/// Last segment of a path that carries the source's token.
pub(super) const TOKEN_SEGMENT: &str = "/{token}";

/// What a source says about who may send.
pub(super) struct Protection {
    pub(super) shared: bool,
    /// Secrets were given, but none could be read.
    pub(super) unread: bool,
    pub(super) unsigned: bool,
    /// The secret comes from the provider's handshake.
    pub(super) capture: bool,
    /// Subscriptions are confirmed.
    pub(super) confirm: bool,
    pub(super) token: Option<Secret>,
    pub(super) token_in: Option<String>,
    pub(super) secrets: Vec<Secret>,
}

/// Whether the provider gives the secret away in its handshake.
pub(super) fn hands_over(provider: &Provider) -> bool {
    let mut challenges = provider.challenges.iter();
    challenges.any(|challenge| challenge.capture.is_some())
}

/// Whether the provider is Amazon SNS.
pub(super) fn has_topics(provider: &Provider) -> bool {
    let mut schemes = provider.schemes.iter();
    schemes.any(|scheme| scheme.code == Some(Procedure::Sns))
}

/// A secret with less than this can be found by trial, with one genuine request to try it on.
const SHORT_BYTES: usize = 16;
pub(super) const SHORT: &str =
    "is short: whoever sees one request can find it by trial; take 32 random bytes";

/// Whether a secret would be too easily found.
pub(super) fn is_short(secret: &[u8]) -> bool {
    secret.len() < SHORT_BYTES
}

/// Whether nothing in it can be seen, or told from nothing: an HMAC takes zeros for no key at all.
pub(super) fn is_blank(secret: &[u8]) -> bool {
    if planted(Bug::EmptySecretAccepted) {
        return false;
    }
    let unseen = |c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}' | '\u{200b}');
    std::str::from_utf8(secret).is_ok_and(|text| text.chars().all(unseen))
}

/// One text for all ways to write the same key: with and without `whsec_` and padding, hex in either
/// case.
fn spelling(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let text = secret.expose();
    let bare = text.strip_prefix(b"whsec_").unwrap_or(text);
    let padding = bare.iter().rev().take_while(|byte| **byte == b'=').count();
    let bare = bare.get(..bare.len() - padding).unwrap_or_default();
    let mut bare = Zeroizing::new(bare.to_vec());
    if bare.iter().all(u8::is_ascii_hexdigit) {
        bare.make_ascii_lowercase();
    }
    bare
}

impl One<'_> {
    /// What proves that a request is the sender's, as far as it can be read.
    pub(super) fn protection(&mut self, raw: &mut raw::Source) -> Protection {
        let shared = std::mem::take(&mut raw.allow_shared_secret);
        let shared = self.want("allow_shared_secret", shared);
        let unsigned = self.want("unsigned", std::mem::take(&mut raw.unsigned));
        let faults = self.reader.faults.0.len();
        let capture = self.want("capture", std::mem::take(&mut raw.capture));
        let confirm = self.want("confirm", std::mem::take(&mut raw.confirm));
        let secrets = self.secrets(raw);
        Protection {
            // What is there but cannot be read is not missing too.
            unread: secrets.is_empty() && self.reader.faults.0.len() > faults,
            shared: shared.is_some_and(|flag| flag.0),
            unsigned: unsigned.is_some_and(|flag| flag.0),
            capture: capture.is_some_and(|flag| flag.0),
            confirm: confirm.is_some_and(|flag| flag.0),
            token: self.token(raw),
            token_in: self.want("token_in", std::mem::take(&mut raw.token_in)),
            secrets,
        }
    }

    /// A captured secret is the only one, and comes from a provider that gives it away.
    pub(super) fn check_capture(&mut self, provider: &Provider, capture: bool, given: &[Secret]) {
        if capture && !hands_over(provider) {
            let title = &provider.title;
            let way_out = format!("{title} hands over no secret; remove it and set secret");
            self.fault("capture", way_out);
        } else if capture && !given.is_empty() {
            self.fault("capture", "a secret is set too; remove one of them");
        }
    }

    /// Only Amazon SNS has subscriptions to confirm.
    pub(super) fn check_confirm(&mut self, provider: &Provider, confirm: bool) {
        if confirm && !has_topics(provider) {
            let title = &provider.title;
            let way_out = format!("{title} has no subscription to confirm; remove it");
            self.fault("confirm", way_out);
        }
    }

    /// A secret segment in the path belongs to a scheme that looks at it.
    pub(super) fn check_path_token(&mut self, provider: &Provider, path: &str) {
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

    /// A provider that signs needs secrets; one that does not needs to be said so, and gets the
    /// token, if there is one, as its scheme.
    pub(super) fn protected(
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
            ..
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
        let place_is_set = token_in.is_some();
        let place = self.token_place(token_in, path)?;
        let Some(token) = token else {
            if place_is_set {
                self.fault(
                    "token",
                    "missing: token_in is set, so set token or token_file",
                );
            }
            if path.ends_with(TOKEN_SEGMENT) {
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

    /// Where the sender repeats the token.
    fn token_place(&mut self, token_in: Option<String>, path: &str) -> Option<String> {
        let in_path = path.ends_with(TOKEN_SEGMENT);
        let way_out = match (in_path, token_in.as_deref()) {
            (true, None) => return Some("path:token".to_owned()),
            (false, None) => return Some("query:token".to_owned()),
            (true, Some(_)) => "the path already has {token}; remove one of them",
            (false, Some("query:" | "header:")) => {
                "names nothing: write \"query:NAME\" or \"header:NAME\""
            }
            (false, Some(place)) if place.starts_with("query:") || place.starts_with("header:") => {
                return token_in;
            }
            (false, Some(_)) => "write \"query:NAME\" or \"header:NAME\", or put {token} into path",
        };
        self.fault("token_in", way_out);
        None
    }

    fn secrets(&mut self, raw: &mut raw::Source) -> Vec<Secret> {
        let (secret, file, list) = (
            std::mem::take(&mut raw.secret),
            std::mem::take(&mut raw.secret_file),
            std::mem::take(&mut raw.secrets),
        );
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
            secrets.extend(self.text_secret("secret", &secret));
        }
        if let Some(file) = self.want("secret_file", file) {
            secrets.extend(self.file_secret("secret_file", &file));
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
            (Some(file), None) => self.file_secret(key, &file),
            (None, Some(value)) => self.text_secret(key, &value),
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

    fn token(&mut self, raw: &mut raw::Source) -> Option<Secret> {
        let (token, file) = (
            std::mem::take(&mut raw.token),
            std::mem::take(&mut raw.token_file),
        );
        if token.0.is_some() && file.0.is_some() {
            self.fault(
                "token_file",
                "token is set too; set only one of token and token_file",
            );
        }
        let text = self
            .want("token", token)
            .and_then(|token| self.text_secret("token", &token));
        let file = self
            .want("token_file", file)
            .and_then(|file| self.file_secret("token_file", &file));
        text.or(file)
    }

    fn text_secret(&mut self, key: &str, text: &SecretText) -> Option<Secret> {
        if is_blank(text.as_bytes()) {
            self.fault(key, "is empty: without a secret anybody could sign");
            return None;
        }
        Some(self.secret(key, text.as_bytes()))
    }

    fn file_secret(&mut self, key: &str, file: &FilePath) -> Option<Secret> {
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
        if is_short(content) {
            self.warn(&format!("{key} {SHORT}"));
        }
        Secret::new(key, content)
    }

    /// Most signatures do not cover the URL: with a shared secret, an event for one source would
    /// verify at the other.
    pub(super) fn claim_secret(&mut self, secret: &Secret, shared: bool) {
        let other =
            self.taken.secrets.iter().find(|(name, other, _)| {
                name != self.name && *spelling(other) == *spelling(secret)
            });
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
