//! RSA as far as throwaway keys need it: ring neither makes keys nor signs with SHA-1.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul as _, NonZero, Odd, Resize as _};
use crypto_primes::{Flavor, is_prime};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha1::{Digest as _, Sha1};
use x509_cert::der::asn1::{AnyRef, Null, ObjectIdentifier, OctetStringRef, SequenceRef, UintRef};
use x509_cert::der::{Decode as _, Encode, Error, Reader as _, SliceReader, Tag};
use zeroize::Zeroizing;

pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Half of the modulus.
const PRIME_BITS: u32 = 1024;
const PRIME_BYTES: usize = 128;

/// The digest of PKCS #1 v1.5 with SHA-1, up to the hash itself.
const SHA1_INFO: [u8; 15] = *b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";

/// A new key of 2048 bits, as PKCS #8 in DER.
pub(super) fn generate() -> Option<Zeroizing<Vec<u8>>> {
    loop {
        // The one exponent in use; not every pair of primes suits it.
        if let Some(numbers) = numbers(&prime()?, &prime()?, 65_537) {
            return pkcs8(&numbers).ok();
        }
    }
}

/// A signature with SHA-1 by a key in PKCS #8.
pub(super) fn sign_sha1(pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let (modulus, exponent) = modulus_and_exponent(pkcs8).ok()?;
    let length = modulus.len();
    let digest = [&SHA1_INFO[..], &Sha1::digest(message)].concat();
    let padding = vec![0xff; length.checked_sub(digest.len() + 3)?];
    let encoded = [&[0, 1], &*padding, &[0], &digest].concat();
    let bits = u32::try_from(length * 8).ok()?;
    let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).ok();
    let modulus = Option::from(Odd::new(number(&modulus)?))?;
    let base = BoxedMontyForm::new(number(&encoded)?, &BoxedMontyParams::new(modulus));
    let signature = base.pow(&number(&exponent)?).retrieve();
    Some(signature.to_be_bytes().to_vec())
}

/// A random prime whose upper bits make the product of two as long as it can be.
fn prime() -> Option<BoxedUint> {
    let random = SystemRandom::new();
    loop {
        let mut bytes = Zeroizing::new([0; PRIME_BYTES]);
        random.fill(&mut *bytes).ok()?;
        let [first, .., last] = &mut *bytes;
        *first |= 0b1100_0000;
        *last |= 1;
        let candidate = BoxedUint::from_be_slice(&*bytes, PRIME_BITS).ok()?;
        if is_prime(Flavor::Any, &candidate) {
            return Some(candidate);
        }
    }
}

/// The numbers of `RSAPrivateKey` (RFC 8017) in their order, behind the version.
fn numbers(one: &BoxedUint, other: &BoxedUint, exponent: u64) -> Option<[BoxedUint; 8]> {
    // The larger prime goes first, as everybody has it.
    let (p, q) = if one > other {
        (one, other)
    } else {
        (other, one)
    };
    let less_one =
        |prime: &BoxedUint| prime.wrapping_sub(BoxedUint::one_with_precision(PRIME_BITS));
    let [p1, q1] = [less_one(p), less_one(q)];
    let e = BoxedUint::from(exponent).resize(2 * PRIME_BITS);
    let d: BoxedUint = Option::from(e.invert_mod(&nonzero(p1.concatenating_mul(&q1))?))?;
    let inverse = Option::from(q.invert_odd_mod(&Option::from(Odd::new(p.clone()))?))?;
    let [dp, dq] = [d.rem(&nonzero(p1)?), d.rem(&nonzero(q1)?)];
    Some([
        p.concatenating_mul(q),
        e,
        d,
        p.clone(),
        q.clone(),
        dp,
        dq,
        inverse,
    ])
}

fn nonzero(number: BoxedUint) -> Option<NonZero<BoxedUint>> {
    NonZero::new(number).into()
}

fn pkcs8(numbers: &[BoxedUint]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let version = UintRef::new(&[0])?.to_der()?;
    let mut key = Zeroizing::new(version.clone());
    for number in numbers {
        let bytes = number.to_be_bytes();
        key.extend(UintRef::new(&bytes)?.to_der()?);
    }
    let key = Zeroizing::new(sequence(&key)?);
    let algorithm = sequence(&[RSA.to_der()?, Null.to_der()?].concat())?;
    let key = Zeroizing::new(OctetStringRef::new(&key)?.to_der()?);
    Ok(Zeroizing::new(sequence(
        &[&*version, &algorithm, &key].concat(),
    )?))
}

/// A DER sequence of these elements.
pub(super) fn sequence(elements: &[u8]) -> Result<Vec<u8>, Error> {
    AnyRef::new(Tag::Sequence, elements)?.to_der()
}

fn modulus_and_exponent(pkcs8: &[u8]) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Error> {
    let mut reader = SliceReader::new(pkcs8)?;
    let key = reader.sequence(|reader| {
        UintRef::decode(reader)?;
        <&SequenceRef>::decode(reader)?;
        let key = <&OctetStringRef>::decode(reader)?.as_bytes();
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok::<_, Error>(key)
    })?;
    let mut reader = SliceReader::new(key)?;
    reader.sequence(|reader| {
        UintRef::decode(reader)?;
        let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
        UintRef::decode(reader)?;
        let exponent = UintRef::decode(reader)?.as_bytes().to_vec();
        while !reader.is_finished() {
            UintRef::decode(reader)?;
        }
        Ok::<_, Error>((modulus, Zeroizing::new(exponent)))
    })
}
