//! What must hold beside the signature, ready for use.

use subtle::ConstantTimeEq as _;

use super::jwt::Claims;
use super::rejection::{Reason, Rejection};
use super::view::{Ambiguous, Bytes, View};
use crate::providers::{Check, Piece, Place, Template};

/// A check that is made after the signature held.
pub(super) struct CheckRule {
    from: Place,
    optional: bool,
    without_body: bool,
    /// The signature covers the fields of a form, so that a form needs no check of its own.
    forms_are_signed: bool,
    expected: Expected,
    pub(super) name: Box<str>,
}

enum Expected {
    /// Whatever it is, as long as it is there.
    Anything,
    Text(Box<str>),
    Value(Place),
}

impl CheckRule {
    /// Compiles a check of a scheme that signs these contents.
    pub(super) fn new(check: &Check, contents: &[Template]) -> Self {
        let expected = match (&check.equals_value, &check.equals) {
            (Some(source), _) => Expected::Value(source.place.clone()),
            (None, Some(text)) => Expected::Text(text.as_str().into()),
            (None, None) => Expected::Anything,
        };
        let signs_form = |content: &Template| content.covers(&Piece::SortedForm);
        Self {
            from: check.from.place.clone(),
            optional: check.from.optional,
            without_body: check.without_body,
            forms_are_signed: !contents.is_empty() && contents.iter().all(signs_form),
            expected,
            name: check.from.as_str().trim_end_matches('?').into(),
        }
    }

    /// Whether the value is what it has to be.
    pub(super) fn check(&self, view: &View<'_>, claims: Option<&Claims>) -> Result<(), Rejection> {
        let expected = self.expected(view);
        let equals = |value: &[u8]| {
            if let Expected::Anything = self.expected {
                return true;
            }
            let equal = expected.as_deref().map(|expected| value.ct_eq(expected));
            equal.is_some_and(Into::into)
        };
        let holds = match (&self.from, claims) {
            (Place::Claim(name), Some(claims)) => claims.any(name, |text| equals(text.as_bytes())),
            (place, _) => match view.find(place, None) {
                Ok(value) => value.map(|value| equals(&value)),
                Err(Ambiguous) => Some(false),
            },
        };
        match holds {
            Some(true) => Ok(()),
            Some(false) => {
                let detail = format!("{} is not what it has to be", self.name);
                Err(Reason::Check.because(detail))
            }
            None if self.optional || (self.without_body && self.is_bare(view)) => Ok(()),
            None => Err(Reason::NoHeader.because(format!("{} is missing", self.name))),
        }
    }

    /// What a request needs at the place to pass; `None` if it is there, or may be absent.
    pub(super) fn wanted(&self, view: &View<'_>) -> Option<String> {
        if self.without_body && self.is_bare(view) {
            return None;
        }
        let expected = self.expected(view)?;
        let found = view.find(&self.from, None).ok().flatten();
        let text = String::from_utf8_lossy(&expected);
        (found != Some(expected.clone())).then(|| text.into_owned())
    }

    fn expected<'a>(&'a self, view: &View<'a>) -> Option<Bytes<'a>> {
        match &self.expected {
            Expected::Anything => None,
            Expected::Text(text) => Some(text.as_bytes().into()),
            Expected::Value(place) => view.find(place, None).ok().flatten(),
        }
    }

    /// Whether there is no body, or none that the signature leaves out.
    fn is_bare(&self, view: &View<'_>) -> bool {
        view.body.is_empty() || (self.forms_are_signed && view.is_form())
    }
}
