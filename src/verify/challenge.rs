//! Handshakes: requests that are no events, and the answer that the provider waits for.
//!
//! Whoever knows the path can ask for most of these answers. So what is repeated is short and of
//! plain characters, and what is signed is of a form that no event of the source may have: the
//! answer cannot be turned into the signature of a forgery ([`could_be_an_answer`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Config;
use super::admit::{AckBody, Outcome, Reply};
use super::key::{Content, Key};
use super::rejection::{Reason, Rejection};
use super::view::{self, Ambiguous, View, pairs};
use crate::clock::UnixMillis;
use crate::providers::{
    AckRule, Algorithm, AnswerJson, AnswerPart, AnswerText, Challenge, Function, Kind, Place,
};
use crate::secret::Secret;

/// How answers are declared.
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// A larger body is not looked into for a handshake.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest value that an answer repeats; Microsoft Graph's are a sentence.
const ECHO_BYTES_MAX: usize = 1024;
/// Longest value that an answer signs, and longest secret that is taken.
const SIGNED_BYTES_MAX: usize = 128;

/// The handshakes of one source.
#[derive(Default)]
pub(super) struct Challenges {
    list: Vec<Compiled>,
    keys_sha256: Vec<Key>,
    keys_sha1: Vec<Key>,
    idle: Vec<String>,
    ack: AckRule,
}

/// One kind of handshake, ready for requests.
pub(super) struct Compiled {
    rule: Challenge,
    headers: Vec<(HeaderName, AnswerText)>,
    /// SHA-256 of what the checked value must be.
    expected: Option<[u8; 32]>,
}

impl Challenges {
    /// Compiles those that the source can answer; what is missing for others goes into
    /// [`Self::idle`].
    pub(super) fn new(config: &Config) -> Self {
        let mut challenges = Self {
            ack: config.provider.ack.clone(),
            ..Self::default()
        };
        let wanted = config.provider.challenges.iter();
        for rule in wanted.filter(|rule| rule.capture.is_none() || config.capture) {
            match compile(rule, config) {
                Ok(compiled) => challenges.list.push(compiled),
                Err(missing) => challenges.idle.push(format!(
                    "handshakes by {} are not answered: {missing}",
                    rule.method.method()
                )),
            }
        }
        if challenges.list.iter().any(|one| one.rule.uses_secret()) {
            challenges.keys_sha256 = keys(config, Algorithm::HmacSha256);
            challenges.keys_sha1 = keys(config, Algorithm::HmacSha1);
        }
        challenges
    }

    /// What the provider wants to read when its event is acknowledged. A value that it needs and
    /// the request lacks leaves it empty: the event is stored all the same.
    pub(super) fn ack(&self, view: &View<'_>, now: UnixMillis) -> AckBody {
        let fill = Fill {
            challenges: self,
            view,
            now,
        };
        let (bytes, content_type) = match (&self.ack.body, &self.ack.json) {
            (Some(text), _) => (text.clone(), TEXT),
            (None, Some(json)) => match fill.json(json) {
                Ok(json) => (json.to_string(), JSON),
                Err(_) => return AckBody::default(),
            },
            (None, None) => return AckBody::default(),
        };
        AckBody {
            content_type,
            bytes: bytes.into(),
        }
    }

    /// Handshakes that are not answered, and what they lack.
    pub(super) fn idle(&self) -> &[String] {
        &self.idle
    }

    /// The methods of handshakes.
    pub(super) fn methods(&self) -> impl Iterator<Item = http::Method> {
        self.list.iter().map(|one| one.rule.method.method())
    }

    /// The handshake that a request is, among the signed or the unsigned ones.
    pub(super) fn find(&self, view: &View<'_>, signed: bool) -> Option<&Compiled> {
        let mut list = self.list.iter();
        list.find(|one| one.rule.signed == signed && one.applies(view))
    }

