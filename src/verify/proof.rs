//! The ways of proof, compiled: what of a request shows who sent it.
//!
//! Signature first, then the timestamp that it covers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::challenge::could_be_an_answer;
use super::code::Code;
use super::content::{covers, fill};
use super::items::items;
use super::jwt::{self, Claims};
use super::key::{self, Key, joined, matching};
use super::public::PublicKeys;
use super::rejection::{Reason, Rejection, first_success};
use super::signature::{Fields, Reader, Signature};
use super::time::TimeRule;
use super::view::{Ambiguous, Bytes, View};
use crate::clock::UnixMillis;
use crate::keys::{PublicKey, SignatureAlgorithm, Wanted};
use crate::planted::{Bug, planted};
use crate::providers::{JwtAlgorithm, Piece, Place, Template};

/// The way of proof.
pub(super) enum Proof {
    Nothing,
    Token(Token),
    Signed(Signed),
    Jwt(Jwt),
    Code(Code),
    Each {
        items: Box<[Box<str>]>,
        inner: Box<Self>,
    },
}

/// A secret that travels as it is.
pub(super) struct Token {
    pub(super) reader: Reader,
    /// HTTP basic authentication.
    pub(super) basic: bool,
    pub(super) keys: Vec<Key>,
}

/// Where a signature is and what it covers.
pub(super) struct Signed {
    pub(super) reader: Reader,
    pub(super) contents: Vec<Template>,
    pub(super) time: Option<TimeRule>,
    /// Another way to write the public URL, beside the configured one.
    pub(super) other_url: Option<Box<str>>,
    pub(super) keys: SigningKeys,
    /// Whoever asks gets hashes under the same keys: see [`could_be_an_answer`].
    pub(super) signs_answers: bool,
    /// Of bodies it covers the fields of forms only, and no check looks at others.
    pub(super) forms_only: bool,
}

/// What checks a signature over content.
pub(super) enum SigningKeys {
    Shared(Vec<Key>),
    Public(SignatureAlgorithm, PublicKeys),
}

/// Where a signed token is and what it has to be.
pub(super) struct Jwt {
    pub(super) reader: Reader,
    pub(super) allowed: Vec<JwtAlgorithm>,
    pub(super) leeway: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) keys: TokenKeys,
}

/// What checks a signed token.
pub(super) enum TokenKeys {
    Shared(Vec<Key>),
    Public(PublicKeys),
}

/// What a proof gives beside that it holds.
#[derive(Default)]
pub(super) struct Evidence {
    /// The label of the secret that matched.
    pub(super) secret: Option<Arc<str>>,
    /// What a signed token says.
    pub(super) claims: Option<Claims>,
}

impl Evidence {
    fn of(secret: Arc<str>) -> Self {
        Self {
            secret: Some(secret),
            claims: None,
        }
    }
}

impl Proof {
    /// Checks a request.
    pub(super) fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Evidence, Rejection> {
        match self {
            Self::Nothing => Ok(Evidence::default()),
            Self::Token(token) => token.check(view, now).map(Evidence::of),
            Self::Signed(signed) => signed.check(view, now).map(Evidence::of),
            Self::Jwt(jwt) => jwt.check(view, now),
            Self::Code(code) => code.check(view, now).map(Evidence::of),
            Self::Each { items, inner } => each(items, inner, view, now),
        }
    }

    /// The key that a request needs and that has to be fetched.
    pub(super) fn wanted(&self, view: &View<'_>) -> Option<Wanted> {
        match self {
            Self::Signed(signed) => match &signed.keys {
                SigningKeys::Public(_, keys) => {
                    signed.reader.fields(view).ok()?;
                    keys.wanted(view, None)
                }
                SigningKeys::Shared(_) => None,
            },
            Self::Jwt(jwt) => match &jwt.keys {
                TokenKeys::Public(keys) => {
                    let fields = jwt.reader.fields(view).ok()?;
                    let token = jwt.token(&fields).ok()?;
                    keys.wanted(view, token.kid())
                }
                TokenKeys::Shared(_) => None,
            },
            Self::Code(code) => code.wanted(view),
            Self::Nothing | Self::Token(_) | Self::Each { .. } => None,
        }
    }

