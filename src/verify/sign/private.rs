//! Private keys: for signing as a sender of public-key schemes does, and throwaway ones to try it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    self as ways, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use x509_cert::der::asn1::{BitStringRef, Null, ObjectIdentifier};
use x509_cert::der::{Encode as _, Error};
use zeroize::Zeroizing;

use super::super::jwt;
use super::super::key::private_key;
use super::super::public::signature_algorithm;
use super::rsa::{self, RSA, sequence};
use crate::keys::SignatureAlgorithm;
use crate::providers::{KeyForm, Provider, Shape};
use crate::secret::Secret;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A key pair made up for trying a provider out. It has no `Debug`, since it holds a private key.
pub struct TestKey {
    /// What to sign with: `whsk_` for Ed25519, otherwise PKCS #8 in PEM.
    pub private: Zeroizing<String>,
    /// What the receiver verifies with, in the form that the scheme wants.
    pub public: String,
}

/// Makes a key pair for a provider's public-key scheme.
///
/// # Errors
/// The variant is unknown, or signs with a shared secret.
pub fn test_key(provider: &Provider, variant: Option<&str>) -> Result<TestKey, String> {
    let (algorithm, form) = key_of(provider, variant)?;
    let (private, key) = PrivateKey::generate(algorithm)?;
    let public = key.public(form)?;
    Ok(TestKey { private, public })
}

/// The public half of a private key, in the form that a provider's scheme wants.
///
/// # Errors
/// The variant is unknown or signs with a shared secret, or the private key does not suit it.
pub fn public_key(
    provider: &Provider,
    variant: Option<&str>,
    private: &Secret,
) -> Result<String, String> {
    let (algorithm, form) = key_of(provider, variant)?;
    let key = PrivateKey::parse(private.expose())?;
    if !key.suits(algorithm) {
        return Err(OF_ANOTHER_KIND.to_owned());
    }
    key.public(form)
}

/// The algorithm of a provider's key pairs, and the form of the public half.
fn key_of(
    provider: &Provider,
    variant: Option<&str>,
) -> Result<(SignatureAlgorithm, KeyForm), String> {
    let scheme = provider.pinned(variant).next();
    let scheme = scheme.ok_or_else(|| format!("{} has no such variant", provider.id))?;
    let shape = scheme.shape().map_err(|fault| format!("scheme.{fault}"))?;
    let (algorithm, form) = match shape {
        Shape::Signed(signed) => (signature_algorithm(signed.algorithm), signed.key),
        Shape::Jwt(token) => {
            let mut public = token
                .algorithms
                .iter()
                .filter_map(|name| jwt::public(*name));
            (public.next(), token.key)
        }
        Shape::Code(code) => (of_form(code.key), code.key),
        Shape::None | Shape::Token { .. } | Shape::Each { .. } => (None, KeyForm::default()),
    };
    let algorithm =
        algorithm.ok_or_else(|| format!("{} does not sign with a private key", provider.id))?;
    Ok((algorithm, form))
}

/// What a procedure's keys are for, as far as their form says.
fn of_form(form: KeyForm) -> Option<SignatureAlgorithm> {
    match form {
        KeyForm::Ed25519Hex | KeyForm::Ed25519Base64 => Some(SignatureAlgorithm::Ed25519),
        KeyForm::Pem | KeyForm::SpkiBase64 | KeyForm::Jwk => {
            Some(SignatureAlgorithm::RsaPkcs1Sha256)
        }
        KeyForm::Utf8
        | KeyForm::Whsec
        | KeyForm::Base64
        | KeyForm::Hex
        | KeyForm::Sha1
        | KeyForm::NfkdUtf8 => None,
    }
}

/// A private key, ready to sign with.
pub(super) enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    /// PKCS #8: ring's key pair is bound to one spelling of signatures.
    P256(Zeroizing<Vec<u8>>),
    /// Ready for all but SHA-1, and as PKCS #8.
    Rsa(Box<RsaKeyPair>, Zeroizing<Vec<u8>>),
}

const OF_ANOTHER_KIND: &str = "the private key is of another kind than the scheme's algorithm";
const NO_RANDOM: &str = "the system gives no random numbers";

