//! One scheme of one source, compiled: what is checked for a request.

use std::time::Duration;

use zeroize::Zeroizing;

use super::check::CheckRule;
use super::code::{self, Code};
use super::facts::FactRule;
use super::fetched::{Fetched, PLAID_VALUES};
use super::jwt;
use super::key::Key;
use super::proof::{Evidence, Jwt, Proof, Signed, SigningKeys, Token, TokenKeys};
use super::public::{PublicKeys, signature_algorithm};
use super::rejection::Rejection;
use super::signature::Reader;
use super::time::TimeRule;
use super::view::View;
use super::{Config, Fault};
use crate::clock::UnixMillis;
use crate::keys::PublicKey;
use crate::planted::{Bug, planted};
use crate::providers::{
    Algorithm, Check, FetchForm, FetchRule, JwtShape, KeyForm, Piece, Place, Procedure, Scheme,
    Shape, SignatureRule, SignedShape, Template, ValueSource,
};
use crate::secret::{Secret, Values};

/// A compiled scheme.
pub(super) struct Rule {
    /// What `Hookgate-Verified` says.
    pub(super) label: &'static str,
    pub(super) facts: FactRule,
    pub(super) proof: Proof,
    pub(super) checks: Vec<CheckRule>,
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
        let mut faults = missing_values(&shape, &scheme.checks, config);
        faults.extend(unusable_secrets(&shape, config));
        if !faults.is_empty() {
            return Err(faults);
        }
        let (mut proof, label) = compile(&shape, config)?;
        if let Proof::Signed(signed) = &mut proof {
            signed.forms_only &= !scheme.checks.iter().any(looks_at_body);
        }
        let contents = proof.contents();
        let checks = scheme.checks.iter();
        Ok(Self {
            label,
            facts: FactRule::new(&config.provider.event, dedup_key, contents),
            checks: checks
                .map(|check| CheckRule::new(check, contents))
                .collect(),
            proof,
        })
    }

    /// Checks a request.
    pub(super) fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Evidence, Rejection> {
        let evidence = self.proof.check(view, now)?;
        for check in &self.checks {
            check.check(view, evidence.claims.as_ref())?;
        }
        Ok(evidence)
    }
}

/// Whether a check compares the body's digest, wherever it has to.
fn looks_at_body(check: &Check) -> bool {
    let digest =
        |source: &ValueSource| matches!(source.place, Place::BodySha256 | Place::BodySha256Base64);
    !check.from.optional && check.equals_value.as_ref().is_some_and(digest)
}

fn reader(rule: &SignatureRule, length: Option<usize>, config: &Config) -> Reader {
    Reader::new(rule, length, |name| {
        config.values.get(name).map(|value| value.to_string())
    })
}

fn compile(shape: &Shape<'_>, config: &Config) -> Result<(Proof, &'static str), Vec<Fault>> {
    match shape {
        Shape::None => Ok((Proof::Nothing, "unsigned")),
        Shape::Token {
            signature,
            basic,
            derived_from,
        } => {
            let key = |secret: &Secret| {
                let token = wire_token(*derived_from, secret, &config.values)?;
                Ok(Key::token(secret, &token))
            };
            let token = Token {
                reader: reader(signature, None, config),
                basic: *basic,
                keys: each_secret(&config.secrets, key)?,
            };
            let label = if *basic { "basic" } else { "token" };
            Ok((Proof::Token(token), label))
        }
        Shape::Signed(signed) => {
            let label = signed.algorithm.as_str();
            Ok((Proof::Signed(compile_signed(signed, config)?), label))
        }
        Shape::Each { items, inner } => {
            let (inner, label) = compile(inner, config)?;
            let (items, inner) = (items.clone(), Box::new(inner));
            Ok((Proof::Each { items, inner }, label))
        }
        Shape::Jwt(jwt) => Ok((Proof::Jwt(compile_jwt(jwt, config)?), "jwt")),
        Shape::Code(shape) => {
            let code = Code::new(shape, config)?;
            let label = code.label();
            Ok((Proof::Code(code), label))
        }
    }
}

