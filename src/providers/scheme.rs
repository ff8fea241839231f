//! The file language of a signature scheme.
//!
//! [`Scheme`] is what a file says; every field but `kind` may be left out, so that overrides merge
//! over it. What makes sense together is the work of [`Scheme::shape`]. The language holds nothing
//! that the engine does not do: a kind or algorithm that is not listed here is refused when the
//! file is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{OneOrMany, ValueSource};
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
    /// What is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Template>,
    /// How the secret's text becomes key bytes; `utf8` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyForm>,
    /// The signed timestamp, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampRule>,
    /// `token` only: the token is the hex HMAC-SHA256 of this `config:` value under the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived_from: Option<ValueSource>,
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
}

/// The cryptography of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-1 digest.
    Sha1,
    /// SHA-256 digest.
    Sha256,
    /// Ed25519 (RFC 8032), strict verification.
    Ed25519,
}

impl Algorithm {
    /// The name in files, headers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Bytes of a signature.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha1 | Self::Sha1 => 20,
            Self::HmacSha256 | Self::Sha256 => 32,
            Self::HmacSha512 | Self::Ed25519 => 64,
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 => Kind::Mac,
            Self::Sha1 | Self::Sha256 => Kind::Hash,
            Self::Ed25519 => Kind::Asym,
        }
    }
}

/// Where the signature is and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureRule {
    /// Places, tried in order.
    #[serde(default)]
    pub from: OneOrMany<ValueSource>,
    /// The structure around the signature.
    #[serde(default)]
    pub parse: Parse,
    /// Text in front of the signature, such as `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The prefix may be missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefix_optional: bool,
    /// `kv` and `list`: keys whose values are signatures; all others are ignored. A key written
    /// `config:name` is the operator's value.
    #[serde(default, skip_serializing_if = "no_tags")]
    pub tag: OneOrMany<String>,
    /// Between items; if left out a comma (`kv`, `positional`) or a space (`list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Between key and value; if left out `=` (`kv`) or a comma (`list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<String>,
    /// The spelling of the bytes.
    #[serde(default)]
    pub encoding: Encoding,
    /// Base64 without its padding is accepted too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub padding_optional: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn no_tags(tags: &OneOrMany<String>) -> bool {
    tags.0.is_empty()
}

/// The structure around a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parse {
    /// The signature alone, after the prefix.
    #[default]
    Raw,
    /// `t=1,v1=SIGNATURE,v1=SIGNATURE`.
    Kv,
    /// `v1,SIGNATURE v1,SIGNATURE`.
    List,
    /// `FIELD,SIGNATURE,SIGNATURE`: the first item is `sig:0`, the others are signatures.
    Positional,
}

impl Parse {
    /// What separates items, and key from value, unless the file says otherwise.
    #[must_use]
    pub fn separators(self) -> (&'static str, &'static str) {
        match self {
            Self::Raw | Self::Positional => (",", ""),
            Self::Kv => (",", "="),
            Self::List => (" ", ","),
        }
    }
}

/// How signature bytes are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hex, either case.
    #[default]
    Hex,
    /// Standard base64 with padding; non-zero trailing bits are refused.
    Base64,
    /// URL-safe base64 without padding; non-zero trailing bits are refused.
    Base64url,
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
    /// An Ed25519 public key in hex.
    Ed25519Hex,
    /// An Ed25519 public key in base64 with an optional `whpk_` in front (Standard Webhooks).
    Ed25519Base64,
}

impl KeyForm {
    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::Ed25519Hex | Self::Ed25519Base64)
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
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Whole seconds since the Unix epoch.
    #[default]
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// RFC 3339 text.
    Rfc3339,
}
