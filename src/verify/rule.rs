//! One scheme of one source, compiled: what is checked for a request, in which order.
//!
//! Signature first, then the timestamp that it covers. All active secrets are tried, whether one
//! matches or not, so that neither their number nor which one matched shows in the time it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::challenge::could_be_an_answer;
use super::content::fill;
use super::facts::FactRule;
use super::key::Key;
use super::rejection::{Reason, Rejection};
use super::signature::{Fields, Reader};
use super::time::TimeRule;
use super::view::{Ambiguous, Bytes, View};
use super::{Config, Fault};
use crate::clock::UnixMillis;
use crate::providers::{
    Algorithm, KeyForm, Piece, Place, Scheme, Shape, SignatureRule, Template, ValueSource,
};
use crate::secret::Secret;

/// A compiled scheme.
pub(super) struct Rule {
    /// What `Hookgate-Verified` says.
    pub(super) label: &'static str,
    pub(super) facts: FactRule,
    pub(super) proof: Proof,
    keys: Vec<Key>,
    /// Whoever asks gets hashes under the same keys: see [`could_be_an_answer`].
    signs_answers: bool,
}

/// The way of proof.
pub(super) enum Proof {
    Nothing,
    Token(Reader),
    Basic(Reader),
    Signed(Signed),
}

/// Where a signature is and what it covers.
pub(super) struct Signed {
    pub(super) reader: Reader,
    pub(super) content: Template,
    pub(super) time: Option<TimeRule>,
}

impl Rule {
    /// Compiles a scheme for a source.
    ///
    /// # Errors
    /// Everything in scheme, secrets and values that cannot work.
    pub(super) fn new(
        scheme: &Scheme,
        config: &Config,
        dedup_key: Option<&[ValueSource]>,
    ) -> Result<Self, Vec<Fault>> {
        let shape = scheme
            .shape()
            .map_err(|fault| vec![Fault::new(format!("scheme.{}", fault.key), fault.message)])?;
        let mut faults = missing_values(&shape, config);
        faults.extend(unusable_secrets(&shape, config));
        if !faults.is_empty() {
            return Err(faults);
        }
        let (proof, label) = compile(&shape, config);
        let mut keys = Vec::new();
        for secret in &config.secrets {
            match key(&shape, secret, &config.values) {
                Ok(key) => keys.push(key),
                Err(message) => faults.push(Fault::new(&*secret.label, message)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let content = match &proof {
            Proof::Signed(signed) => Some(&signed.content),
            Proof::Nothing | Proof::Token(_) | Proof::Basic(_) => None,
        };
        Ok(Self {
            label,
            facts: FactRule::new(&config.provider.event, dedup_key, content),
            proof,
            keys,
            signs_answers: signs_answers(config),
        })
    }

    /// Checks a request; the label of the secret that matched.
    pub(super) fn check(
        &self,
        view: &View<'_>,
        now: UnixMillis,
    ) -> Result<Option<Arc<str>>, Rejection> {
        match &self.proof {
            Proof::Nothing => Ok(None),
            Proof::Token(reader) => {
                let fields = reader.fields(view)?;
                let token = reader.unprefixed(fields.first()).ok_or_else(not_a_token)?;
                self.matching(now, |key| key.is_token(token)).map(Some)
            }
            Proof::Basic(reader) => {
                let fields = reader.fields(view)?;
                let login = basic_login(fields.first()).ok_or_else(not_a_token)?;
                self.matching(now, |key| key.is_token(&login)).map(Some)
            }
            Proof::Signed(signed) => self.check_signed(signed, view, now).map(Some),
        }
    }

    fn check_signed(
        &self,
        signed: &Signed,
        view: &View<'_>,
        now: UnixMillis,
    ) -> Result<Arc<str>, Rejection> {
        let fields = signed.reader.fields(view)?;
        let signatures = fields.signatures()?;
        // A timestamp in the body is read after the signature held, any other is part of the content.
        let placed = signed.content.covers(&Piece::Timestamp);
        let received = match &signed.time {
            Some(time) if placed => Some(timestamp(time, view, &fields)?),
            _ => None,
        };
        let content = fill(&signed.content, view, Some(&fields), received.as_deref())?;
        let secret = self.matching(now, |key| key.verifies(&content, &signatures))?;
        if self.signs_answers && could_be_an_answer(&content) {
            let detail = "the signed content could come from the answer to a handshake";
            return Err(Reason::Malformed.because(detail));
        }
        match (&signed.time, &received) {
            (Some(time), Some(received)) => time.check(received, now)?,
            (Some(time), None) => time.check(&timestamp(time, view, &fields)?, now)?,
            (None, _) => {}
        }
        Ok(secret)
    }

    /// The label of the first active key that matches; all are tried.
    fn matching(
        &self,
        now: UnixMillis,
        mut matches: impl FnMut(&Key) -> bool,
    ) -> Result<Arc<str>, Rejection> {
        let mut label = None;
        let mut active = false;
        for key in self.keys.iter().filter(|key| key.is_active(now)) {
            active = true;
            if matches(key) && label.is_none() {
                label = Some(Arc::clone(&key.label));
            }
        }
        match (label, active) {
            (Some(label), _) => Ok(label),
            (None, _) if self.keys.is_empty() => {
                Err(Reason::NoSecret.because("the provider has not handed over a secret yet"))
            }
            (None, true) => Err(Reason::Mismatch.because("no secret of this source matches")),
            (None, false) => Err(Reason::Expired.because("every secret is past its not_after")),
        }
    }

    /// Where a secret travels as it is; such places are kept from logs, API and app.
    pub(super) fn token_places(&self) -> &[Place] {
        match &self.proof {
            Proof::Token(reader) | Proof::Basic(reader) => reader.places(),
            Proof::Nothing | Proof::Signed(_) => &[],
        }
    }
}

fn not_a_token() -> Rejection {
    Reason::Malformed.because("the token does not have the expected form")
}

/// `user:password` of a basic authentication header (RFC 7617).
fn basic_login(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, login) = header.split_at_checked(b"Basic ".len())?;
    let login = login.trim_ascii();
    scheme
        .eq_ignore_ascii_case(b"Basic ")
        .then(|| STANDARD.decode(login).ok())?
}

fn timestamp<'a>(
    time: &TimeRule,
    view: &View<'a>,
    fields: &Fields<'a>,
) -> Result<Bytes<'a>, Rejection> {
    for place in &time.from {
        match view.find(place, Some(fields)) {
            Ok(Some(timestamp)) => return Ok(timestamp),
            Ok(None) => {}
            Err(Ambiguous) => {
                return Err(Reason::Malformed.because("there are two different timestamps"));
            }
        }
    }
    Err(Reason::NoHeader.because("the timestamp is missing"))
}