fn compile_signed(shape: &SignedShape<'_>, config: &Config) -> Result<Signed, Vec<Fault>> {
    let secrets = &config.secrets;
    let keys = match signature_algorithm(shape.algorithm) {
        None => SigningKeys::Shared(each_secret(secrets, |secret| {
            Key::new(secret, shape.algorithm, shape.key)
        })?),
        Some(algorithm) => {
            let suits = |key: &PublicKey| key.suits(algorithm);
            let keys = public_keys(config, shape.key, shape.fetch, suits)?;
            SigningKeys::Public(algorithm, keys)
        }
    };
    let public_url = config.public_url.as_deref().unwrap_or_default();
    Ok(Signed {
        reader: reader(shape.signature, shape.algorithm.signature_bytes(), config),
        contents: shape.content.to_vec(),
        time: shape
            .timestamp
            .map(|rule| TimeRule::new(rule, config.tolerance)),
        other_url: match shape.url_variants {
            true => other_port_spelling(public_url.trim_end_matches('/')),
            false => None,
        },
        keys,
        signs_answers: signs_answers(config),
        forms_only: shape
            .content
            .iter()
            .any(|one| one.covers(&Piece::SortedForm) && !one.covers_body()),
    })
}

fn compile_jwt(shape: &JwtShape<'_>, config: &Config) -> Result<Jwt, Vec<Fault>> {
    let secrets = &config.secrets;
    let keys = match shape.key.is_public() {
        false => TokenKeys::Shared(each_secret(secrets, |secret| Key::bare(secret, shape.key))?),
        true => {
            let algorithms = shape.algorithms.iter();
            let algorithms: Vec<_> = algorithms.filter_map(|name| jwt::public(*name)).collect();
            let suits = |key: &PublicKey| algorithms.iter().any(|name| key.suits(*name));
            TokenKeys::Public(public_keys(config, shape.key, shape.fetch, suits)?)
        }
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Ok(Jwt {
        reader: reader(shape.signature, None, config),
        allowed: shape.algorithms.to_vec(),
        leeway: seconds(shape.leeway_seconds),
        max_age: shape.max_age_seconds.map(seconds),
        keys,
    })
}

/// The address without its port, or with the default one if it has none.
fn other_port_spelling(url: &str) -> Option<Box<str>> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let bracket = authority.rfind(']').unwrap_or(host);
    let port = authority.get(bracket..)?.find(':');
    let authority = match (port, scheme) {
        (Some(at), _) => authority.get(..bracket + at)?.to_owned(),
        (None, "https") => format!("{authority}:443"),
        (None, "http") => format!("{authority}:80"),
        (None, _) => return None,
    };
    Some(format!("{scheme}://{authority}{path}").into())
}

/// The source's own keys; without them those that the sender publishes.
pub(super) fn public_keys(
    config: &Config,
    form: KeyForm,
    fetch: Option<&FetchRule>,
    suits: impl Fn(&PublicKey) -> bool,
) -> Result<PublicKeys, Vec<Fault>> {
    let keys = match fetch.filter(|_| config.secrets.is_empty()) {
        Some(rule) => Fetched::new(rule, &config.values)
            .map(PublicKeys::Fetched)
            .map_err(|(key, message)| Fault::new(key, message)),
        None => PublicKeys::pinned(&config.secrets, form, suits)
            .map_err(|(label, message)| Fault::new(label, message)),
    };
    keys.map_err(|fault| vec![fault])
}

/// One key of each secret, or all faults.
pub(super) fn each_secret(
    secrets: &[Secret],
    key: impl Fn(&Secret) -> Result<Key, &'static str>,
) -> Result<Vec<Key>, Vec<Fault>> {
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for secret in secrets {
        match key(secret) {
            Ok(key) => keys.push(key),
            Err(message) => faults.push(Fault::new(&*secret.label, message)),
        }
    }
    if faults.is_empty() {
        Ok(keys)
    } else {
        Err(faults)
    }
}

/// The token as it travels: the secret, or the hex HMAC-SHA256 of the configured value.
pub(super) fn wire_token(
    derived_from: Option<&Place>,
    secret: &Secret,
    values: &Values,
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

/// What the scheme needs from the operator, beside secrets.
#[derive(Default)]
pub(super) struct Needs<'a> {
    /// Names of `config:` values.
    pub(super) values: Vec<&'a str>,
    pub(super) public_url: bool,
}

impl<'a> Needs<'a> {
    pub(super) fn of(shape: &Shape<'a>, checks: &'a [Check]) -> Self {
        let mut needs = Self::default();
        needs.shape(shape);
        needs.checks(checks);
        needs
    }