impl PrivateKey {
    /// Reads `whsk_` and base64, or PKCS #8 in PEM.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let expected = "the private key must be whsk_ and base64 of 32 or 64 bytes, or PKCS #8 in \
                        PEM (BEGIN PRIVATE KEY) of an Ed25519, P-256 or RSA key";
        if let Some(seed) = private_key(text) {
            let pair = Ed25519KeyPair::from_seed_unchecked(&*seed);
            return pair.map(Self::Ed25519).map_err(|_| expected);
        }
        let pem = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| expected)?;
        let der = Zeroizing::new(pem.secret_pkcs8_der().to_vec());
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self::Ed25519(pair));
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(&der) {
            return Ok(Self::Rsa(Box::new(pair), der));
        }
        let key = Self::P256(der);
        key.public_bytes().map(|_| key).ok_or(expected)
    }

    /// A new key for the algorithm: as text, and ready.
    fn generate(algorithm: SignatureAlgorithm) -> Result<(Zeroizing<String>, Self), &'static str> {
        let random = SystemRandom::new();
        let text = match algorithm {
            SignatureAlgorithm::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                random.fill(&mut *seed).map_err(|_| NO_RANDOM)?;
                format!("whsk_{}", STANDARD.encode(*seed))
            }
            SignatureAlgorithm::EcdsaP256Sha256Der | SignatureAlgorithm::EcdsaP256Sha256Fixed => {
                let way = &ways::ECDSA_P256_SHA256_ASN1_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(way, &random).map_err(|_| NO_RANDOM)?;
                pem("PRIVATE KEY", pkcs8.as_ref())
            }
            SignatureAlgorithm::RsaPkcs1Sha1
            | SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512 => {
                pem("PRIVATE KEY", &rsa::generate().ok_or(NO_RANDOM)?)
            }
        };
        let text = Zeroizing::new(text);
        let key = Self::parse(text.as_bytes())?;
        Ok((text, key))
    }

    /// Whether it can sign that way.
    pub(super) fn suits(&self, algorithm: SignatureAlgorithm) -> bool {
        match self {
            Self::Ed25519(_) => algorithm == SignatureAlgorithm::Ed25519,
            Self::P256(_) => ecdsa(algorithm).is_some(),
            Self::Rsa(..) => {
                algorithm == SignatureAlgorithm::RsaPkcs1Sha1 || encoding(algorithm).is_some()
            }
        }
    }

    /// The signature of a message.
    pub(super) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, &'static str> {
        if !self.suits(algorithm) {
            return Err(OF_ANOTHER_KIND);
        }
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::P256(pkcs8) => ecdsa(algorithm)
                .and_then(|way| EcdsaKeyPair::from_pkcs8(way, pkcs8, &random).ok())
                .and_then(|pair| pair.sign(&random, message).ok())
                .map(|signature| signature.as_ref().to_vec()),
            Self::Rsa(pair, pkcs8) => match encoding(algorithm) {
                None => rsa::sign_sha1(pkcs8, message),
                Some(encoding) => {
                    let mut signature = vec![0; pair.public().modulus_len()];
                    let signed = pair.sign(encoding, &random, message, &mut signature);
                    signed.ok().map(|()| signature)
                }
            },
        };
        signature.ok_or(NO_RANDOM)
    }

    /// The public key alone: 32 bytes, an uncompressed point, or `RSAPublicKey`.
    fn public_bytes(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Self::P256(pkcs8) => {
                let (way, random) = (&ways::ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
                let pair = EcdsaKeyPair::from_pkcs8(way, pkcs8, &random).ok()?;
                pair.public_key().as_ref().to_vec()
            }
            Self::Rsa(pair, _) => pair.public_key().as_ref().to_vec(),
        })
    }

    /// The public key in the form that a receiver wants.
    fn public(&self, form: KeyForm) -> Result<String, String> {
        let bytes = self.public_bytes().ok_or(NO_RANDOM)?;
        let odd = |error: Error| error.to_string();
        Ok(match form {
            KeyForm::Ed25519Hex => hex::encode(bytes),
            KeyForm::Ed25519Base64 => format!("whpk_{}", STANDARD.encode(bytes)),
            KeyForm::Pem => pem("PUBLIC KEY", &self.spki(&bytes).map_err(odd)?),
            KeyForm::SpkiBase64 => STANDARD.encode(self.spki(&bytes).map_err(odd)?),
            KeyForm::Jwk => self.jwk(&bytes),
            KeyForm::Utf8
            | KeyForm::Whsec
            | KeyForm::Base64
            | KeyForm::Hex
            | KeyForm::Sha1
            | KeyForm::NfkdUtf8 => return Err("the scheme takes no public key".to_owned()),
        })
    }

    /// `SubjectPublicKeyInfo` (RFC 5280).
    fn spki(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let algorithm = match self {
            Self::Ed25519(_) => ED25519.to_der()?,
            Self::P256(_) => [EC.to_der()?, P256.to_der()?].concat(),
            Self::Rsa(..) => [RSA.to_der()?, Null.to_der()?].concat(),
        };
        let key = BitStringRef::from_bytes(bytes)?.to_der()?;
        sequence(&[sequence(&algorithm)?, key].concat())
    }

    fn jwk(&self, bytes: &[u8]) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = match self {
            Self::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(bytes) }),
            Self::P256(_) => {
                let (x, y) = bytes.get(1..).unwrap_or_default().split_at(bytes.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::Rsa(pair, _) => {
                let public = ways::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": text(&public.n), "e": text(&public.e) })
            }
        };
        jwk.to_string()
    }
}

fn ecdsa(algorithm: SignatureAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256Der => Some(&ways::ECDSA_P256_SHA256_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaP256Sha256Fixed => Some(&ways::ECDSA_P256_SHA256_FIXED_SIGNING),
        SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::RsaPkcs1Sha1
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512 => None,
    }
}

fn encoding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&ways::RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaPkcs1Sha384 => Some(&ways::RSA_PKCS1_SHA384),
        SignatureAlgorithm::RsaPkcs1Sha512 => Some(&ways::RSA_PKCS1_SHA512),
        SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::EcdsaP256Sha256Der
        | SignatureAlgorithm::EcdsaP256Sha256Fixed
        | SignatureAlgorithm::RsaPkcs1Sha1 => None,
    }
}

/// DER between the lines of a PEM.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
