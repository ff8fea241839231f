//! A public key of a sender, and the signatures it verifies.
//!
//! The algorithm is always the caller's: a key only says whether it suits. What does not suit
//! verifies nothing.

use ed25519_dalek::{Signature, VerifyingKey};
use ring::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, EcdsaVerificationAlgorithm,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{form, jwk};

/// Bits of an RSA modulus from which a key counts as strong.
const RSA_BITS_MIN: usize = 2048;
/// A shorter modulus is no key at all. From here to [`RSA_BITS_MIN`] a key is for SHA-1 only, whose
/// senders are as old as their keys.
const RSA_BITS_MIN_SHA1: usize = 1024;
/// A longer modulus costs more time than a request may.
const RSA_BITS_MAX: usize = 8192;

/// How a public key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicForm {
    /// PEM: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`, of which the first block counts.
    Pem,
    /// DER `SubjectPublicKeyInfo` in base64, the inside of a PEM.
    SpkiBase64,
    /// A JSON Web Key, or a set of them (RFC 7517).
    Jwk,
}

/// What a public key can be asked to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256, the signature in ASN.1 DER.
    EcdsaP256Sha256Der,
    /// The same, the signature as r and s of 32 bytes each (JOSE).
    EcdsaP256Sha256Fixed,
    /// RSA PKCS#1 v1.5 with SHA-1, for the senders that still use it.
    RsaPkcs1Sha1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RsaPkcs1Sha512,
}

/// A public key, ready for use.
pub struct PublicKey {
    pub(super) kid: Option<Box<str>>,
    /// The one JOSE algorithm that the key is meant for, if it says so.
    pub(super) jose: Option<Box<str>>,
    pub(super) material: Material,
}

pub(super) enum Material {
    Ed25519(Box<VerifyingKey>),
    /// The uncompressed point.
    P256([u8; 65]),
    /// Modulus and exponent without leading zeros.
    Rsa(RsaPublicKeyComponents<Box<[u8]>>),
}

impl PublicKey {
    /// Reads the keys of a text: one, or for a JWK set all that are of use.
    ///
    /// # Errors
    /// What is wrong with it, or what form is expected.
    pub fn parse(text: &[u8], form: PublicForm) -> Result<Vec<Self>, &'static str> {
        match form {
            PublicForm::Pem => Ok(vec![form::pem(text)?.into()]),
            PublicForm::SpkiBase64 => Ok(vec![form::spki_base64(text)?.into()]),
            PublicForm::Jwk => jwk::parse(text),
        }
    }

    /// An Ed25519 key from its 32 bytes.
    ///
    /// # Errors
    /// When they are not a key, or one that anybody can sign for.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        Ok(Material::ed25519(bytes)?.into())
    }

    /// The name that the sender gives it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether it can be, and is meant to be, used with the algorithm.
    #[must_use]
    pub fn suits(&self, algorithm: SignatureAlgorithm) -> bool {
        let meant = self
            .jose
            .as_deref()
            .is_none_or(|name| algorithm.jose_names().contains(&name));
        meant
            && match &self.material {
                Material::Ed25519(_) => algorithm == SignatureAlgorithm::Ed25519,
                Material::P256(_) => algorithm.ecdsa().is_some(),
                Material::Rsa(key) => {
                    let old = algorithm == SignatureAlgorithm::RsaPkcs1Sha1;
                    algorithm.rsa().is_some() && (old || bits(&key.n) >= RSA_BITS_MIN)
                }
            }
    }

    /// Whether the signature over the message is this key's; never with an algorithm that does not
    /// suit it.
    #[must_use]
    pub fn verifies(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        match &self.material {
            Material::Ed25519(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Material::P256(point) => algorithm.ecdsa().is_some_and(|algorithm| {
                let key = UnparsedPublicKey::new(algorithm, point);
                key.verify(message, signature).is_ok()
            }),
            Material::Rsa(key) => algorithm
                .rsa()
                .is_some_and(|algorithm| key.verify(algorithm, message, signature).is_ok()),
        }
    }
}

impl From<Material> for PublicKey {
    fn from(material: Material) -> Self {
        Self {
            kid: None,
            jose: None,
            material,
        }
    }
}

impl Material {
    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        let key = bytes
            .try_into()
            .ok()
            .and_then(|bytes| VerifyingKey::from_bytes(bytes).ok())
            .filter(|key| !key.is_weak());
        let key = key.ok_or("must be an Ed25519 public key, 32 bytes")?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    pub(super) fn p256(point: &[u8]) -> Result<Self, &'static str> {
        let expected = "must be an uncompressed point of the curve P-256";
        let point = point.try_into().map_err(|_| expected)?;
        if is_on_p256(point) {
            Ok(Self::P256(*point))
        } else {
            Err(expected)
        }
    }

    /// A key from modulus and exponent, both big-endian.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let (n, e) = (bare(modulus), bare(exponent));
        if !(RSA_BITS_MIN_SHA1..=RSA_BITS_MAX).contains(&bits(n)) {
            return Err("must be an RSA key of 2048 to 8192 bits");
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !is_odd(n) || !is_odd(e) || e == [1] || bits(e) > 33 {
            return Err("is not an RSA key: modulus or exponent cannot be one");
        }
        Ok(Self::Rsa(RsaPublicKeyComponents {
            n: n.into(),
            e: e.into(),
        }))
    }
}

impl SignatureAlgorithm {
    /// What JWKs call it.
    fn jose_names(self) -> &'static [&'static str] {
        match self {
            Self::Ed25519 => &["EdDSA", "Ed25519"],
            Self::EcdsaP256Sha256Der | Self::EcdsaP256Sha256Fixed => &["ES256"],
            Self::RsaPkcs1Sha1 => &[],
            Self::RsaPkcs1Sha256 => &["RS256"],
            Self::RsaPkcs1Sha384 => &["RS384"],
            Self::RsaPkcs1Sha512 => &["RS512"],
        }
    }

    fn ecdsa(self) -> Option<&'static EcdsaVerificationAlgorithm> {
        match self {
            Self::EcdsaP256Sha256Der => Some(&ECDSA_P256_SHA256_ASN1),
            Self::EcdsaP256Sha256Fixed => Some(&ECDSA_P256_SHA256_FIXED),
            Self::Ed25519
            | Self::RsaPkcs1Sha1
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512 => None,
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::RsaPkcs1Sha1 => Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            Self::RsaPkcs1Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RsaPkcs1Sha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RsaPkcs1Sha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Ed25519 | Self::EcdsaP256Sha256Der | Self::EcdsaP256Sha256Fixed => None,
        }
    }
}

/// A number without leading zeros.
fn bare(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Significant bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(unused as usize)
}

/// Key agreement is the one thing in ring that says whether a point is on the curve.
fn is_on_p256(point: &[u8; 65]) -> bool {
    use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
    let random = ring::rand::SystemRandom::new();
    EphemeralPrivateKey::generate(&ECDH_P256, &random).is_ok_and(|own| {
        agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, point), |_| ()).is_ok()
    })
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
