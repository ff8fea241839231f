//! The known mistakes, each with a sentence and a way out.

/// What is wrong with a refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The mistake, from a closed list.
    pub mistake: Mistake,
    /// Which source, provider, header, ... it is about: never a secret or a signature.
    pub clue: Option<Box<str>>,
}

/// Longest clue; some come from the request.
const CLUE_CHARS_MAX: usize = 200;

/// The closed list of mistakes, as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// Another source's secret made the signature.
    OtherSourceSecret,
    /// The request is good, but for another source.
    WrongPath,
    /// A secret that is past its `not_after` made it.
    ExpiredSecret,
    /// White space around the secret on one of the two sides.
    SecretWhiteSpace,
    /// The secret was configured with quotes.
    SecretQuotes,
    /// `whsec_` belongs to the secret on one of the two sides only.
    SecretPrefix,
    /// The sender uses the text of a secret that should be decoded.
    SecretAsText,
    /// The sender decodes a secret that should be used as it is, or in another way.
    SecretDecoded,
    /// The same JSON, written differently.
    BodyRewritten,
    /// Line ends of the body were changed.
    BodyLineEnds,
    /// The request is signed as another provider does.
    WrongProvider,
    /// The request is signed as another variant of the provider does.
    WrongVariant,
    /// The sender signed another address than `server.public_url`.
    PublicUrl,
    /// The sender signed another path or query than arrived.
    PathChanged,
    /// The timestamp is in another unit.
    TimestampUnit,
    /// Genuine, but too far from this machine's time.
    ClockSkew,
    /// The text in front of the signature is missing or unexpected.
    SignaturePrefix,
    /// The signature is spelled in another way.
    SignatureEncoding,
    /// The signature is made with another algorithm.
    Algorithm,
    /// The signature's header has no content.
    EmptySignature,
    /// The signature is in a header of another name.
    HeaderRenamed,
    /// The signature header of another provider is there.
    LooksLikeProvider,
    /// No header looks like a signature.
    HeaderDropped,
}

