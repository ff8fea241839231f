//! The file language of a signature scheme, and its check for sense.
//!
//! [`Scheme`] is what a file says; every field but `kind` may be left out, so that overrides merge
//! over it. [`Scheme::shape`] is the only way to use one: it names the field that is missing, that
//! does not fit the kind, or that would be unsafe. The language holds nothing that the engine does
//! not do: a kind or algorithm that is not listed here is refused when the file is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{OneOrMany, Place, ValueSource};
use super::template::{Piece, Template};

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

    fn kind(self) -> Kind {
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
    fn is_public(self) -> bool {
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

/// A scheme that makes sense: each kind with exactly what it needs.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// Nothing to check.
    None,
    /// A secret that travels as it is, or in the form `user:password`.
    Token {
        /// Where it is.
        signature: &'a SignatureRule,
        /// HTTP basic authentication.
        basic: bool,
        /// The place of the text that the token is derived from.
        derived_from: Option<&'a Place>,
    },
    /// A signature over content.
    Signed {
        /// Of kind `mac`, `hash` or `asym`.
        algorithm: Algorithm,
        /// Where the signature is.
        signature: &'a SignatureRule,
        /// What it covers.
        content: &'a Template,
        /// How secrets become keys.
        key: KeyForm,
        /// The timestamp in the content.
        timestamp: Option<&'a TimestampRule>,
    },
}

/// A field of a scheme that is missing, does not fit, or would be unsafe.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SchemeFault {
    /// The field, such as `content` or `signature.tag`.
    pub key: &'static str,
    /// What is wrong and the way out.
    pub message: String,
}

fn fault<T>(key: &'static str, message: impl Into<String>) -> Result<T, SchemeFault> {
    Err(SchemeFault {
        key,
        message: message.into(),
    })
}

impl Scheme {
    /// The scheme with exactly what its kind needs.
    ///
    /// # Errors
    /// The first field that is missing, does not fit the kind, or would be unsafe.
    pub fn shape(&self) -> Result<Shape<'_>, SchemeFault> {
        match self.kind {
            Kind::None => {
                self.refuse_content()?;
                match self.signature {
                    Some(_) => fault("signature", "kind `none` has no signature; set kind"),
                    None => Ok(Shape::None),
                }
            }
            Kind::Token | Kind::Basic => self.token(),
            Kind::Mac | Kind::Hash | Kind::Asym => self.signed(),
        }
    }

    fn refuse_content(&self) -> Result<(), SchemeFault> {
        let present = [
            ("algorithm", self.algorithm.is_some()),
            ("content", self.content.is_some()),
            ("timestamp", self.timestamp.is_some()),
            ("key", self.key.is_some()),
        ];
        match present.into_iter().find(|(_, present)| *present) {
            Some((key, _)) => fault(
                key,
                "only the kinds mac, hash and asym have this; remove it",
            ),
            None => Ok(()),
        }
    }

    fn token(&self) -> Result<Shape<'_>, SchemeFault> {
        self.refuse_content()?;
        let basic = self.kind == Kind::Basic;
        let signature = self.signature_rule()?;
        if signature.parse != Parse::Raw {
            return fault("signature.parse", "a token stands alone; remove parse");
        }
        let derived_from = match self.derived_from.as_ref().map(|source| &source.place) {
            Some(_) if basic => return fault("derived_from", "only kind `token` has this"),
            Some(place @ Place::Config(_)) => Some(place),
            Some(_) => return fault("derived_from", "must be a config:name"),
            None => None,
        };
        Ok(Shape::Token {
            signature,
            basic,
            derived_from,
        })
    }

    fn signature_rule(&self) -> Result<&SignatureRule, SchemeFault> {
        let Some(rule) = &self.signature else {
            return fault("signature", "is missing; say where it is with from");
        };
        if rule.from.0.is_empty() {
            return fault(
                "signature.from",
                "is missing, such as \"header:X-Signature\"",
            );
        }
        if rule.from.0.iter().any(|from| {
            matches!(
                from.place,
                Place::Sig(_) | Place::Config(_) | Place::BodySha256
            )
        }) {
            return fault("signature.from", "must be a place that the sender fills");
        }
        let tagged = matches!(rule.parse, Parse::Kv | Parse::List);
        if tagged && rule.tag.0.is_empty() {
            return fault("signature.tag", "is missing, such as \"v1\"");
        }
        if !tagged && !rule.tag.0.is_empty() {
            return fault("signature.tag", "only parse = \"kv\" or \"list\" has tags");
        }
        for (key, text) in [
            ("signature.separator", &rule.separator),
            ("signature.assign", &rule.assign),
        ] {
            if text.as_ref().is_some_and(String::is_empty) {
                return fault(key, "is empty");
            }
        }
        Ok(rule)
    }

    fn signed(&self) -> Result<Shape<'_>, SchemeFault> {
        let signature = self.signature_rule()?;
        let Some(algorithm) = self.algorithm else {
            return fault("algorithm", "is missing, such as \"hmac-sha256\"");
        };
        if algorithm.kind() != self.kind {
            let name = algorithm.as_str();
            return fault(
                "algorithm",
                format!("`{name}` is of another kind; set kind"),
            );
        }
        let Some(content) = &self.content else {
            return fault("content", "is missing, such as \"{timestamp}.{body}\"");
        };
        if self.derived_from.is_some() {
            return fault("derived_from", "only kind `token` has this");
        }
        if content.covers(&Piece::Secret) != (self.kind == Kind::Hash) {
            return fault("content", "{secret} is for kind `hash`, and needed there");
        }
        let key = self.key.unwrap_or_default();
        if key.is_public() != (self.kind == Kind::Asym) {
            let way_out = "kind `asym`, and only that, takes a public key, such as ed25519_base64";
            return fault("key", way_out);
        }
        let timestamp = self.timestamp.as_ref();
        let (stamped, covered) = (timestamp.is_some(), content.covers(&Piece::Timestamp));
        if stamped != covered {
            let way_out = "{timestamp} in content and the timestamp rule need each other: a \
                           timestamp that is not signed proves nothing";
            return fault(if stamped { "timestamp" } else { "content" }, way_out);
        }
        if timestamp.is_some_and(|rule| rule.from.0.is_empty()) {
            return fault(
                "timestamp.from",
                "is missing, such as \"header:X-Timestamp\"",
            );
        }
        Ok(Shape::Signed {
            algorithm,
            signature,
            content,
            key,
            timestamp,
        })
    }
}
