//! PEM, DER and certificates: what is around the numbers of a key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::public::Material;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The key in the first block of a PEM; what stands behind a certificate is its chain.
pub(super) fn pem(text: &[u8]) -> Result<Material, &'static str> {
    let expected = "must be a public key or a certificate in PEM form";
    let text = std::str::from_utf8(text).map_err(|_| expected)?;
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(expected)?;
    let (label, rest) = rest.split_once("-----").ok_or(expected)?;
    let (inside, rest) = rest.split_once("-----END ").ok_or(expected)?;
    let (end, _) = rest.split_once("-----").ok_or(expected)?;
    if label != end {
        return Err(expected);
    }
    if label.ends_with("PRIVATE KEY") {
        return Err("is a private key; the receiver needs the public one");
    }
    let der = base64(inside.as_bytes()).ok_or("must be base64 between the lines of the PEM")?;
    match label {
        "PUBLIC KEY" => spki(&der),
        "RSA PUBLIC KEY" => rsa(&der),
        "CERTIFICATE" => certificate(&der),
        _ => Err(expected),
    }
}

/// The key in a `SubjectPublicKeyInfo` in base64.
pub(super) fn spki_base64(text: &[u8]) -> Result<Material, &'static str> {
    if text.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err("must be base64 without the BEGIN and END lines of a PEM");
    }
    spki(&base64(text).ok_or("must be a public key in base64")?)
}

/// Base64 over several lines.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bare = text.to_vec();
    bare.retain(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(bare).ok()
}

fn certificate(der: &[u8]) -> Result<Material, &'static str> {
    let certificate = Certificate::from_der(der).map_err(|_| "is not an X.509 certificate")?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    spki(&key.to_der().map_err(|_| "is not an X.509 certificate")?)
}

fn spki(der: &[u8]) -> Result<Material, &'static str> {
    let expected = "must be a public key: DER of SubjectPublicKeyInfo";
    let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| expected)?;
    let key = spki.subject_public_key.as_bytes().ok_or(expected)?;
    match spki.algorithm.oid {
        RSA => rsa(key),
        EC if spki.algorithm.parameters_oid() == Ok(P256) => Material::p256(key),
        ED25519 => Material::ed25519(key),
        _ => Err("must be an RSA, P-256 or Ed25519 key"),
    }
}

/// `RSAPublicKey` of PKCS#1.
fn rsa(der: &[u8]) -> Result<Material, &'static str> {
    let expected = "must be an RSA public key: DER of RSAPublicKey";
    let mut reader = SliceReader::new(der).map_err(|_| expected)?;
    let numbers =
        reader.sequence(|reader| Ok((UintRef::decode(reader)?, UintRef::decode(reader)?)));
    let (modulus, exponent): (UintRef<'_>, UintRef<'_>) =
        numbers.map_err(|_: x509_cert::der::Error| expected)?;
    reader.finish().map_err(|_| expected)?;
    Material::rsa(modulus.as_bytes(), exponent.as_bytes())
}