    /// Where a secret travels as it is; such places are kept from logs, API and app.
    pub(super) fn token_places(&self) -> &[Place] {
        match self {
            Self::Token(token) => token.reader.places(),
            // Good for anything until it expires, but of no more use once it is verified.
            Self::Jwt(jwt) => jwt.reader.places(),
            Self::Each { inner, .. } => inner.token_places(),
            Self::Nothing | Self::Signed(_) | Self::Code(_) => &[],
        }
    }

    /// What this proves, in a sentence for people; `label` is the scheme's.
    pub(super) fn protection(&self, label: &str) -> String {
        match self {
            Self::Nothing => "no proof: whoever reaches the path is believed".to_owned(),
            Self::Token(_) => format!("a {label} that does not cover the body"),
            Self::Jwt(_) => "a signed token".to_owned(),
            Self::Code(code) => format!("{label} over {}", code.covered()),
            Self::Each { inner, .. } => {
                let inner = inner.protection(label);
                format!("for every element of the body {inner}")
            }
            Self::Signed(signed) => {
                let every = |piece: fn(&Template) -> bool| signed.contents.iter().all(piece);
                let body = every(Template::covers_body);
                let time = signed.time.is_some();
                let covered = match (body, time) {
                    (true, true) => "timestamp and body",
                    (true, false) => "the body, without a timestamp",
                    (false, true) => "a timestamp, not the body",
                    (false, false) => "neither timestamp nor body",
                };
                format!("{label} over {covered}")
            }
        }
    }

    /// Whether events alone bring it: a signature, or a token in the body, but not one that is part
    /// of the address and comes with every request.
    pub(super) fn is_in_events_only(&self) -> bool {
        match self {
            Self::Signed(_) | Self::Jwt(_) | Self::Each { .. } | Self::Code(_) => true,
            Self::Token(token) => {
                !token.basic && token.reader.places().iter().all(Place::is_in_body)
            }
            Self::Nothing => false,
        }
    }

    /// What the signature covers.
    pub(super) fn contents(&self) -> &[Template] {
        match self {
            Self::Signed(signed) => &signed.contents,
            Self::Code(code) => code.contents(),
            Self::Nothing | Self::Token(_) | Self::Jwt(_) | Self::Each { .. } => &[],
        }
    }
}

/// Every element has to satisfy the inner scheme, and there has to be one.
fn each(
    pointer: &[Box<str>],
    inner: &Proof,
    view: &View<'_>,
    now: UnixMillis,
) -> Result<Evidence, Rejection> {
    let elements = items(view.body, pointer)
        .ok_or_else(|| Reason::Malformed.because("the body has no array of signed elements"))?;
    let mut last = None;
    for item in elements {
        last = Some(inner.check(&View { item, ..*view }, now)?);
    }
    last.ok_or_else(|| Reason::NoHeader.because("the body has no signed element"))
}

impl Token {
    fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Arc<str>, Rejection> {
        let not_a_token = || Reason::Malformed.because("the token does not have the expected form");
        let fields = self.reader.fields(view)?;
        if self.basic {
            let login = basic_login(fields.first()).ok_or_else(not_a_token)?;
            return matching(&self.keys, now, |key| key.is_token(&login));
        }
        let token = self.reader.unprefixed(fields.first());
        let token = token.ok_or_else(not_a_token)?;
        matching(&self.keys, now, |key| key.is_token(token))
    }
}

/// `user:password` of a basic authentication header (RFC 7617).
fn basic_login(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, login) = header.split_at_checked(b"Basic ".len())?;
    let login = login.trim_ascii();
    scheme
        .eq_ignore_ascii_case(b"Basic ")
        .then(|| STANDARD.decode(login).ok())?
}

