//! A request that is being made: values go in where a scheme looks for them.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::target::without_tokens;
use super::super::view::{View, decodes_to};
use super::json;
use crate::providers::Place;
use crate::secret::Values;

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

/// A place, and the element of the body that it is relative to.
pub(super) struct Spot<'a> {
    pub(super) place: &'a Place,
    pub(super) element: &'a [Box<str>],
}

impl<'a> Spot<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        let element = &[];
        Self { place, element }
    }
}

const NO_PLACE: &str = "the scheme looks for a value where a sender cannot put one";

impl Unsigned {
    pub(in crate::verify) fn has_header(&self, name: &str) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Puts a text at a place, in place of what is there.
    pub(in crate::verify) fn put_at(&mut self, place: &Place, text: &str) -> Result<(), String> {
        self.put(&Spot::new(place), text)
    }

    /// Puts a text where a scheme looks for it, in place of what is there.
    pub(super) fn put(&mut self, spot: &Spot<'_>, text: &str) -> Result<(), String> {
        match spot.place {
            Place::Header(name) => self.set_header(name.as_str(), text),
            Place::Headers(prefix) => self.set_header(&format!("{prefix}1"), text),
            Place::Query(name) => self.set_query(name, text),
            Place::PathToken => {
                let (path, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
                let mark = if query.is_empty() { "" } else { "?" };
                let path = path.trim_end_matches('/');
                self.url = format!("{path}/{text}{mark}{query}");
            }
            Place::Json(pointer) => self.set_json(pointer, &quoted(text))?,
            Place::Item(pointer) => {
                self.set_json(&[spot.element, pointer].concat(), &quoted(text))?;
            }
            Place::Form(name) => self.set_form(name, text)?,
            Place::Body => self.body = text.to_owned().into(),
            Place::NamedHeader(_)
            | Place::NamedQuery(_)
            | Place::Sig(_)
            | Place::Config(_)
            | Place::Claim(_)
            | Place::BodySha256
            | Place::BodySha256Base64
            | Place::UrlSha256 => return Err(NO_PLACE.to_owned()),
        }
        Ok(())
    }

    pub(in crate::verify) fn set_header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn set_query(&mut self, name: &str, value: &str) {
        if let Some(url) = without_tokens(&self.url, &[name.into()], false) {
            self.url = url.into();
        }
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        self.url = format!("{}{mark}{name}={value}", self.url);
    }

    /// Puts in a number, or its digits if there is a string now.
    pub(super) fn set_json_number(
        &mut self,
        pointer: &[Box<str>],
        digits: &str,
    ) -> Result<(), String> {
        let old = json::value_at(&self.body, pointer);
        let is_text = old.is_some_and(|old| old.starts_with(b"\""));
        let value = if is_text {
            quoted(digits)
        } else {
            digits.to_owned()
        };
        self.set_json(pointer, &value)
    }

    /// Puts in a text as a member of the body, a JSON object.
    pub(in crate::verify) fn set_member(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.set_json(&[name.into()], &quoted(text))
    }

    fn set_json(&mut self, pointer: &[Box<str>], value: &str) -> Result<(), String> {
        let body = json::with_value(&self.body, pointer, value);
        let body = body.ok_or_else(|| {
            let pointer = pointer.join("/");
            format!("the body has no place for /{pointer}: it must be JSON with its parent")
        })?;
        self.body = body.into();
        Ok(())
    }

    fn set_form(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !self.has_header(CONTENT_TYPE.as_str()) {
            self.set_header(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        }
        if !self.view(&Values::new(), &[], |view: &View<'_>| view.is_form())? {
            return Err(format!("the body must be a form, for its field {name}"));
        }
        let is_other = |pair: &&[u8]| !pair.is_empty() && !decodes_to(before_equals(pair), name);
        let mut pairs: Vec<_> = self.body.split(|byte| *byte == b'&').collect();
        let at = pairs.iter().position(|pair| !is_other(pair));
        let [name, value] = [name, value].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let pair = format!("{name}={value}");
        pairs.retain(is_other);
        pairs.insert(at.unwrap_or(pairs.len()).min(pairs.len()), pair.as_bytes());
        self.body = pairs.join(&b'&').into();
        Ok(())
    }

    /// The request as the verifier sees it; `item` is the element that is being looked at.
    pub(in crate::verify) fn view<T>(
        &self,
        values: &Values,
        item: &[u8],
        look: impl FnOnce(&View<'_>) -> T,
    ) -> Result<T, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let header: HeaderName = name
                .parse()
                .map_err(|_| format!("not a header name: {name}"))?;
            let value: HeaderValue = value
                .parse()
                .map_err(|_| format!("not a value for {name}"))?;
            headers.append(header, value);
        }
        let (base, target) = split_url(&self.url);
        Ok(look(&View {
            method: &self.method,
            target,
            headers: &headers,
            body: &self.body,
            path_token: None,
            values,
            public_url: base,
            item,
            keys: None,
        }))
    }
}

fn before_equals(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The address and the target of a URL.
fn split_url(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    if url.starts_with('/') {
        return ("", url);
    }
    let path = url.get(authority..).and_then(|rest| rest.find('/'));
    path.and_then(|at| url.split_at_checked(authority + at))
        .unwrap_or((url, "/"))
}