fn compile(shape: &Shape<'_>, config: &Config) -> (Proof, &'static str) {
    let reader = |signature: &SignatureRule, length| {
        Reader::new(signature, length, |name| config.values.get(name).cloned())
    };
    match shape {
        Shape::None => (Proof::Nothing, "unsigned"),
        Shape::Token {
            signature,
            basic: true,
            ..
        } => (Proof::Basic(reader(signature, 0)), "basic"),
        Shape::Token { signature, .. } => (Proof::Token(reader(signature, 0)), "token"),
        Shape::Signed {
            algorithm,
            signature,
            content,
            timestamp,
            ..
        } => {
            let signed = Signed {
                reader: reader(signature, algorithm.signature_bytes()),
                content: (*content).clone(),
                time: timestamp.map(|rule| TimeRule::new(rule, config.tolerance)),
            };
            (Proof::Signed(signed), algorithm.as_str())
        }
    }
}

fn key(
    shape: &Shape<'_>,
    secret: &Secret,
    values: &BTreeMap<String, String>,
) -> Result<Key, &'static str> {
    match shape {
        Shape::Signed { algorithm, key, .. } => Key::new(secret, *algorithm, *key),
        Shape::Token { derived_from, .. } => {
            let token = wire_token(*derived_from, secret, values)?;
            Ok(Key::token(secret, &token))
        }
        Shape::None => Ok(Key::token(secret, secret.expose())),
    }
}

/// The token as it travels: the secret, or the hex HMAC-SHA256 of the configured value.
pub(super) fn wire_token(
    derived_from: Option<&Place>,
    secret: &Secret,
    values: &BTreeMap<String, String>,
) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let Some(Place::Config(name)) = derived_from else {
        return Ok(Zeroizing::new(secret.expose().to_vec()));
    };
    let message = values
        .get(&**name)
        .ok_or("the value it is derived from is missing")?;
    let key = Key::new(secret, Algorithm::HmacSha256, KeyForm::Utf8)?;
    let (token, length) = key.compute(&[Some(message.as_bytes().into())]);
    let token = hex::encode(token.get(..length).unwrap_or_default());
    Ok(Zeroizing::new(token.into_bytes()))
}

/// `config:` values that the scheme uses and the source does not set, and the public URL.
fn missing_values(shape: &Shape<'_>, config: &Config) -> Vec<Fault> {
    let mut names: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    match shape {
        Shape::None => {}
        Shape::Token { derived_from, .. } => names.extend(derived_from.and_then(config_name)),
        Shape::Signed {
            content, signature, ..
        } => {
            let tags = signature.tag.0.iter();
            names.extend(tags.filter_map(|tag| tag.strip_prefix("config:")));
            for part in content.parts() {
                if let Piece::Value(place) = &part.piece {
                    names.extend(config_name(place));
                }
            }
            if content.covers(&Piece::Url) && config.public_url.is_none() {
                let way_out = "the sender signs the URL: set server.public_url to the address as \
                               the sender writes it";
                faults.push(Fault::new("scheme.content", way_out));
            }
        }
    }
    let is_set = |name: &str| {
        config
            .values
            .get(name)
            .is_some_and(|value| !value.is_empty())
    };
    let missing = names.into_iter().filter(|name| !is_set(name));
    faults.extend(missing.map(|name| {
        let way_out = format!("is missing: the scheme uses the value `{name}`");
        Fault::new(format!("values.{name}"), way_out)
    }));
    faults
}

fn config_name(place: &Place) -> Option<&str> {
    let Place::Config(name) = place else {
        return None;
    };
    Some(name)
}

/// Whether the provider's handshakes have anybody's values signed.
fn signs_answers(config: &Config) -> bool {
    let mut challenges = config.provider.challenges.iter();
    challenges.any(|challenge| challenge.is_unsigned() && challenge.uses_secret())
}

fn unusable_secrets(shape: &Shape<'_>, config: &Config) -> Vec<Fault> {
    let (signs, secrets) = (!matches!(shape, Shape::None), &config.secrets);
    if signs && secrets.is_empty() && !config.capture {
        let way_out = "is missing: set secret, secret_file or secrets";
        return vec![Fault::new("secret", way_out)];
    }
    let problem = |secret: &Secret| match (signs, secret.expose().is_empty()) {
        (false, _) => Some("the provider does not sign, so a secret protects nothing; set token"),
        (true, true) => Some("is empty"),
        (true, false) => None,
    };
    secrets
        .iter()
        .filter_map(|secret| Some(Fault::new(&*secret.label, problem(secret)?)))
        .collect()
}
