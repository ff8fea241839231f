//! What a verified request says about its event: the sender's id, the type, the dedup id.
//!
//! The dedup id is canonical: a byte for the rule that made it, then each value with its length in
//! front, so that ("a", "bc") and ("ab", "c") differ and no two rules can meet. Where a value that
//! the rule needs is absent, the body's SHA-256 takes its place as a rule of its own: a request is
//! then only ever a duplicate of the same bytes.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::content::sorted_form;
use super::json::{Tree, Values, is_usable};
use super::jwt::Claims;
use super::view::{View, sha256_hex};
use crate::providers::{EventRule, Fallback, Piece, Place, Template, ValueSource};

/// First byte of a dedup id: which rule made it.
mod rule {
    pub(super) const ID: u8 = b'i';
    pub(super) const PROVIDER_KEY: u8 = b'k';
    pub(super) const SOURCE_KEY: u8 = b'c';
    pub(super) const BODY: u8 = b'b';
    pub(super) const UNIQUE: u8 = b'o';
}

/// What the request says.
pub(super) struct Found {
    /// `None`: nothing tells it from others, so it is an event of its own.
    pub(super) dedup_id: Option<Vec<u8>>,
    pub(super) provider_event_id: Option<Box<str>>,
    pub(super) event_type: Option<Box<str>>,
}

/// Where the facts are, ready for use.
pub(super) struct FactRule {
    tree: Tree,
    id: Vec<(u8, Fetch)>,
    key_rule: u8,
    key: Vec<(Fetch, bool)>,
    kind: Vec<Fetch>,
    /// Without id and key the body tells events apart.
    by_body: bool,
    /// Of a form the fields are signed, in whatever order and spelling they come.
    by_form: bool,
}

enum Fetch {
    Json(usize),
    Other(Place),
}

impl FactRule {
    /// Compiles a provider's rule; `key` is the source's own and goes before the provider's.
    ///
    /// Of several id places those count that `contents` cover, if there are such: beside a signed
    /// id anybody could add an unsigned one and make a copy look new. They are numbered alone, so
    /// that a copy under the header names of another scheme is still the same event.
    pub(super) fn new(
        event: &EventRule,
        key: Option<&[ValueSource]>,
        contents: &[Template],
    ) -> Self {
        let covers = |content: &Template, place: &Place| match place.is_in_body() {
            true => content.covers_body(),
            false => content.covers(&Piece::Value(place.clone())),
        };
        let is_signed = |source: &ValueSource| {
            let mut contents = contents.iter().peekable();
            contents.peek().is_some() && contents.all(|content| covers(content, &source.place))
        };
        let mut tree = Tree::default();
        let mut fetch = |source: &ValueSource| {
            if let Place::Json(pointer) = &source.place {
                Fetch::Json(tree.add(pointer))
            } else {
                Fetch::Other(source.place.clone())
            }
        };
        let any_signed = event.id.0.iter().any(is_signed);
        let counting = event.id.0.iter();
        let counting = counting.filter(|source| !any_signed || is_signed(source));
        let mut id: Vec<_> = (0_u8..).zip(counting.map(&mut fetch)).collect();
        // The one value that tells a source's events apart is the best id there is.
        if let (Some([source]), true) = (key, id.is_empty())
            && source.place != Place::BodySha256
        {
            id.push((0, fetch(source)));
        }
        let by_body = key.is_some() || event.fallback == Fallback::Body;
        let key_rule = key.map_or(rule::PROVIDER_KEY, |_| rule::SOURCE_KEY);
        let key = key.unwrap_or(&event.key);
        let key = key
            .iter()
            .map(|source| (fetch(source), source.optional))
            .collect();
        let kind = event.kind.0.iter().map(&mut fetch).collect();
        let signs_form = |content: &Template| content.covers(&Piece::SortedForm);
        Self {
            tree,
            id,
            key_rule,
            key,
            kind,
            by_body,
            by_form: contents.iter().any(signs_form),
        }
    }

    /// The dedup ids that an event with this provider's id would have. It may have another, where
    /// several values tell events apart.
    pub(super) fn dedup_ids(&self, provider_event_id: &str) -> Vec<Vec<u8>> {
        let id = provider_event_id.as_bytes();
        match self.key.len() {
            0 => self
                .id
                .iter()
                .map(|(number, _)| by_id(*number, id))
                .collect(),
            1 => {
                let mut dedup_id = vec![self.key_rule];
                push(&mut dedup_id, id);
                vec![dedup_id]
            }
            _ => Vec::new(),
        }
    }

