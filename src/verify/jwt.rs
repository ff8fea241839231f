//! Signed tokens: compact JWS (RFC 7515) around a set of claims (RFC 7519).
//!
//! The scheme says which algorithms there may be, the token only which of them it has; `none` is
//! not among them. Shared secrets check HS*, public keys everything else. Claims can be read only
//! from a [`Genuine`], and there is one only when the signature held. A name that occurs twice in
//! header or claims makes the token malformed, since another reader could take the other value.
//!
//! A [`Detached`] signature has the same header and stands apart from a payload that is no token.
//!
//! What this does not do: encrypted tokens, and keys that the token itself carries or points to
//! (`jwk`, `jku`, `x5c`, `x5u` are not looked at).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use super::rejection::{Reason, Rejection};
use crate::clock::UnixMillis;
use crate::keys::{PublicKey, SignatureAlgorithm};
use crate::planted::{Bug, planted};
use crate::providers::JwtAlgorithm;

/// The longest token; some providers send the event itself as one.
const TOKEN_BYTES_MAX: usize = 256 * 1024;
/// The longest header of a token.
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// The longest name of a key.
const KID_BYTES_MAX: usize = 256;

/// What a public key has to verify; `None` if a shared secret does.
pub(super) fn public(algorithm: JwtAlgorithm) -> Option<SignatureAlgorithm> {
    match algorithm {
        JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 => None,
        JwtAlgorithm::Rs256 => Some(SignatureAlgorithm::RsaPkcs1Sha256),
        JwtAlgorithm::Rs384 => Some(SignatureAlgorithm::RsaPkcs1Sha384),
        JwtAlgorithm::Rs512 => Some(SignatureAlgorithm::RsaPkcs1Sha512),
        JwtAlgorithm::Es256 => Some(SignatureAlgorithm::EcdsaP256Sha256Fixed),
    }
}

/// A token that was taken apart; nothing in it is believed yet.
pub(super) struct Token<'a> {
    signed: &'a [u8],
    signature: Vec<u8>,
    payload: Vec<u8>,
    algorithm: JwtAlgorithm,
    kid: Option<String>,
}

/// A token whose signature held.
pub(super) struct Genuine<'t>(&'t Token<'t>);

/// The claims of a genuine token.
pub(super) struct Claims(Object);

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is not a token, has an algorithm other than those allowed, or demands what we do not know.
    pub(super) fn parse(text: &'a [u8], allowed: &[JwtAlgorithm]) -> Result<Self, Rejection> {
        let [header, payload, signature] = parts(text)?;
        let signed = text.len() - signature.len() - 1;
        let (members, algorithm, kid) = read_header(header, allowed)?;
        if members.0.contains_key("crit") {
            let detail = "the token demands an extension that is not supported";
            return Err(malformed(detail));
        }
        Ok(Self {
            signed: text.get(..signed).unwrap_or_default(),
            signature: decode(signature)?,
            payload: decode(payload)?,
            algorithm,
            kid,
        })
    }

    /// The key that it says it was signed with.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The proof that the holder of the secret signed it; only ever for HS*.
    pub(super) fn signed_with_secret(&self, secret: &[u8]) -> Option<Genuine<'_>> {
        let tag = tag(self.algorithm, secret, self.signed)?;
        bool::from(tag.ct_eq(&self.signature)).then_some(Genuine(self))
    }

    /// The proof that the owner of the public key signed it; never for HS*, nor with a key that has
    /// another name.
    pub(super) fn signed_by(&self, key: &PublicKey) -> Option<Genuine<'_>> {
        let algorithm = public(self.algorithm)?;
        if let (Some(wanted), Some(has)) = (self.kid(), key.kid())
            && wanted != has
        {
            return None;
        }
        key.verifies(algorithm, self.signed, &self.signature)
            .then_some(Genuine(self))
    }
}

impl Genuine<'_> {
    /// Reads the claims.
    ///
    /// # Errors
    /// The payload is not one JSON object whose names are all different.
    pub(super) fn claims(self) -> Result<Claims, Rejection> {
        let claims = Object::read(&self.0.payload);
        let claims = claims.ok_or_else(|| malformed("the token's claims are not a JSON object"))?;
        Ok(Claims(claims))
    }
}

