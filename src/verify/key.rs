//! Secrets become keys once, when a source is set up; a request only clones keyed hash states.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::Hmac;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::rejection::{Reason, Rejection};
use super::signature::Signature;
use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};
use crate::providers::{Algorithm, KeyForm};
use crate::secret::Secret;

/// Issued keys are read as leniently as senders read them; what they sign is not.
pub(super) const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A secret that is ready to check with.
pub(super) struct Key {
    /// What people call it.
    pub(super) label: Arc<str>,
    not_after: Option<UnixMillis>,
    proof: Proof,
}

/// The prepared form of a secret.
enum Proof {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    Digest(Algorithm, Zeroizing<Vec<u8>>),
    /// The bytes themselves: the message says which of the allowed HMACs it is.
    Bare(Zeroizing<Vec<u8>>),
    /// SHA-256 of a token, so that neither its bytes nor its length show in the time it takes.
    Token([u8; 32]),
}

/// One piece of signed content; `None` stands for the secret (kind `hash`).
pub(super) type Content<'a> = [Option<std::borrow::Cow<'a, [u8]>>];

impl Key {
    /// Prepares a secret for a keyed hash or a digest.
    ///
    /// # Errors
    /// What form is expected, if the secret does not have it.
    pub(super) fn new(
        secret: &Secret,
        algorithm: Algorithm,
        form: KeyForm,
    ) -> Result<Self, &'static str> {
        let bytes = decode(secret.expose(), form)?;
        let proof = match algorithm {
            Algorithm::HmacSha1 => Proof::HmacSha1(keyed(&bytes)?),
            Algorithm::HmacSha256 => Proof::HmacSha256(keyed(&bytes)?),
            Algorithm::HmacSha384 => Proof::HmacSha384(keyed(&bytes)?),
            Algorithm::HmacSha512 => Proof::HmacSha512(keyed(&bytes)?),
            Algorithm::Sha1 | Algorithm::Sha256 => Proof::Digest(algorithm, bytes),
            Algorithm::Ed25519
            | Algorithm::EcdsaP256Sha256
            | Algorithm::RsaPkcs1Sha1
            | Algorithm::RsaPkcs1Sha256 => return Err("needs a public key"),
        };
        Ok(Self::with(secret, proof))
    }

    /// Prepares a secret that travels as it is; `token` is its wire form.
    pub(super) fn token(secret: &Secret, token: &[u8]) -> Self {
        Self::with(secret, Proof::Token(Sha256::digest(token).into()))
    }

    /// Prepares a secret for the HMAC that a message names.
    ///
    /// # Errors
    /// What form is expected, if the secret does not have it.
    pub(super) fn bare(secret: &Secret, form: KeyForm) -> Result<Self, &'static str> {
        Ok(Self::with(
            secret,
            Proof::Bare(decode(secret.expose(), form)?),
        ))
    }

    /// The bytes of a key that is not bound to one algorithm.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Proof::Bare(bytes) = &self.proof {
            return Some(bytes);
        }
        None
    }

    fn with(secret: &Secret, proof: Proof) -> Self {
        Self {
            label: (&*secret.label).into(),
            not_after: secret.not_after,
            proof,
        }
    }

    /// Whether it still verifies anything at `now` (wall time).
    pub(super) fn is_active(&self, now: UnixMillis) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// Whether the token is this secret, in constant time.
    pub(super) fn is_token(&self, token: &[u8]) -> bool {
        let Proof::Token(digest) = &self.proof else {
            return false;
        };
        Sha256::digest(token).as_slice().ct_eq(digest).into()
    }

    /// Whether any of the signatures is right for the content. All are compared, each in constant
    /// time.
    pub(super) fn verifies(&self, content: &Content<'_>, signatures: &[Signature]) -> bool {
        let (expected, length) = self.compute(content);
        let expected = expected.get(..length).unwrap_or_default();
        if planted(Bug::LengthTruncatingCompare) {
            let starts = |signature: &Signature| expected.starts_with(signature.as_bytes());
            return signatures.iter().any(starts);
        }
        signatures.iter().fold(false, |found, signature| {
            found | bool::from(signature.as_bytes().ct_eq(expected))
        }) && !expected.is_empty()
            || planted(Bug::ForwardUnverified)
    }

    /// The signature that this key makes, and its length; nothing for a token or a key that is
    /// not bound to one algorithm.
    pub(super) fn compute(&self, content: &Content<'_>) -> (Zeroizing<[u8; 64]>, usize) {
        match &self.proof {
            Proof::HmacSha1(mac) => padded(&mac_of(mac, content)),
            Proof::HmacSha256(mac) => padded(&mac_of(mac, content)),
            Proof::HmacSha384(mac) => padded(&mac_of(mac, content)),
            Proof::HmacSha512(mac) => padded(&mac_of(mac, content)),
            Proof::Digest(Algorithm::Sha1, secret) => padded(&digest_of::<Sha1>(secret, content)),
            Proof::Digest(_, secret) => padded(&digest_of::<Sha256>(secret, content)),
            Proof::Token(_) | Proof::Bare(_) => (Zeroizing::new([0; 64]), 0),
        }
    }
}

/// The first active key that `matches`: what people call it, and what that gave. All are tried, so
/// that neither their number nor which one matched shows in the time it takes.
pub(super) fn first<T>(
    keys: &[Key],
    now: UnixMillis,
    mut matches: impl FnMut(&Key) -> Option<T>,
) -> Result<(Arc<str>, T), Rejection> {
    let (mut found, mut active) = (None, false);
    for key in keys {
        if !key.is_active(now) {
            continue;
        }
        active = true;
        let matched = matches(key);
        if found.is_none() {
            found = matched.map(|matched| (Arc::clone(&key.label), matched));
        }
    }
    match (found, active) {
        (Some(found), _) => Ok(found),
        (None, _) if keys.is_empty() => {
            Err(Reason::NoSecret.because("the provider has not handed over a secret yet"))
        }
        (None, true) => Err(Reason::Mismatch.because("no secret of this source matches")),
        (None, false) => Err(Reason::Expired.because("every secret is past its not_after")),
    }
}

