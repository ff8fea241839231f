//! What must hold beside the signature, ready for use.

use subtle::ConstantTimeEq as _;

use super::rejection::{Reason, Rejection};
use super::view::View;
use crate::providers::{Check, Piece, Place, Template};

/// A check that is made after the signature held.
pub(super) struct CheckRule {
    from: Place,
    optional: bool,
    without_body: bool,
    /// The signature covers the fields of a form, so that a form needs no check of its own.
    forms_are_signed: bool,
    expected: Expected,
    name: Box<str>,
}

enum Expected {
    Text(Box<str>),
    Value(Place),
}

impl CheckRule {
    /// Compiles a check of a scheme that signs these contents.
    pub(super) fn new(check: &Check, contents: &[Template]) -> Self {
        let expected = match &check.equals_value {
            Some(source) => Expected::Value(source.place.clone()),
            None => Expected::Text(check.equals.as_deref().unwrap_or_default().into()),
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
    pub(super) fn check(&self, view: &View<'_>) -> Result<(), Rejection> {
        let value = view.find(&self.from, None);
        let missing = || Reason::NoHeader.because(format!("{} is missing", self.name));
        let Some(value) = value.map_err(|_| self.wrong())? else {
            let bare = view.body.is_empty() || (self.forms_are_signed && view.is_form());
            let may_be_absent = self.optional || (self.without_body && bare);
            return may_be_absent.then_some(()).ok_or_else(missing);
        };
        let holds = match &self.expected {
            Expected::Text(text) => value.ct_eq(text.as_bytes()).into(),
            Expected::Value(place) => match view.find(place, None) {
                Ok(Some(expected)) => value.ct_eq(&expected).into(),
                _ => false,
            },
        };
        if holds { Ok(()) } else { Err(self.wrong()) }
    }

    fn wrong(&self) -> Rejection {
        Reason::Check.because(format!("{} is not what it has to be", self.name))
    }
}