impl Claims {
    /// A claim that is a string, an integer or a boolean, as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        scalar(&self.0.value(name)?)
    }

    /// Whether a claim, or one element of it if it is an array, is as wanted; `None` if it is absent.
    pub(super) fn any(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Option<bool> {
        let is_wanted = |value: &Value| scalar(value).is_some_and(|text| wanted(&text));
        let value = self.0.value(name)?;
        let elements = value.as_array().map(Vec::as_slice);
        let values = elements.unwrap_or(std::slice::from_ref(&value));
        Some(values.iter().any(is_wanted))
    }

    /// Checks `exp`, `nbf` and `iat`, where they are present, against `now` (wall time). Clocks may
    /// differ by the leeway. With a `max_age` there has to be an `iat`, and the token may be that
    /// old and no older.
    pub(super) fn check_time(
        &self,
        now: UnixMillis,
        leeway: Duration,
        max_age: Option<Duration>,
    ) -> Result<(), Rejection> {
        // Senders count in whole seconds; of a fraction of ours they know nothing.
        let (now, leeway) = (now.seconds() as f64, leeway.as_secs_f64());
        if let Some(end) = self.instant("exp")?
            && now >= end + leeway
        {
            let detail = format!("the token expired {:.0} s ago", now - end);
            return Err(Reason::Stale.because(detail));
        }
        let issued = self.instant("iat")?;
        let start = [self.instant("nbf")?, issued].into_iter().flatten();
        let start = start.fold(f64::NEG_INFINITY, f64::max);
        if now < start - leeway {
            let detail = format!("the token becomes valid in {:.0} s", start - now);
            return Err(Reason::Future.because(detail));
        }
        match (max_age.map(|age| age.as_secs_f64()), issued) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Reason::NoHeader.because("the token has no iat")),
            (Some(max), Some(issued)) if now - issued > max => {
                let age = now - issued;
                let detail = format!("the token is {age:.0} s old, the maximum {max:.0} s");
                Err(Reason::Stale.because(detail))
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Seconds since the Unix epoch, perhaps with a fraction.
    fn instant(&self, name: &str) -> Result<Option<f64>, Rejection> {
        let Some(raw) = self.0.0.get(name) else {
            return Ok(None);
        };
        match serde_json::from_str(raw.get()) {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(malformed("exp, nbf or iat is not a number")),
        }
    }
}

/// A signature apart from what it signs: its header, a dot, and the payload as it is (RFC 7797).
pub(super) struct Detached<'a> {
    /// The header as it was written.
    pub(super) header: &'a [u8],
    pub(super) signature: Vec<u8>,
    pub(super) kid: Option<String>,
}

impl<'a> Detached<'a> {
    /// Takes a detached signature apart.
    ///
    /// # Errors
    /// It is not one, has an algorithm other than those allowed, or signs the payload otherwise.
    pub(super) fn parse(text: &'a [u8], allowed: &[JwtAlgorithm]) -> Result<Self, Rejection> {
        let [header, payload, signature] = parts(text)?;
        let (members, _, kid) = read_header(header, allowed)?;
        let unencoded = members.value("b64") == Some(Value::Bool(false))
            && members.value("crit") == Some(Value::Array(vec!["b64".into()]));
        if !payload.is_empty() || !unencoded {
            return Err(malformed(
                "the signature is not one over a detached, raw payload",
            ));
        }
        Ok(Self {
            header,
            signature: decode(signature)?,
            kid,
        })
    }
}

/// Header, payload and signature.
fn parts(text: &[u8]) -> Result<[&[u8]; 3], Rejection> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(malformed("the token is too long"));
    }
    let mut parts = text.split(|byte| *byte == b'.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => Err(malformed("the token does not have three parts")),
    }
}