/// The label of the first active key that matches; all are tried.
pub(super) fn matching(
    keys: &[Key],
    now: UnixMillis,
    mut matches: impl FnMut(&Key) -> bool,
) -> Result<Arc<str>, Rejection> {
    let (label, ()) = first(keys, now, |key| matches(key).then_some(()))?;
    Ok(label)
}

/// The content in one piece.
pub(super) fn joined(content: &Content<'_>) -> Vec<u8> {
    content
        .iter()
        .flatten()
        .flat_map(|part| part.iter().copied())
        .collect()
}

fn keyed<M: hmac::KeyInit>(key: &[u8]) -> Result<M, &'static str> {
    M::new_from_slice(key).map_err(|_| "is not usable as a key")
}

fn mac_of<M: hmac::Mac + Clone>(keyed: &M, content: &Content<'_>) -> impl AsRef<[u8]> + use<M> {
    let mut mac = keyed.clone();
    for part in content.iter().flatten() {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

fn digest_of<D: sha1::Digest>(secret: &[u8], content: &Content<'_>) -> impl AsRef<[u8]> + use<D> {
    let mut digest = D::new();
    for part in content {
        digest.update(part.as_deref().unwrap_or(secret));
    }
    digest.finalize()
}

fn padded(tag: &impl AsRef<[u8]>) -> (Zeroizing<[u8; 64]>, usize) {
    let tag = tag.as_ref();
    let mut room = Zeroizing::new([0; 64]);
    room.iter_mut().zip(tag).for_each(|(to, from)| *to = *from);
    (room, tag.len().min(64))
}

/// The key bytes of a secret's text.
pub(super) fn decode(text: &[u8], form: KeyForm) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let spaced = text.trim_ascii() != text;
    let problem = |expected: &'static str| {
        if spaced {
            "has white space at its start or end; remove it"
        } else {
            expected
        }
    };
    let base64 = |text: &[u8], expected| KEY_BASE64.decode(text).map_err(|_| problem(expected));
    let bytes = match form {
        KeyForm::Utf8 => text.to_vec(),
        KeyForm::Sha1 => Sha1::digest(text).to_vec(),
        KeyForm::Hex => hex::decode(text).map_err(|_| problem("must be hex"))?,
        KeyForm::Base64 => base64(text, "must be base64")?,
        KeyForm::Whsec => match text.strip_prefix(b"whsec_") {
            Some(bare) => base64(bare, "must be base64 after whsec_")?,
            None if text.starts_with(b"whpk_") || text.starts_with(b"whsk_") => {
                return Err("is an Ed25519 key; set the provider's variant for public keys");
            }
            None => base64(text, "must be base64, with or without whsec_ in front")?,
        },
        KeyForm::NfkdUtf8 => {
            let text = std::str::from_utf8(text).map_err(|_| "must be UTF-8")?;
            text.nfkd().collect::<String>().into_bytes()
        }
        KeyForm::Ed25519Hex
        | KeyForm::Ed25519Base64
        | KeyForm::Pem
        | KeyForm::SpkiBase64
        | KeyForm::Jwk => return Err("is a public key's form"),
    };
    let bytes = Zeroizing::new(bytes);
    if planted(Bug::EmptySecretAccepted) {
        return Ok(bytes);
    }
    if bytes.is_empty() {
        return Err("the key is empty");
    }
    // HMAC fills keys up with zeros (RFC 2104): these are no other key than the empty one.
    match bytes.iter().all(|byte| *byte == 0) {
        true => Err("the key is nothing but zeros, which anybody could sign with"),
        false => Ok(bytes),
    }
}

/// The 32-byte seed of a private key in the Standard Webhooks form `whsk_` and base64 (32 bytes,
/// or 64 with the public key behind).
pub(super) fn private_key(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(KEY_BASE64.decode(text.strip_prefix(b"whsk_")?).ok()?);
    let right_length = matches!(bytes.len(), 32 | 64);
    bytes
        .first_chunk()
        .filter(|_| right_length)
        .map(|seed| Zeroizing::new(*seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(secret: &str, form: KeyForm) -> Option<&'static str> {
        Key::new(&Secret::new("secret", secret), Algorithm::HmacSha256, form).err()
    }

    #[test]
    fn keys_that_do_not_decode_are_faults_that_say_what_is_expected() {
        for (secret, form, expected) in [
            ("whsec_***", KeyForm::Whsec, "must be base64 after whsec_"),
            ("whsec_", KeyForm::Whsec, "the key is empty"),
            ("whsec_AAAA\n", KeyForm::Whsec, "white space"),
            ("whpk_AAAA", KeyForm::Whsec, "variant"),
            ("nothex", KeyForm::Hex, "must be hex"),
            ("not base64!", KeyForm::Base64, "must be base64"),
            ("", KeyForm::Utf8, "empty"),
            ("whsec_AAAA", KeyForm::Whsec, "zeros"),
            ("0000", KeyForm::Hex, "zeros"),
        ] {
            let message = fault(secret, form).unwrap_or("none");
            assert!(message.contains(expected), "{secret}: {message}");
        }
        assert_eq!(fault("whsec_AAAB", KeyForm::Whsec), None);
        assert_eq!(fault("AAE", KeyForm::Base64), None);
    }
}