    /// Reads the facts of a request that was verified, and of the token that verified it.
    pub(super) fn read(&self, view: &View<'_>, claims: Option<&Claims>) -> Found {
        let json = self.tree.read(view.body);
        let sight = Sight {
            json: &json,
            view,
            claims,
            by_form: self.by_form,
        };
        let id = self
            .id
            .iter()
            .find_map(|(number, fetch)| Some((*number, sight.text(fetch)?)));
        let dedup_id = if self.key.is_empty() {
            id.as_ref()
                .map(|(number, id)| by_id(*number, id.as_bytes()))
        } else {
            self.compose(&sight)
        };
        let kind = self.kind.iter().find_map(|fetch| sight.text(fetch));
        Found {
            dedup_id: dedup_id.or_else(|| self.by_body.then(|| body_id(&sight.body_sha256()))),
            provider_event_id: id.map(|(_, id)| id.into()),
            event_type: kind.map(Into::into),
        }
    }

    /// All parts of the key; `None` if one that is needed is absent.
    fn compose(&self, sight: &Sight<'_>) -> Option<Vec<u8>> {
        let mut dedup_id = vec![self.key_rule];
        for (fetch, optional) in &self.key {
            match (sight.text(fetch), sight.digest(fetch)) {
                (Some(text), _) => push(&mut dedup_id, text.as_bytes()),
                // No value is as long as these.
                (None, Some(digest)) => {
                    dedup_id.extend((u32::MAX - 1).to_le_bytes());
                    dedup_id.extend(digest);
                }
                (None, None) if *optional => dedup_id.extend(u32::MAX.to_le_bytes()),
                (None, None) => return None,
            }
        }
        Some(dedup_id)
    }
}

/// Where facts are looked for.
struct Sight<'a> {
    json: &'a Values<'a>,
    view: &'a View<'a>,
    claims: Option<&'a Claims>,
    by_form: bool,
}

impl<'a> Sight<'a> {
    /// A usable text: ambiguous, over-long and otherwise odd values count as absent.
    fn text(&self, fetch: &Fetch) -> Option<Cow<'a, str>> {
        let text = match fetch {
            Fetch::Json(slot) => Cow::Borrowed(self.json.text(*slot)?),
            Fetch::Other(Place::BodySha256) => Cow::Owned(self.body_sha256()),
            Fetch::Other(Place::Claim(name)) => Cow::Owned(self.claims?.text(name)?),
            Fetch::Other(place) => match self.view.find(place, None).ok()?? {
                Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
            },
        };
        is_usable(&text).then_some(text)
    }

    /// The SHA-256 of the body, or of what is signed of it: a copy in another spelling is no news.
    fn body_sha256(&self) -> String {
        match self.by_form && self.view.is_form() {
            true => sha256_hex(&sorted_form(self.view)),
            false => sha256_hex(self.view.body),
        }
    }

    /// The SHA-256 of a form's field, which may be a whole document: it tells events apart though
    /// nobody would read it as a text.
    fn digest(&self, fetch: &Fetch) -> Option<[u8; 32]> {
        let Fetch::Other(place @ Place::Form(_)) = fetch else {
            return None;
        };
        let value = self.view.find(place, None).ok()??;
        (!value.is_empty()).then(|| Sha256::digest(&value).into())
    }
}

/// A dedup id that no other request has.
pub(super) fn unique_id(unique: &[u8; 16]) -> Vec<u8> {
    let mut dedup_id = vec![rule::UNIQUE];
    dedup_id.extend(unique);
    dedup_id
}

/// How an event with this dedup id is told from others, in words for people.
pub(super) fn in_words(dedup_id: &[u8]) -> &'static str {
    match dedup_id.first() {
        Some(&rule::ID) => "the sender's id",
        Some(&rule::PROVIDER_KEY) => "the provider's key, several values together",
        Some(&rule::SOURCE_KEY) => "the source's dedup.key",
        Some(&rule::BODY) => "the body's hash, since no id or key is there",
        _ => "nothing: it is an event of its own each time",
    }
}

fn by_id(number: u8, id: &[u8]) -> Vec<u8> {
    let mut dedup_id = vec![rule::ID, number];
    push(&mut dedup_id, id);
    dedup_id
}

fn body_id(body_sha256: &str) -> Vec<u8> {
    let mut dedup_id = vec![rule::BODY];
    push(&mut dedup_id, body_sha256.as_bytes());
    dedup_id
}

fn push(dedup_id: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    dedup_id.extend(length.to_le_bytes());
    dedup_id.extend(value);
}
