//! The file language of a signature scheme.
//!
//! [`Scheme`] is what a file says; every field but `kind` may be left out, so that overrides merge
//! over it. What makes sense together is the work of [`Scheme::shape`]. The language holds nothing
//! that the engine does not do: a kind or algorithm that is not listed here is refused when the
//! file is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::one_or_many::OneOrMany;
use super::signature::{SignatureRule, is_false};
use super::source::ValueSource;
use super::template::Template;

/// How a provider signs, as written in `[[scheme]]` or `[sources.NAME.scheme]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// The way of proof.
    pub kind: Kind,
    /// A name to choose this scheme by; schemes with the same name, or none, are tried in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Needed by `mac`, `hash` and `asym`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Where the signature or token is and how it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureRule>,
    /// What is signed; of several each is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<OneOrMany<Template>>,
    /// How the secret's text becomes key bytes; `utf8` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyForm>,
    /// The signed timestamp, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampRule>,
    /// `token` only: the token is the hex HMAC-SHA256 of this `config:` value under the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived_from: Option<ValueSource>,
    /// `{url}` is tried as configured, and with and without the default port.
    #[serde(default, skip_serializing_if = "is_false")]
    pub url_variants: bool,
    /// Where the public key comes from if the source has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<FetchRule>,
    /// `jwt` only: the algorithms that a token may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// `jwt` only: how far the clocks may differ; 60 seconds if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leeway_seconds: Option<u32>,
    /// `jwt` only: the greatest age of a token, by its `iat`, which is then needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
    /// `each` only: the JSON pointer of the array; empty for the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
    /// `each` only: the scheme that every element has to satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<Box<Self>>,
    /// `code` only: the procedure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Procedure>,
    /// What else must hold, checked after the signature.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The way of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The provider proves nothing.
    None,
    /// A shared secret travels as it is.
    Token,
    /// HTTP basic authentication; the secret is `user:password`.
    Basic,
    /// A keyed hash (HMAC) over content of the request.
    Mac,
    /// A plain digest over content that has the secret in it.
    Hash,
    /// A signature that a public key checks.
    Asym,
    /// A signed token (RFC 7519).
    Jwt,
    /// An inner scheme for every element of a JSON array.
    Each,
    /// A procedure of ours: what no data can say.
    Code,
}

impl Kind {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Basic => "basic",
            Self::Mac => "mac",
            Self::Hash => "hash",
            Self::Asym => "asym",
            Self::Jwt => "jwt",
            Self::Each => "each",
            Self::Code => "code",
        }
    }
}

/// The cryptography of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-1 digest.
    Sha1,
    /// SHA-256 digest.
    Sha256,
    /// Ed25519 (RFC 8032), strict verification.
    Ed25519,
    /// ECDSA on P-256 with SHA-256; the signature in DER.
    EcdsaP256Sha256,
    /// RSA PKCS #1 v1.5 with SHA-1.
    RsaPkcs1Sha1,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
}

impl Algorithm {
    /// The name in files, headers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::RsaPkcs1Sha1 => "rsa-pkcs1-sha1",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
        }
    }

    /// Bytes of a signature; `None` if its length depends on the key or on chance.
    #[must_use]
    pub fn signature_bytes(self) -> Option<usize> {
        match self {
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 | Self::Ed25519 => Some(64),
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha1 | Self::RsaPkcs1Sha256 => None,
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => Kind::Mac,
            Self::Sha1 | Self::Sha256 => Kind::Hash,
            Self::Ed25519 | Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha1 | Self::RsaPkcs1Sha256 => {
                Kind::Asym
            }
        }
    }
}

/// How a secret's text becomes key bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// Base64 with an optional `whsec_` in front (Standard Webhooks).
    Whsec,
    /// Base64.
    Base64,
    /// Hex.
    Hex,
    /// The SHA-1 digest of the text.
    Sha1,
    /// The text in Unicode normalization form NFKD.
    NfkdUtf8,
    /// An Ed25519 public key in hex.
    Ed25519Hex,
    /// An Ed25519 public key in base64 with an optional `whpk_` in front (Standard Webhooks).
    Ed25519Base64,
    /// A public key or a certificate in PEM.
    Pem,
    /// A public key (DER of a `SubjectPublicKeyInfo`) in base64.
    SpkiBase64,
    /// A JSON Web Key or a set of them (RFC 7517).
    Jwk,
}

impl KeyForm {
    /// Whether this is a public key.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self {
            Self::Ed25519Hex | Self::Ed25519Base64 | Self::Pem | Self::SpkiBase64 | Self::Jwk => {
                true
            }
            Self::Utf8 | Self::Whsec | Self::Base64 | Self::Hex | Self::Sha1 | Self::NfkdUtf8 => {
                false
            }
        }
    }
}

/// A signature algorithm of JSON Web Tokens (RFC 7518, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl JwtAlgorithm {
    /// What tokens and files call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
        }
    }

    /// Whether a public key checks it.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => false,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Es256 => true,
        }
    }
}

/// Where a public key is fetched from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchRule {
    /// What is there.
    pub form: FetchForm,
    /// An `https://` address, or the value source that holds it.
    pub url: String,
    /// The hosts that may be asked, exactly or as `*.example.com`; needed if the sender names the
    /// address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// What a fetched key comes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FetchForm {
    /// A JSON Web Key set.
    Jwks,
    /// An X.509 certificate in PEM.
    X509,
    /// Plaid's own interface: one key per id, asked for with the operator's credentials.
    Plaid,
}

/// A way of signing that the language cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// Amazon SNS: canonical text out of the body, a certificate of the message's choice.
    Sns,
    /// Plivo, version 3: the URL rebuilt with its query in order.
    PlivoV3,
    /// `HubSpot`, version 3: the URL with some escapes decoded.
    HubspotV3,
    /// Segment's batches: the first event of the batch, written anew.
    SegmentBatch,
    /// Keygen: the signing string of the HTTP signatures draft.
    Keygen,
    /// A detached JSON Web Signature over the body (RFC 7797).
    DetachedJws,
}

impl Procedure {
    /// Whether the source's secret is a public key.
    #[must_use]
    pub fn takes_public_key(self) -> bool {
        match self {
            Self::Sns | Self::Keygen | Self::DetachedJws => true,
            Self::PlivoV3 | Self::HubspotV3 | Self::SegmentBatch => false,
        }
    }
}

/// The signed timestamp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// Places, tried in order.
    #[serde(default)]
    pub from: OneOrMany<ValueSource>,
    /// How it is written.
    #[serde(default)]
    pub unit: TimeUnit,
    /// Accepted distance from now, both ways; 300 seconds if left out. The source can override it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_seconds: Option<u32>,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Whole seconds since the Unix epoch.
    #[default]
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// RFC 3339 text.
    Rfc3339,
    /// RFC 3339 text without a zone: UTC.
    IsoUtc,
}
