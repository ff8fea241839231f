//! A request as the scheme language sees it: places in, values out.
//!
//! Values are borrowed where they stand as bytes in the request. Two different values at one place
//! are ambiguous, never "the first one": another reader could take the other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};

use super::json::Tree;
use super::signature::Fields;
use crate::event::Received;
use crate::keys::KeySource;
use crate::providers::Place;
use crate::secret::Values;

/// The parts of a request and of the source's configuration that values come from.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) path_token: Option<&'a str>,
    /// The operator's `config:` values.
    pub(super) values: &'a Values,
    /// The URL in front of the target, as senders write it, without a slash at the end.
    pub(super) public_url: &'a str,
    /// What is known of senders' keys, where any are fetched.
    pub(super) keys: Option<&'a KeySource>,
    /// The element that is being looked at, of a body that is taken element by element.
    pub(super) item: &'a [u8],
}

/// Two different values stand at one place, or one that others may read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// A value, borrowed if it stands in the request as it is.
pub(super) type Bytes<'a> = Cow<'a, [u8]>;

impl<'a> View<'a> {
    pub(super) fn of(received: &'a Received, values: &'a Values, public_url: &'a str) -> Self {
        Self {
            method: &received.method,
            target: &received.target,
            headers: &received.headers,
            body: &received.body,
            path_token: received.path_token.as_deref(),
            values,
            public_url,
            keys: None,
            item: &[],
        }
    }

    /// The URL as the sender writes it.
    pub(super) fn url(&self) -> String {
        [self.public_url, self.target].concat()
    }

    /// Path and query; the query is empty if there is none.
    pub(super) fn path_and_query(&self) -> (&'a str, &'a str) {
        self.target.split_once('?').unwrap_or((self.target, ""))
    }

    /// The value at `place`; `fields` are those of the signature header.
    pub(super) fn find(
        &self,
        place: &Place,
        fields: Option<&Fields<'a>>,
    ) -> Result<Option<Bytes<'a>>, Ambiguous> {
        match place {
            Place::Header(name) => only(
                self.headers
                    .get_all(name)
                    .iter()
                    .map(|v| Cow::Borrowed(v.as_bytes())),
            ),
            Place::Query(name) => {
                let (_, query) = self.path_and_query();
                let named = pairs(query.as_bytes()).filter(|(key, _)| decodes_to(key, name));
                only(named.map(|(_, value)| percent_decode(value).into()))
            }
            Place::Form(name) => only(
                self.form()
                    .filter_map(|(key, value)| (*key == *name.as_bytes()).then_some(value)),
            ),
            Place::Json(pointer) => json(pointer, self.body),
            Place::Item(pointer) => json(pointer, self.item),
            Place::Sig(key) => fields.map_or(Ok(None), |fields| fields.field(key)),
            Place::Config(name) => Ok(self.values.get(&**name).map(|v| v.as_bytes().into())),
            Place::PathToken => Ok(self.path_token.map(|token| token.as_bytes().into())),
            Place::Body => Ok(Some(self.body.into())),
            Place::BodySha256 => Ok(Some(sha256_hex(self.body).into_bytes().into())),
            Place::BodySha256Base64 => {
                let text = STANDARD.encode(Sha256::digest(self.body));
                Ok(Some(text.into_bytes().into()))
            }
            Place::UrlSha256 => Ok(Some(sha256_hex(self.url().as_bytes()).into_bytes().into())),
            // Several values, known only to the signature reader; values of a token, known only
            // once it is verified; names that were resolved when the source was set up.
            Place::Headers(_) | Place::Claim(_) | Place::NamedHeader(_) | Place::NamedQuery(_) => {
                Ok(None)
            }
        }
    }

    /// The values of all headers whose name is `prefix` and a number.
    pub(super) fn numbered(&self, prefix: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter_map(move |(name, value)| {
            let number = name.as_str().strip_prefix(prefix)?;
            let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| value.as_bytes())
        })
    }

    /// Whether the body says that it is a form.
    pub(super) fn is_form(&self) -> bool {
        let form_type = b"application/x-www-form-urlencoded";
        self.headers.get(CONTENT_TYPE).is_some_and(|value| {
            let start = value.as_bytes().get(..form_type.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(form_type))
        })
    }

    /// The decoded fields of the body, if it is a form.
    pub(super) fn form(&self) -> impl Iterator<Item = (Bytes<'a>, Bytes<'a>)> + use<'a> {
        let body = if self.is_form() { self.body } else { b"" };
        pairs(body).map(|(key, value)| (form_decode(key), form_decode(value)))
    }
}

/// The one value at a pointer into a JSON text.
fn json<'a>(pointer: &[Box<str>], text: &'a [u8]) -> Result<Option<Bytes<'a>>, Ambiguous> {
    let mut tree = Tree::wary();
    let slot = tree.add(pointer);
    let found = tree.read(text).take(slot)?;
    Ok(found.map(|text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }))
}

/// The one value, `None` if there is none; equal repeats are one.
pub(super) fn only<'a>(
    mut values: impl Iterator<Item = Bytes<'a>>,
) -> Result<Option<Bytes<'a>>, Ambiguous> {
    let first = values.next();
    match values.all(|other| first.as_ref() == Some(&other)) {
        true => Ok(first),
        false => Err(Ambiguous),
    }
}

/// `name=value` pairs between ampersands, as written.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'&').map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        )
    })
}

/// Whether percent-encoded text is this name.
pub(super) fn decodes_to(text: &[u8], name: &str) -> bool {
    percent_decode(text).eq(name.bytes())
}

pub(super) fn form_decode(text: &[u8]) -> Bytes<'_> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
