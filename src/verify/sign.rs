//! The inverse of verification: makes a request that a provider could have sent.
//!
//! For `hookgate send`, the demo and tests. It shares templates, keys and readers with the
//! verifier, so that the two cannot drift apart; independent vectors show that both are right.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::code;
use super::content::fill;
use super::key::{Key, joined, private_key};
use super::rule::wire_token;
use super::signature::Reader;
use super::time::TimeRule;
use super::view::View;
use crate::clock::UnixMillis;
use crate::providers::{
    Algorithm, Piece, Place, Provider, Shape, SignatureRule, SignedShape, Template,
};
use crate::secret::Secret;

/// A request before it is signed. It has no `Debug`, since it may hold a token afterwards.
#[derive(Clone)]
pub struct Unsigned {
    /// The method, in most cases `POST`.
    pub method: Method,
    /// The whole URL, or path and query.
    pub url: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: bytes::Bytes,
}

impl Unsigned {
    pub(super) fn header(&mut self, name: &HeaderName, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_str()));
        self.headers.push((name.to_string(), value.to_owned()));
    }

    pub(super) fn header_if_missing(&mut self, name: &HeaderName, value: &str) {
        if !self
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name.as_str()))
        {
            self.headers.push((name.to_string(), value.to_owned()));
        }
    }

    fn query(&mut self, name: &str, value: &str) {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        self.url = format!("{}{mark}{name}={value}", self.url);
    }

    /// Puts a text where the scheme looks for it.
    fn put(&mut self, place: &Place, text: &str) -> Result<(), String> {
        match place {
            Place::Header(name) => self.header(name, text),
            Place::Query(name) => self.query(name, text),
            Place::PathToken => {
                let (path, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
                let mark = if query.is_empty() { "" } else { "?" };
                let path = path.trim_end_matches('/');
                self.url = format!("{path}/{text}{mark}{query}");
            }
            Place::Headers(_)
            | Place::NamedHeader(_)
            | Place::NamedQuery(_)
            | Place::Json(_)
            | Place::Item(_)
            | Place::Form(_)
            | Place::Sig(_)
            | Place::Config(_)
            | Place::Claim(_)
            | Place::Body
            | Place::BodySha256
            | Place::BodySha256Base64
            | Place::UrlSha256 => {
                return Err(
                    "signing a request whose signature is not in a header, the query or \
                            the path is not possible"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}

/// Signs a request as `provider` would at `at`: adds the signature or token, the timestamp and the
/// event id. An Ed25519 scheme needs the private key (`whsk_`).
///
/// # Errors
/// The variant is unknown, the secret has the wrong form, or the scheme cannot be written.
pub fn sign(
    provider: &Provider,
    variant: Option<&str>,
    secret: &Secret,
    values: &BTreeMap<String, String>,
    request: &mut Unsigned,
    at: UnixMillis,
    id: &str,
) -> Result<(), String> {
    let scheme = provider.pinned(variant).next();
    let scheme = scheme.ok_or_else(|| format!("{} has no such variant", provider.id))?;
    let shape = scheme.shape().map_err(|fault| format!("scheme.{fault}"))?;
    add_id(provider, &shape, request, id);
    match shape {
        Shape::None => Ok(()),
        Shape::Token {
            signature,
            basic,
            derived_from,
        } => {
            let token = wire_token(derived_from, secret, values)?;
            let token = if basic {
                format!("Basic {}", STANDARD.encode(&token))
            } else {
                let token = std::str::from_utf8(&token).map_err(|_| "the token is not UTF-8")?;
                format!("{}{token}", signature.prefix)
            };
            request.put(first_place(signature)?, &token)
        }
        Shape::Signed(shape) => Signer(shape).sign(secret, values, request, at),
        Shape::Code(shape) => code::sign(&shape, secret, values, request, at),
        Shape::Jwt(_) | Shape::Each { .. } => {
            Err("signing with this kind of scheme is not possible".to_owned())
        }
    }
}

fn first_place(signature: &SignatureRule) -> Result<&Place, String> {
    let first = signature.from.0.first();
    first
        .map(|from| &from.place)
        .ok_or_else(|| "scheme.signature.from is empty".to_owned())
}

/// Headers that carry the id: those that are signed, otherwise the first that the provider uses.
fn add_id(provider: &Provider, shape: &Shape<'_>, request: &mut Unsigned, id: &str) {
    if let Shape::Signed(signed) = shape {
        for part in signed.content.iter().flat_map(|content| content.parts()) {
            if let Piece::Value(Place::Header(name)) = &part.piece {
                request.header_if_missing(name, id);
            }
        }
    }
    let sources = provider.event.id.0.iter();
    let names: Vec<_> = sources.filter_map(|source| source.place.header()).collect();
    let present = |name: &&HeaderName| {
        let headers = request.headers.iter();
        headers
            .into_iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name.as_str()))
    };
    if let (Some(first), false) = (names.first(), names.iter().any(present)) {
        request.header_if_missing(first, id);
    }
}

/// A scheme with a signature.
struct Signer<'a>(SignedShape<'a>);

impl Signer<'_> {
    fn sign(
        &self,
        secret: &Secret,
        values: &BTreeMap<String, String>,
        request: &mut Unsigned,
        at: UnixMillis,
    ) -> Result<(), String> {
        let time = self.0.timestamp.map(|rule| TimeRule::new(rule, None));
        let timestamp = time.as_ref().map(|time| time.write(at));
        let mut field = None;
        let place = time.as_ref().and_then(|time| time.from.first());
        if let (Some(place), Some(text)) = (place, &timestamp) {
            if let Place::Sig(key) = place {
                field = Some((&**key, text.as_str()));
            } else if !place.is_in_body() {
                request.put(place, text)?;
            }
        }
        let headers = header_map(&request.headers)?;
        let (base, target) = split_url(&request.url);
        let view = View {
            method: &request.method,
            target,
            headers: &headers,
            body: &request.body,
            path_token: None,
            values,
            public_url: base,
            item: &[],
        };
        let timestamp = timestamp.as_deref().map(str::as_bytes);
        let content = fill(self.content()?, &view, None, timestamp)
            .map_err(|rejection| rejection.detail.into_owned())?;
        let bytes = if self.0.algorithm == Algorithm::Ed25519 {
            let seed = private_key(secret.expose())
                .ok_or("the private key must be whsk_ and base64 of 32 or 64 bytes")?;
            let signature = SigningKey::from_bytes(&seed).sign(&joined(&content));
            signature.to_bytes().to_vec()
        } else {
            let key = Key::new(secret, self.0.algorithm, self.0.key)?;
            let (bytes, length) = key.compute(&content);
            bytes.get(..length).unwrap_or_default().to_vec()
        };
        let reader = Reader::new(self.0.signature, Some(bytes.len()), |name| {
            values.get(name).cloned()
        });
        let text = reader.write(&bytes, field);
        request.put(first_place(self.0.signature)?, &text)
    }
}

impl<'a> Signer<'a> {
    fn content(&self) -> Result<&'a Template, String> {
        let first = self.0.content.first();
        first.ok_or_else(|| "scheme.content is empty".to_owned())
    }
}

pub(super) fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("not a header name: {name}"))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|_| format!("not a value for {name}"))?;
        map.append(name, value);
    }
    Ok(map)
}

/// The address and the target of a URL.
pub(super) fn split_url(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    if url.starts_with('/') {
        return ("", url);
    }
    let path = url.get(authority..).and_then(|rest| rest.find('/'));
    path.and_then(|at| url.split_at_checked(authority + at))
        .unwrap_or((url, "/"))
}