impl Mistake {
    /// All mistakes, so that every metric series starts at 0.
    pub const ALL: &[Self] = &[
        Self::OtherSourceSecret,
        Self::WrongPath,
        Self::ExpiredSecret,
        Self::SecretWhiteSpace,
        Self::SecretQuotes,
        Self::SecretPrefix,
        Self::SecretAsText,
        Self::SecretDecoded,
        Self::BodyRewritten,
        Self::BodyLineEnds,
        Self::WrongProvider,
        Self::WrongVariant,
        Self::PublicUrl,
        Self::PathChanged,
        Self::TimestampUnit,
        Self::ClockSkew,
        Self::SignaturePrefix,
        Self::SignatureEncoding,
        Self::Algorithm,
        Self::EmptySignature,
        Self::HeaderRenamed,
        Self::LooksLikeProvider,
        Self::HeaderDropped,
    ];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherSourceSecret => "other_source_secret",
            Self::WrongPath => "wrong_path",
            Self::ExpiredSecret => "expired_secret",
            Self::SecretWhiteSpace => "secret_white_space",
            Self::SecretQuotes => "secret_quotes",
            Self::SecretPrefix => "secret_prefix",
            Self::SecretAsText => "secret_as_text",
            Self::SecretDecoded => "secret_decoded",
            Self::BodyRewritten => "body_rewritten",
            Self::BodyLineEnds => "body_line_ends",
            Self::WrongProvider => "wrong_provider",
            Self::WrongVariant => "wrong_variant",
            Self::PublicUrl => "public_url",
            Self::PathChanged => "path_changed",
            Self::TimestampUnit => "timestamp_unit",
            Self::ClockSkew => "clock_skew",
            Self::SignaturePrefix => "signature_prefix",
            Self::SignatureEncoding => "signature_encoding",
            Self::Algorithm => "algorithm",
            Self::EmptySignature => "empty_signature",
            Self::HeaderRenamed => "header_renamed",
            Self::LooksLikeProvider => "looks_like_provider",
            Self::HeaderDropped => "header_dropped",
        }
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::OtherSourceSecret => "It is signed with the secret of another source.",
            Self::WrongPath => "It is a genuine request for another source.",
            Self::ExpiredSecret => "It is signed with a secret that is past its not_after.",
            Self::SecretWhiteSpace => {
                "The sender's secret and the configured one differ in white space at their ends."
            }
            Self::SecretQuotes => {
                "The configured secret has quotes around it that are not part of it."
            }
            Self::SecretPrefix => {
                "The sender's secret and the configured one differ in the `whsec_` in front."
            }
            Self::SecretAsText => {
                "The sender uses the secret's text as the key, the scheme decodes it first."
            }
            Self::SecretDecoded => "The sender decodes the secret in another way than the scheme.",
            Self::BodyRewritten => {
                "The body was parsed and written again on its way: same JSON, other bytes."
            }
            Self::BodyLineEnds => "Line ends of the body were changed on its way.",
            Self::WrongProvider => {
                "It is signed, with this source's secret, as another provider does."
            }
            Self::WrongVariant => "It is signed as another variant of the provider does.",
            Self::PublicUrl => "The sender signed another address than server.public_url.",
            Self::PathChanged => "The sender signed another path or query than arrived here.",
            Self::TimestampUnit => "The timestamp is in another unit than the scheme says.",
            Self::ClockSkew => {
                "The signature is right, but its timestamp is too far from this machine's time."
            }
            Self::SignaturePrefix => {
                "The signature is right, but not the text in front of it in the header."
            }
            Self::SignatureEncoding => {
                "The signature is right, but spelled in another way than the scheme says."
            }
            Self::Algorithm => "It is signed with another algorithm than the scheme says.",
            Self::EmptySignature => "The signature's header is there, but empty.",
            Self::HeaderRenamed => "The signature is right, but in a header of another name.",
            Self::LooksLikeProvider => {
                "The signature is missing, but the header of another provider is there."
            }
            Self::HeaderDropped => "No header of the request looks like a signature.",
        }
    }

    /// What to do about it, in a sentence.
    #[must_use]
    pub fn way_out(self) -> &'static str {
        match self {
            Self::OtherSourceSecret => {
                "Give this source the secret of the endpoint that posts to it, or let the sender \
                 post to the other source's path."
            }
            Self::WrongPath => "Let the sender post to the other source's path.",
            Self::ExpiredSecret => {
                "Finish the rotation at the sender, or move the secret's not_after."
            }
            Self::SecretWhiteSpace => {
                "Copy the secret again without white space; where the sender has it with a line \
                 break, set it anew there."
            }
            Self::SecretQuotes => "Configure the secret without the quotes.",
            Self::SecretPrefix => "Configure the secret exactly as the sender has it.",
            Self::SecretAsText => {
                "Let the sender decode the secret, or set scheme.key = \"utf8\" for this source."
            }
            Self::SecretDecoded => {
                "Let the sender use the secret as the provider documents it, or set scheme.key to \
                 the form that it uses."
            }
            Self::BodyRewritten => {
                "Find the proxy, gateway or function before hookgate that parses the body, and let \
                 it pass the bytes on."
            }
            Self::BodyLineEnds => {
                "Let sender and proxies send exactly the bytes that were signed; curl needs \
                 --data-binary."
            }
            Self::WrongProvider => "Set the source's provider to the one that sends here.",
            Self::WrongVariant => "Set the source's variant to that one.",
            Self::PublicUrl => "Set server.public_url to the address as the sender writes it.",
            Self::PathChanged => {
                "Let proxies pass path and query on unchanged, or give the sender the address in \
                 the form that arrives."
            }
            Self::TimestampUnit => "Set scheme.timestamp.unit for this source.",
            Self::ClockSkew => {
                "Compare this machine's clock with the sender's. If both are right, the request was \
                 held up or repeated; `tolerance` says how old it may be."
            }
            Self::SignaturePrefix => "Let the sender add it, or set scheme.signature.prefix.",
            Self::SignatureEncoding => "Set scheme.signature.encoding for this source.",
            Self::Algorithm => "Set scheme.algorithm for this source, or change it at the sender.",
            Self::EmptySignature => "Set a secret at the sender: without one many send it empty.",
            Self::HeaderRenamed => {
                "Stop the proxy that renames it, or set scheme.signature.from for this source."
            }
            Self::LooksLikeProvider => {
                "Set the source's provider to the one that sends here, or let the sender post to \
                 another source."
            }
            Self::HeaderDropped => {
                "Set a secret at the sender, and check that proxies pass its headers on (nginx \
                 drops names with underscores)."
            }
        }
    }

    pub(super) fn alone(self) -> Diagnosis {
        Diagnosis {
            mistake: self,
            clue: None,
        }
    }

    pub(super) fn about(self, clue: impl AsRef<str>) -> Diagnosis {
        let clue: String = clue.as_ref().chars().take(CLUE_CHARS_MAX).collect();
        Diagnosis {
            mistake: self,
            clue: Some(clue.into()),
        }
    }
}
