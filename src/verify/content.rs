//! The signed content of a request: a template filled with borrowed slices.

use std::borrow::Cow;

use super::rejection::{Reason, Rejection};
use super::signature::Fields;
use super::view::{Ambiguous, Bytes, View, sha256_hex};
use crate::providers::{Part, Piece, Template};

/// Fills the template. The timestamp is passed in, so that what is checked is what is signed.
///
/// # Errors
/// A value is missing, ambiguous, or contains the text that separates it from its neighbour.
pub(super) fn fill<'a>(
    template: &'a Template,
    view: &View<'a>,
    fields: Option<&Fields<'a>>,
    timestamp: Option<&'a [u8]>,
) -> Result<Vec<Option<Bytes<'a>>>, Rejection> {
    let mut content = Vec::with_capacity(template.parts().len());
    for part in template.parts() {
        let value = value(part, view, fields, timestamp)?;
        content.push(match value {
            Some(value) if part.lower => Some(Cow::Owned(value.to_ascii_lowercase())),
            value => value,
        });
    }
    Ok(content)
}

/// One piece; `None` stands for the secret.
fn value<'a>(
    part: &'a Part,
    view: &View<'a>,
    fields: Option<&Fields<'a>>,
    timestamp: Option<&'a [u8]>,
) -> Result<Option<Bytes<'a>>, Rejection> {
    let (path, _) = view.path_and_query();
    let value: Bytes<'a> = match &part.piece {
        Piece::Secret => return Ok(None),
        Piece::Text(text) => text.as_bytes().into(),
        Piece::Body => view.body.into(),
        Piece::BodySha256Hex => sha256_hex(view.body).into_bytes().into(),
        Piece::Method => view.method.as_str().as_bytes().into(),
        Piece::Url => [view.public_url, view.target].concat().into_bytes().into(),
        Piece::Path => path.as_bytes().into(),
        Piece::PathQuery => view.target.as_bytes().into(),
        Piece::SortedForm => sorted_form(view).into(),
        Piece::Timestamp => timestamp.unwrap_or_default().into(),
        Piece::Value(place) => match view.find(place, fields) {
            Ok(Some(value)) => value,
            Ok(None) => return Err(Reason::NoHeader.because("a signed value is missing")),
            Err(Ambiguous) => {
                return Err(Reason::Malformed.because("a signed value is there twice"));
            }
        },
    };
    let contains = |text: &[u8]| value.windows(text.len()).any(|part| part == text);
    if part.delimiters.iter().any(|text| contains(text.as_bytes())) {
        let detail = "a signed value contains the text that separates it from the next one";
        return Err(Reason::Malformed.because(detail));
    }
    Ok(Some(value))
}

/// Form fields sorted by name, then value; names and values joined; repeats of a pair once.
fn sorted_form(view: &View<'_>) -> Vec<u8> {
    let mut fields: Vec<_> = view.form().filter(|(name, _)| !name.is_empty()).collect();
    fields.sort();
    fields.dedup();
    fields
        .iter()
        .flat_map(|(name, value)| [&**name, &**value].concat())
        .collect()
}
