//! A scheme that makes sense: each kind with exactly what it needs.

use super::scheme::{Algorithm, FetchRule, JwtAlgorithm, KeyForm, Procedure, TimestampRule};
use super::signature::SignatureRule;
use super::source::Place;
use super::template::Template;

/// A scheme that makes sense: each kind with exactly what it needs.
#[derive(Clone, Debug)]
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
    /// A signature over content, of kind `mac`, `hash` or `asym`.
    Signed(SignedShape<'a>),
    /// A signed token (RFC 7519).
    Jwt(JwtShape<'a>),
    /// An inner scheme for every element of an array.
    Each {
        /// The unescaped steps of the pointer to the array.
        items: Box<[Box<str>]>,
        /// What every element has to satisfy.
        inner: Box<Self>,
    },
    /// A procedure of ours.
    Code(CodeShape<'a>),
}

impl<'a> Shape<'a> {
    /// Where the public key comes from if there is no secret.
    #[must_use]
    pub fn fetch(&self) -> Option<&'a FetchRule> {
        match self {
            Self::Signed(signed) => signed.fetch,
            Self::Jwt(jwt) => jwt.fetch,
            Self::Code(code) => code.fetch,
            Self::None | Self::Token { .. } | Self::Each { .. } => None,
        }
    }
}

/// A signature over content.
#[derive(Clone, Copy, Debug)]
pub struct SignedShape<'a> {
    /// Of kind `mac`, `hash` or `asym`.
    pub algorithm: Algorithm,
    /// Where the signature is.
    pub signature: &'a SignatureRule,
    /// What it covers; each is tried.
    pub content: &'a [Template],
    /// How secrets become keys.
    pub key: KeyForm,
    /// The timestamp in the content.
    pub timestamp: Option<&'a TimestampRule>,
    /// The URL is tried with and without the default port.
    pub url_variants: bool,
    /// Where the public key comes from if there is no secret.
    pub fetch: Option<&'a FetchRule>,
}

/// A signed token.
#[derive(Clone, Copy, Debug)]
pub struct JwtShape<'a> {
    /// Where the token is.
    pub signature: &'a SignatureRule,
    /// What it may name.
    pub algorithms: &'a [JwtAlgorithm],
    /// How secrets become keys.
    pub key: KeyForm,
    /// How far the clocks may differ.
    pub leeway_seconds: u32,
    /// The greatest age by `iat`.
    pub max_age_seconds: Option<u32>,
    /// Where the public key comes from if there is no secret.
    pub fetch: Option<&'a FetchRule>,
}

/// A procedure of ours.
#[derive(Clone, Copy, Debug)]
pub struct CodeShape<'a> {
    /// Which.
    pub procedure: Procedure,
    /// Where the signature is, for the procedure that does not know it.
    pub signature: Option<&'a SignatureRule>,
    /// How secrets become keys.
    pub key: KeyForm,
    /// Where the public key comes from if there is no secret.
    pub fetch: Option<&'a FetchRule>,
    /// How far signed timestamps may be from now.
    pub tolerance_seconds: Option<u32>,
}