    /// The answer to a handshake.
    ///
    /// # Errors
    /// What it checks does not hold, or it has a value that is not repeated or signed.
    pub(super) fn answer(&self, compiled: &Compiled, view: &View<'_>, now: UnixMillis) -> Outcome {
        let rule = &compiled.rule;
        compiled.check(view)?;
        let fill = Fill {
            challenges: self,
            view,
            now,
        };
        let mut headers = HeaderMap::new();
        let (body, content_type) = match (&rule.body, &rule.json) {
            (Some(text), _) if !text.parts().is_empty() => (fill.text(text)?, Some(TEXT)),
            (_, Some(json)) => (fill.json(json)?.to_string(), Some(JSON)),
            (_, None) => (String::new(), None),
        };
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, text) in &compiled.headers {
            let value = HeaderValue::try_from(fill.text(text)?);
            let value = value.map_err(|_| not_repeated("fits no header"))?;
            headers.insert(name.clone(), value);
        }
        let reply = Reply {
            status: rule.status,
            headers,
            body: body.into(),
            verified: rule.signed,
        };
        let Some(capture) = &rule.capture else {
            return Ok((reply, None));
        };
        let secret = fill.value(&capture.place, is_secret)?;
        Ok((reply, Some(Secret::new("captured", secret))))
    }
}

/// The challenge, if the source has what it needs; otherwise what it lacks.
fn compile(rule: &Challenge, config: &Config) -> Result<Compiled, String> {
    let set = |name: &&str| config.values.get(*name).is_some_and(|v| !v.is_empty());
    if let Some(name) = rule.config_names().find(|name| !set(name)) {
        return Err(format!("values.{name} is missing"));
    }
    let mut schemes = config.provider.pinned(config.variant.as_deref());
    if rule.uses_secret() && schemes.any(|scheme| scheme.kind != Kind::Mac) {
        return Err("the scheme has no key to sign the answer with".to_owned());
    }
    let headers = rule.headers.iter();
    let headers = headers.filter_map(|(name, text)| Some((name.parse().ok()?, text.clone())));
    let check = rule.check.as_ref();
    let expected = check
        .and_then(|check| check.equals_value.place.config_name())
        .and_then(|name| config.values.get(name));
    Ok(Compiled {
        headers: headers.collect(),
        expected: expected.map(|value| Sha256::digest(value.as_bytes()).into()),
        rule: rule.clone(),
    })
}

/// The source's secrets as keys of an algorithm, in the form that its scheme says.
fn keys(config: &Config, algorithm: Algorithm) -> Vec<Key> {
    let mut schemes = config.provider.pinned(config.variant.as_deref());
    let form = schemes.next().and_then(|scheme| scheme.key);
    let key = |secret| Key::new(secret, algorithm, form.unwrap_or_default());
    let keys = config.secrets.iter().map(key);
    // One that does not decode is a fault of the scheme's own.
    keys.filter_map(Result::ok).collect()
}

impl Compiled {
    fn applies(&self, view: &View<'_>) -> bool {
        let rule = &self.rule;
        if rule.method.method() != *view.method {
            return false;
        }
        if let Some(unless) = &rule.unless
            && (is_unseen(view, &unless.place) || !matches!(find(view, &unless.place), Ok(None)))
        {
            return false;
        }
        let Some(when) = &rule.when else {
            return true;
        };
        let Ok(Some(found)) = find(view, &when.place) else {
            return false;
        };
        let equals = rule.equals.as_ref();
        equals.is_none_or(|text| *found == *text.as_bytes())
            && (rule.signed || is_alone(view, &when.place))
    }

    fn check(&self, view: &View<'_>) -> Result<(), Rejection> {
        let Some(check) = &self.rule.check else {
            return Ok(());
        };
        let given = find(view, &check.from.place);
        let given = given.map_err(|Ambiguous| not_repeated("is there twice"))?;
        let given = given.ok_or_else(|| not_repeated("is missing"))?;
        let expected = self.expected.unwrap_or_default();
        let same = Sha256::digest(&*given).as_slice().ct_eq(&expected);
        match self.expected.is_some() && bool::from(same) {
            true => Ok(()),
            false => {
                Err(Reason::Mismatch.because("a handshake's token is not the configured value"))
            }
        }
    }
}

/// A value of a handshake. In a query a plus sign is a space, as in every form: what is repeated
/// is compared with what the provider meant, and no signature covers it.
fn find<'a>(view: &View<'a>, place: &Place) -> Result<Option<view::Bytes<'a>>, Ambiguous> {
    if let Place::Query(name) = place {
        let (_, query) = view.path_and_query();
        let named = pairs(query.as_bytes())
            .map(|(key, value)| (view::form_decode(key), view::form_decode(value)))
            .filter(|(key, _)| **key == *name.as_bytes());
        return view::only(named.map(|(_, value)| value));
    }
    if is_unseen(view, place) {
        return Ok(None);
    }
    view.find(place, None)
}