    fn place(&mut self, place: &'a Place) {
        self.values.extend(place.config_name());
        self.public_url |= *place == Place::UrlSha256;
    }

    fn signature(&mut self, rule: &'a SignatureRule) {
        let tags = rule.tag.0.iter();
        self.values
            .extend(tags.filter_map(|tag| tag.strip_prefix("config:")));
        rule.from.0.iter().for_each(|from| self.place(&from.place));
    }

    fn shape(&mut self, shape: &Shape<'a>) {
        match shape {
            Shape::None => {}
            Shape::Token {
                signature,
                derived_from,
                ..
            } => {
                self.signature(signature);
                self.values
                    .extend(derived_from.and_then(Place::config_name));
            }
            Shape::Signed(signed) => {
                self.signature(signed.signature);
                for part in signed.content.iter().flat_map(Template::parts) {
                    self.public_url |= part.piece == Piece::Url;
                    if let Piece::Value(place) = &part.piece
                        && !part.optional
                        && part.segment.is_none()
                    {
                        self.place(place);
                    }
                }
            }
            Shape::Each { inner, .. } => self.shape(inner),
            Shape::Jwt(jwt) => self.signature(jwt.signature),
            Shape::Code(code) => {
                if let Some(rule) = code.signature {
                    self.signature(rule);
                }
                self.public_url |= code::signs_url(code);
            }
        }
    }

    fn fetch(&mut self, rule: &'a FetchRule) {
        self.values.extend(rule.url.strip_prefix("config:"));
        if rule.form == FetchForm::Plaid {
            self.values.extend(PLAID_VALUES);
        }
    }

    fn checks(&mut self, checks: &'a [Check]) {
        for check in checks {
            self.place(&check.from.place);
            let expected = check.equals_value.as_ref();
            if let Some(expected) = expected {
                self.place(&expected.place);
            }
        }
    }
}

/// `config:` values that the scheme uses and the source does not set, and the public URL.
fn missing_values(shape: &Shape<'_>, checks: &[Check], config: &Config) -> Vec<Fault> {
    let mut needs = Needs::of(shape, checks);
    let fetch = shape.fetch().filter(|_| config.secrets.is_empty());
    if let Some(rule) = fetch {
        needs.fetch(rule);
    }
    let mut faults = Vec::new();
    if needs.public_url && config.public_url.is_none() {
        let way_out = "the sender signs the URL: set server.public_url to the address as the \
                       sender writes it";
        faults.push(Fault::new("scheme.content", way_out));
    }
    let is_sns = matches!(shape, Shape::Code(code) if code.procedure == Procedure::Sns);
    if config.confirm && is_sns {
        // Anybody's topic is signed for with the same keys.
        needs.values.push(code::TOPIC);
    }
    let is_set = |name: &str| {
        config
            .values
            .get(name)
            .is_some_and(|value| !value.is_empty())
    };
    let missing = needs.values.into_iter().filter(|name| !is_set(name));
    faults.extend(missing.map(|name| {
        let way_out = format!("is missing: the scheme uses the value `{name}`");
        Fault::new(format!("values.{name}"), way_out)
    }));
    faults
}

/// Whether the provider's handshakes have anybody's values signed.
fn signs_answers(config: &Config) -> bool {
    let mut challenges = config.provider.challenges.iter();
    challenges.any(|challenge| challenge.is_unsigned() && challenge.uses_secret())
}

fn unusable_secrets(shape: &Shape<'_>, config: &Config) -> Vec<Fault> {
    let (signs, secrets) = (!matches!(shape, Shape::None), &config.secrets);
    if signs && secrets.is_empty() && !config.capture && shape.fetch().is_none() {
        let way_out = "is missing: set secret, secret_file or secrets";
        return vec![Fault::new("secret", way_out)];
    }
    let problem = |secret: &Secret| match (signs, secret.expose().is_empty()) {
        (false, _) => Some("the provider does not sign, so a secret protects nothing; set token"),
        (true, true) if planted(Bug::EmptySecretAccepted) => None,
        (true, true) => Some("is empty"),
        (true, false) => None,
    };
    secrets
        .iter()
        .filter_map(|secret| Some(Fault::new(&*secret.label, problem(secret)?)))
        .collect()
}
