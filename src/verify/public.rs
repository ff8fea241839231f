//! The public keys of a scheme: pinned in the source's secrets, or fetched.

use std::sync::Arc;

use base64::Engine as _;

use super::fetched::{self, Fetched};
use super::key::KEY_BASE64;
use super::rejection::{Reason, Rejection};
use super::view::View;
use crate::clock::UnixMillis;
use crate::keys::{PublicForm, PublicKey, SignatureAlgorithm, Wanted};
use crate::providers::{Algorithm, KeyForm};
use crate::secret::Secret;

/// A public key and what people call it.
pub(super) struct PinnedKey {
    label: Arc<str>,
    not_after: Option<UnixMillis>,
    key: PublicKey,
}

/// The public keys of a source.
pub(super) enum PublicKeys {
    /// The operator's own.
    Pinned(Vec<PinnedKey>),
    /// The sender's, fetched.
    Fetched(Fetched),
}

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
                    pinned.push(PinnedKey {
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
        Ok(Self::Pinned(pinned))
    }

    /// The first key that `verifies`: what people call it, and what that gave. Only the key with
    /// the name that the sender gives, `kid`, is asked, as far as both give one.
    pub(super) fn first<T>(
        &self,
        view: &View<'_>,
        kid: Option<&str>,
        now: UnixMillis,
        verifies: impl Fn(&PublicKey) -> Option<T>,
    ) -> Result<(Arc<str>, T), Rejection> {
        match self {
            Self::Pinned(pinned) => {
                let active = |one: &&PinnedKey| one.not_after.is_none_or(|end| now <= end);
                let mut active = pinned.iter().filter(active).peekable();
                if active.peek().is_none() {
                    return Err(Reason::Expired.because("every key is past its not_after"));
                }
                let labelled = active.map(|one| (&one.label, &one.key));
                first_named(labelled, kid, verifies)
            }
            Self::Fetched(fetched) => {
                let keys = fetched.keys(view, kid)?;
                let label = fetched::LABEL.into();
                first_named(keys.iter().map(|key| (&label, key)), kid, verifies)
            }
        }
    }

    /// The key that a request needs and that has to be fetched.
    pub(super) fn wanted(&self, view: &View<'_>, kid: Option<&str>) -> Option<Wanted> {
        match self {
            Self::Pinned(_) => None,
            Self::Fetched(fetched) => fetched.wanted(view, kid).ok(),
        }
    }
}

/// The first key that has the name and verifies, with its label.
fn first_named<'k, T>(
    keys: impl Iterator<Item = (&'k Arc<str>, &'k PublicKey)>,
    kid: Option<&str>,
    verifies: impl Fn(&PublicKey) -> Option<T>,
) -> Result<(Arc<str>, T), Rejection> {
    let has_name = |key: &PublicKey| {
        let names = kid.zip(key.kid());
        names.is_none_or(|(wanted, known)| wanted == known)
    };
    let mut named = keys.filter(|(_, key)| has_name(key)).peekable();
    if named.peek().is_none() {
        return Err(Reason::UnknownKey.because("no key has the name that the sender gives"));
    }
    named
        .find_map(|(label, key)| Some((Arc::clone(label), verifies(key)?)))
        .ok_or_else(|| Reason::Mismatch.because("no key of this source made the signature"))
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