/// Whether the value, if there is one, is in a body that is not looked into.
fn is_unseen(view: &View<'_>, place: &Place) -> bool {
    place.is_in_body() && view.body.len() > BODY_BYTES_MAX
}

/// Whether nothing else is in the body, if the value is there: no event can be in it then.
fn is_alone(view: &View<'_>, place: &Place) -> bool {
    if !place.is_in_body() {
        return true;
    }
    if matches!(place, Place::Form(_)) {
        return view.form().count() == 1;
    }
    serde_json::from_slice::<Map<String, Value>>(view.body).is_ok_and(|object| object.len() == 1)
}

/// What answers are made of.
struct Fill<'a> {
    challenges: &'a Challenges,
    view: &'a View<'a>,
    now: UnixMillis,
}

impl Fill<'_> {
    fn text(&self, template: &AnswerText) -> Result<String, Rejection> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                AnswerPart::Text(part) => text.push_str(part),
                AnswerPart::Value(place) => text.push_str(&self.value(place, is_echo)?),
                AnswerPart::Function(function, place) => {
                    let value = self.value(place, is_token)?;
                    text.push_str(&self.signed(*function, &value)?);
                }
            }
        }
        Ok(text)
    }

    fn json(&self, template: &AnswerJson) -> Result<Value, Rejection> {
        Ok(match template {
            AnswerJson::Text(text) => Value::String(self.text(text)?),
            AnswerJson::Fixed(value) => value.clone(),
            AnswerJson::List(list) => {
                let list = list.iter().map(|one| self.json(one));
                Value::Array(list.collect::<Result<_, _>>()?)
            }
            AnswerJson::Table(table) => {
                let entry = |(key, one): (&String, _)| Ok((key.clone(), self.json(one)?));
                Value::Object(table.iter().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }

    fn value(&self, place: &Place, fits: impl Fn(&[u8]) -> bool) -> Result<String, Rejection> {
        let value = find(self.view, place);
        let value = value.map_err(|Ambiguous| not_repeated("is there twice"))?;
        let value = value.ok_or_else(|| not_repeated("is missing"))?;
        // What the operator set is not the sender's choice.
        if !matches!(place, Place::Config(_)) && !fits(&value) {
            return Err(not_repeated(
                "is too long or has other than plain characters",
            ));
        }
        String::from_utf8(value.into_owned()).map_err(|_| not_repeated("is not text"))
    }

    /// The keyed hash of a value under the first secret that is active.
    fn signed(&self, function: Function, value: &str) -> Result<String, Rejection> {
        let keys = match function {
            Function::HmacSha256Hex | Function::HmacSha256Base64 => &self.challenges.keys_sha256,
            Function::HmacSha1Hex => &self.challenges.keys_sha1,
        };
        let key = keys.iter().find(|key| key.is_active(self.now));
        let no_key = || Reason::Expired.because("no active secret to answer a handshake with");
        let (hash, length) = key
            .ok_or_else(no_key)?
            .compute(&[Some(value.as_bytes().into())]);
        let hash = hash.get(..length).unwrap_or_default();
        Ok(match function {
            Function::HmacSha256Hex | Function::HmacSha1Hex => hex::encode(hash),
            Function::HmacSha256Base64 => STANDARD.encode(hash),
        })
    }
}

fn not_repeated(what: &str) -> Rejection {
    Reason::Malformed.because(format!("a value of a handshake {what}"))
}

/// What may be repeated: visible ASCII and spaces, without what means something in HTML or in a
/// script.
fn is_echo(value: &[u8]) -> bool {
    let plain = |byte: &u8| {
        let meaningful = b"<>\"'`&\\".contains(byte);
        (byte.is_ascii_graphic() || *byte == b' ') && !meaningful
    };
    (1..=ECHO_BYTES_MAX).contains(&value.len()) && value.iter().all(plain)
}

/// What may be signed: the characters of UUIDs and base64.
fn is_token(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(byte);
    (1..=SIGNED_BYTES_MAX).contains(&value.len()) && value.iter().all(plain)
}

fn is_secret(value: &[u8]) -> bool {
    (1..=SIGNED_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// Whether signed content is of the form that answers to handshakes are signed in: then its
/// signature may come from such an answer, and proves nothing.
pub(super) fn could_be_an_answer(content: &Content<'_>) -> bool {
    let length: usize = content.iter().flatten().map(|part| part.len()).sum();
    length <= SIGNED_BYTES_MAX && is_token(&super::key::joined(content))
}
