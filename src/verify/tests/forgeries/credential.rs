//! Where in a genuine request the signature or token stands, and how it is spelled.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::providers::{Encoding, Parse, SignatureRule};

/// How the bytes of a credential are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Hex,
    Base64,
    Base64url,
    /// A secret as it is.
    Text,
    /// A signed token in three parts.
    Token,
}

/// The signature or token in a request.
pub(super) struct Credential {
    pub(super) place: Place,
    /// What stands before it at its place.
    pub(super) before: String,
    pub(super) text: String,
    pub(super) after: String,
    pub(super) spelling: Spelling,
}

impl Credential {
    pub(super) fn of(sender: &Sender, request: &Unsigned) -> Self {
        let scheme = sender.scheme();
        let (place, lead, spelling) = if let Some(code) = scheme.code {
            of_code(scheme, code)
        } else {
            of_rule(sender, scheme)
        };
        let whole = text_at(sender, request, &place).unwrap();
        let at = match lead.as_str() {
            "" => 0,
            lead => whole.rfind(lead).unwrap() + lead.len(),
        };
        let rest = &whole[at..];
        // Keygen's signature stands between quotes.
        let end = rest.find('"').unwrap_or(rest.len());
        Self {
            place,
            before: whole[..at].to_owned(),
            text: rest[..end].to_owned(),
            after: rest[end..].to_owned(),
            spelling,
        }
    }

    /// The bytes of a signature; `None` if the credential is a text.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let text = self.text.rsplit('.').next().unwrap();
        Some(match self.spelling {
            Spelling::Hex => hex::decode(text).unwrap(),
            Spelling::Base64 => STANDARD.decode(text).unwrap(),
            Spelling::Base64url | Spelling::Token => URL_SAFE_NO_PAD.decode(text).unwrap(),
            Spelling::Text => return None,
        })
    }

    /// A signature of other bytes, spelled in the same way.
    pub(super) fn spelled(&self, bytes: &[u8]) -> String {
        match self.spelling {
            Spelling::Hex => hex::encode(bytes),
            Spelling::Base64 => STANDARD.encode(bytes),
            Spelling::Base64url => URL_SAFE_NO_PAD.encode(bytes),
            Spelling::Text => String::from_utf8(bytes.to_vec()).unwrap(),
            Spelling::Token => {
                let (signed, _) = self.text.rsplit_once('.').unwrap();
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
            }
        }
    }
}

fn header_named(name: &str) -> Place {
    Place::Header(name.parse().unwrap())
}

/// Place, what stands before the signature, and spelling, for the procedures.
fn of_code(scheme: &Scheme, code: Procedure) -> (Place, String, Spelling) {
    let (place, lead, spelling) = match code {
        Procedure::Sns => (
            Place::Json(["Signature".into()].into()),
            "",
            Spelling::Base64,
        ),
        Procedure::PlivoV3 => (header_named("x-plivo-signature-v3"), "", Spelling::Base64),
        Procedure::HubspotV3 => (header_named("x-hubspot-signature-v3"), "", Spelling::Base64),
        Procedure::SegmentBatch => (header_named("x-signature"), "", Spelling::Hex),
        Procedure::Keygen => (
            header_named("keygen-signature"),
            "signature=\"",
            Spelling::Base64,
        ),
        Procedure::DetachedJws => {
            let rule = scheme.signature.as_ref().unwrap();
            (rule.from.0[0].place.clone(), "..", Spelling::Base64url)
        }
    };
    (place, lead.to_owned(), spelling)
}

/// The same for what a file says.
fn of_rule(sender: &Sender, scheme: &Scheme) -> (Place, String, Spelling) {
    let inner = scheme.inner.as_deref().unwrap_or(scheme);
    let rule = inner.signature.as_ref().unwrap();
    let value = |name: &str| sender.values.get(name).map(|value| value.to_string());
    let place = rule.from.0[0].place.named(value).unwrap();
    let place = if let Place::Headers(prefix) = &place {
        header_named(&format!("{prefix}1"))
    } else if let Place::Item(pointer) = place {
        let items = scheme.items.as_deref().unwrap();
        let items = items.split('/').skip(1).map(Into::into);
        let whole: Vec<Box<str>> = items.chain(["0".into()]).chain(pointer).collect();
        Place::Json(whole.into())
    } else {
        place
    };
    let spelling = match (inner.kind, rule.encoding) {
        (Kind::Token, _) => Spelling::Text,
        (Kind::Jwt, _) => Spelling::Token,
        (Kind::Basic, _) | (_, Encoding::Base64) => Spelling::Base64,
        (_, Encoding::Hex) => Spelling::Hex,
        (_, Encoding::Base64url) => Spelling::Base64url,
    };
    let lead = if inner.kind == Kind::Basic {
        "Basic ".to_owned()
    } else {
        lead(rule, value)
    };
    (place, lead, spelling)
}

/// What a rule puts right before the signature.
fn lead(rule: &SignatureRule, value: impl Fn(&str) -> Option<String>) -> String {
    let (separator, assign) = rule.parse.separators();
    let assign = rule.assign.as_deref().unwrap_or(assign);
    let tag = rule
        .tag
        .0
        .first()
        .map(|tag| match tag.strip_prefix("config:") {
            Some(name) => value(name).unwrap(),
            None => tag.clone(),
        });
    let structure = match (rule.parse, tag) {
        (Parse::Raw, _) => String::new(),
        (Parse::Positional, _) => rule.separator.as_deref().unwrap_or(separator).to_owned(),
        (Parse::Kv | Parse::List, tag) => format!("{}{assign}", tag.unwrap()),
    };
    format!("{structure}{}", rule.prefix)
}