/// The members of a header, which algorithm it names, and which key.
fn read_header(
    header: &[u8],
    allowed: &[JwtAlgorithm],
) -> Result<(Object, JwtAlgorithm, Option<String>), Rejection> {
    if header.len() > HEADER_BYTES_MAX {
        return Err(malformed("the token's header is too long"));
    }
    let members = Object::read(&decode(header)?);
    let members = members.ok_or_else(|| malformed("the token's header is odd"))?;
    let name = members.string("alg")?;
    let allowed = match planted(Bug::AlgorithmFromRequest) {
        true => &[
            JwtAlgorithm::Hs256,
            JwtAlgorithm::Hs384,
            JwtAlgorithm::Hs512,
            JwtAlgorithm::Rs256,
            JwtAlgorithm::Rs384,
            JwtAlgorithm::Rs512,
            JwtAlgorithm::Es256,
        ][..],
        false => allowed,
    };
    let algorithm = allowed
        .iter()
        .find(|allowed| name.as_deref() == Some(allowed.as_str()))
        .ok_or_else(|| malformed("the token's algorithm is not one of the scheme's"))?;
    let kid = members.string("kid")?;
    if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
        return Err(malformed("the token names a key with an overlong name"));
    }
    Ok((members, *algorithm, kid))
}

/// The members of a JSON object, not yet read.
struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    /// `None` if the text is not an object, or has a name twice.
    fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    fn value(&self, name: &str) -> Option<Value> {
        let raw = self.0.get(name)?;
        // Nested too deeply to be a value: present, but like nothing.
        Some(serde_json::from_str(raw.get()).unwrap_or(Value::Null))
    }

    /// A string of a token's header.
    fn string(&self, name: &str) -> Result<Option<String>, Rejection> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(malformed("alg or kid of the token is not a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Object(members))
    }
}

/// A token with these claims, a JSON object; `None` unless the algorithm is one of HS*.
pub(super) fn issue(algorithm: JwtAlgorithm, secret: &[u8], claims: &str) -> Option<String> {
    let signed = unsigned(algorithm, claims);
    let signature = tag(algorithm, secret, signed.as_bytes())?;
    Some(with_signature(&signed, &signature))
}

/// What is signed of a token with these claims.
pub(super) fn unsigned(algorithm: JwtAlgorithm, claims: &str) -> String {
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.as_str());
    let [header, claims] = [&*header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}")
}

/// The whole token.
pub(super) fn with_signature(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A signature that stands apart from the payload.
pub(super) fn detached(algorithm: JwtAlgorithm, signature: &[u8]) -> String {
    let header = format!(
        r#"{{"alg":"{}","b64":false,"crit":["b64"]}}"#,
        algorithm.as_str()
    );
    let [header, signature] =
        [header.as_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}..{signature}")
}

/// The claims' text in a token that nothing is known about.
pub(super) fn payload(token: &[u8]) -> Option<Vec<u8>> {
    let part = token.split(|byte| *byte == b'.').nth(1)?;
    URL_SAFE_NO_PAD.decode(part.trim_ascii()).ok()
}

/// The signature of HS*; there is none with an empty secret.
fn tag(algorithm: JwtAlgorithm, secret: &[u8], signed: &[u8]) -> Option<Vec<u8>> {
    fn of<M: Mac + KeyInit>(secret: &[u8], signed: &[u8]) -> Option<Vec<u8>> {
        let mac = <M as KeyInit>::new_from_slice(secret).ok()?;
        Some(mac.chain_update(signed).finalize().into_bytes().to_vec())
    }
    let of = match algorithm {
        JwtAlgorithm::Hs256 => of::<Hmac<Sha256>>,
        JwtAlgorithm::Hs384 => of::<Hmac<Sha384>>,
        JwtAlgorithm::Hs512 => of::<Hmac<Sha512>>,
        JwtAlgorithm::Rs256 | JwtAlgorithm::Rs384 | JwtAlgorithm::Rs512 | JwtAlgorithm::Es256 => {
            return None;
        }
    };
    of(secret, signed).filter(|_| !secret.is_empty())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| malformed("the token is not base64url without padding"))
}

fn malformed(detail: &'static str) -> Rejection {
    Reason::Malformed.because(detail)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
