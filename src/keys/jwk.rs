//! JSON Web Keys (RFC 7517, 7518, 8037), one or a set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::public::{Material, PublicKey};

/// Real sets have a handful of keys.
const KEYS_MAX: usize = 64;

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Only private and symmetric keys have it.
    d: Option<serde::de::IgnoredAny>,
    kid: Option<Box<str>>,
    alg: Option<Box<str>>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
}

/// The key, or all keys of a set that are public, for signatures, and of a kind that is known.
pub(super) fn parse(text: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
    let expected = "must be a JSON Web Key or a set of them";
    let set: Set<'_> = serde_json::from_slice(text).map_err(|_| expected)?;
    let Some(keys) = set.keys else {
        let jwk = serde_json::from_slice(text).map_err(|_| expected)?;
        return Ok(vec![key(jwk)?]);
    };
    if keys.len() > KEYS_MAX {
        return Err("is a set of more than 64 keys");
    }
    let read = |raw: &&RawValue| key(serde_json::from_str(raw.get()).ok()?).ok();
    let keys: Vec<_> = keys.iter().filter_map(read).collect();
    if keys.is_empty() {
        return Err("has no public RSA, P-256 or Ed25519 key for signatures");
    }
    Ok(keys)
}

fn key(jwk: Jwk) -> Result<PublicKey, &'static str> {
    if jwk.d.is_some() {
        return Err("is a private key; the receiver needs the public one");
    }
    let for_signatures = jwk
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == "sig")
        && jwk
            .key_ops
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !for_signatures {
        return Err("is a key that is not for verifying signatures");
    }
    let material = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => Material::ed25519(&bytes(jwk.x)?),
        ("EC", Some("P-256")) => {
            let point = [vec![4], bytes(jwk.x)?, bytes(jwk.y)?].concat();
            Material::p256(&point)
        }
        ("RSA", _) => Material::rsa(&bytes(jwk.n)?, &bytes(jwk.e)?),
        _ => Err("must be an RSA, P-256 or Ed25519 key"),
    }?;
    Ok(PublicKey {
        kid: jwk.kid,
        jose: jwk.alg,
        material,
    })
}

fn bytes(member: Option<String>) -> Result<Vec<u8>, &'static str> {
    member
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or("lacks a number of the key, or has it not in base64url")
}