impl Signed {
    fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Arc<str>, Rejection> {
        let groups = self.reader.fields(view)?.groups();
        if self.forms_only && !view.body.is_empty() && !view.is_form() {
            return Err(Reason::Malformed.because("the signature does not cover such a body"));
        }
        let ways = groups.iter().flat_map(|fields| {
            self.contents.iter().flat_map(move |content| {
                let urls = std::iter::once(view.public_url).chain(self.other_url.as_deref());
                urls.map(move |public_url| {
                    let view = View {
                        public_url,
                        ..*view
                    };
                    self.check_one(fields, content, &view, now)
                })
            })
        });
        let nothing = || Err(Reason::NoHeader.because("the signature is missing"));
        first_success(ways).unwrap_or_else(nothing)
    }

    fn check_one<'a>(
        &'a self,
        fields: &Fields<'a>,
        content: &'a Template,
        view: &View<'a>,
        now: UnixMillis,
    ) -> Result<Arc<str>, Rejection> {
        let signatures = fields.signatures()?;
        // A timestamp in the body is read after the signature held, any other is part of the content.
        let placed = content.covers(&Piece::Timestamp);
        let received = match &self.time {
            Some(time) if placed => Some(timestamp(time, view, fields)?),
            _ => None,
        };
        let template = content;
        let content = fill(template, view, Some(fields), received.as_deref())?;
        let secret = match &self.keys {
            SigningKeys::Shared(keys) => {
                matching(keys, now, |key| key.verifies(&content, &signatures))?
            }
            SigningKeys::Public(algorithm, keys) => {
                let message = joined(&content);
                let verifies = |key: &PublicKey| {
                    let mut bytes = signatures.iter().map(Signature::as_bytes);
                    let found = bytes.any(|bytes| key.verifies(*algorithm, &message, bytes));
                    found.then_some(())
                };
                keys.first(view, None, now, verifies)?.0
            }
        };
        if self.signs_answers && could_be_an_answer(&content) {
            let detail = "the signed content could come from the answer to a handshake";
            return Err(Reason::Malformed.because(detail));
        }
        match (&self.time, &received) {
            (Some(time), Some(received)) => time.check(received, now)?,
            (Some(time), None) => {
                let signed = |place: &Place| covers(template, view, fields, place);
                if !time.from.iter().all(signed) && !planted(Bug::UnsignedTimestampTrusted) {
                    return Err(Reason::Malformed.because("the timestamp is not signed"));
                }
                time.check(&timestamp(time, view, fields)?, now)?;
            }
            (None, _) => {}
        }
        Ok(secret)
    }
}

impl Jwt {
    pub(super) fn token<'f>(&self, fields: &'f Fields<'_>) -> Result<jwt::Token<'f>, Rejection> {
        let text = self.reader.unprefixed(fields.first());
        let odd = || Reason::Malformed.because("the token does not have its prefix");
        jwt::Token::parse(text.ok_or_else(odd)?, &self.allowed)
    }

    fn check(&self, view: &View<'_>, now: UnixMillis) -> Result<Evidence, Rejection> {
        let fields = self.reader.fields(view)?;
        let token = self.token(&fields)?;
        let (secret, genuine) = match &self.keys {
            TokenKeys::Shared(keys) => {
                key::first(keys, now, |key| token.signed_with_secret(key.bytes()?))?
            }
            TokenKeys::Public(keys) => {
                keys.first(view, token.kid(), now, |key| token.signed_by(key))?
            }
        };
        let claims = genuine.claims()?;
        claims.check_time(now, self.leeway, self.max_age)?;
        Ok(Evidence {
            secret: Some(secret),
            claims: Some(claims),
        })
    }
}

/// The timestamp as it was received.
pub(super) fn timestamp<'a>(
    time: &TimeRule,
    view: &View<'a>,
    fields: &Fields<'a>,
) -> Result<Bytes<'a>, Rejection> {
    for place in &time.from {
        match view.find(place, Some(fields)) {
            Ok(Some(timestamp)) => return Ok(timestamp),
            Ok(None) => {}
            Err(Ambiguous) => {
                return Err(Reason::Malformed.because("there are two different timestamps"));
            }
        }
    }
    Err(Reason::NoHeader.because("the timestamp is missing"))
}
