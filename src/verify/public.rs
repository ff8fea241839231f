//! The public keys of a scheme: pinned ones out of the source's secrets.

use std::sync::Arc;

use base64::Engine as _;

use super::key::KEY_BASE64;
use super::rejection::{Reason, Rejection};
use crate::clock::UnixMillis;
use crate::keys::{PublicForm, PublicKey, SignatureAlgorithm};
use crate::providers::{Algorithm, KeyForm};
use crate::secret::Secret;

/// A public key and what people call it.
struct Pinned {
    label: Arc<str>,
    not_after: Option<UnixMillis>,
    key: PublicKey,
}

/// The public keys of a source.
pub(super) struct PublicKeys(Vec<Pinned>);

impl PublicKeys {
    /// Reads the source's keys; `suits` says whether one can be used with the scheme.
    ///
    /// # Errors
    /// The label of the secret, and what form is expected.
    pub(super) fn pinned(
        secrets: &[Secret],
        form: KeyForm,
        suits: impl Fn(&PublicKey) -> bool,
    ) -> Result<Self, (String, &'static str)> {
        let mut pinned = Vec::new();
        for secret in secrets {
            let fault = |message| (secret.label.to_string(), message);
            let known = pinned.len();
            for key in parse(secret.expose(), form).map_err(fault)? {
                if suits(&key) {
                    let label = (&*secret.label).into();
                    let not_after = secret.not_after;
                    pinned.push(Pinned {
                        label,
                        not_after,
                        key,
                    });
                }
            }
            if pinned.len() == known {
                return Err(fault(
                    "is a key of another kind than the scheme's algorithm",
                ));
            }
        }
        Ok(Self(pinned))
    }

    /// The first active key that `verifies`: what people call it, and what that gave. Only the key
    /// with the name that the sender gives is asked, as far as both give one.
    pub(super) fn first<T>(
        &self,
        kid: Option<&str>,
        now: UnixMillis,
        verifies: impl Fn(&PublicKey) -> Option<T>,
    ) -> Result<(Arc<str>, T), Rejection> {
        let active = |pinned: &&Pinned| pinned.not_after.is_none_or(|end| now <= end);
        let mut active = self.0.iter().filter(active).peekable();
        if active.peek().is_none() {
            return Err(Reason::Expired.because("every key is past its not_after"));
        }
        let named = |pinned: &&Pinned| {
            let names = kid.zip(pinned.key.kid());
            names.is_none_or(|(wanted, known)| wanted == known)
        };
        let mut named = active.filter(named).peekable();
        if named.peek().is_none() {
            return Err(Reason::UnknownKey.because("none of the source's keys has that name"));
        }
        named
            .find_map(|pinned| Some((Arc::clone(&pinned.label), verifies(&pinned.key)?)))
            .ok_or_else(|| Reason::Mismatch.because("no key of this source made the signature"))
    }
}

/// The algorithm that public keys know, for a scheme of kind `asym`.
pub(super) fn signature_algorithm(algorithm: Algorithm) -> Option<SignatureAlgorithm> {
    match algorithm {
        Algorithm::Ed25519 => Some(SignatureAlgorithm::Ed25519),
        Algorithm::EcdsaP256Sha256 => Some(SignatureAlgorithm::EcdsaP256Sha256Der),
        Algorithm::RsaPkcs1Sha1 => Some(SignatureAlgorithm::RsaPkcs1Sha1),
        Algorithm::RsaPkcs1Sha256 => Some(SignatureAlgorithm::RsaPkcs1Sha256),
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::Sha1
        | Algorithm::Sha256 => None,
    }
}

/// The keys of a secret's text.
fn parse(text: &[u8], form: KeyForm) -> Result<Vec<PublicKey>, &'static str> {
    let spaced = text.trim_ascii() != text;
    let ed25519 = |bytes: Option<Vec<u8>>, expected| match bytes {
        Some(bytes) => Ok(vec![PublicKey::ed25519(&bytes)?]),
        None if spaced => Err("has white space at its start or end; remove it"),
        None => Err(expected),
    };
    match form {
        KeyForm::Ed25519Hex => ed25519(
            hex::decode(text).ok(),
            "must be an Ed25519 public key in hex",
        ),
        KeyForm::Ed25519Base64 if text.starts_with(b"whsk_") => {
            Err("is the sender's private key; the receiver needs the public one, whpk_")
        }
        KeyForm::Ed25519Base64 => ed25519(
            KEY_BASE64
                .decode(text.strip_prefix(b"whpk_").unwrap_or(text))
                .ok(),
            "must be an Ed25519 public key: base64, with or without whpk_ in front",
        ),
        KeyForm::Pem => PublicKey::parse(text, PublicForm::Pem),
        KeyForm::SpkiBase64 => PublicKey::parse(text, PublicForm::SpkiBase64),
        KeyForm::Jwk => PublicKey::parse(text, PublicForm::Jwk),
        KeyForm::Utf8
        | KeyForm::Whsec
        | KeyForm::Base64
        | KeyForm::Hex
        | KeyForm::Sha1
        | KeyForm::NfkdUtf8 => Err("is not a public key's form"),
    }
}
