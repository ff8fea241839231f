//! The signed content of a request: a template filled with borrowed slices.

use http::HeaderName;

use super::rejection::{Reason, Rejection};
use super::signature::Fields;
use super::view::{Ambiguous, Bytes, View, sha256_hex};
use crate::providers::{Part, Piece, Place, Template};

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
    // The optional segment we are in and where it began; one that was given up.
    let (mut segment, mut start, mut skipped) = (None, 0, None);
    for (at, part) in template.parts().iter().enumerate() {
        if part.segment.is_some() && part.segment == skipped {
            continue;
        }
        if part.segment != segment {
            (segment, start) = (part.segment, content.len());
        }
        match value(template, part, view, fields, timestamp)? {
            Found::Secret => content.push(None),
            Found::Value(value) => content.push(Some(checked(template, at, part, value)?)),
            Found::Absent if part.segment.is_some() => {
                content.truncate(start);
                skipped = part.segment;
            }
            Found::Absent if part.optional => {}
            Found::Absent => return Err(Reason::NoHeader.because("a signed value is missing")),
        }
    }
    Ok(content)
}

/// Whether a value from `place` is part of the content, as far as that depends on the request: on
/// which headers the sender names as signed.
pub(super) fn covers(
    template: &Template,
    view: &View<'_>,
    fields: &Fields<'_>,
    place: &Place,
) -> bool {
    if place.header().is_none() || !template.covers_named_headers() {
        return true;
    }
    let named = |part: &Part| {
        let (names, separator) = if let Piece::SignedHeaderValues(names, _) = &part.piece {
            (names, b' ')
        } else if let Piece::SignedHeaderPairs(names) = &part.piece {
            (names, b',')
        } else {
            return false;
        };
        let Ok(Some(names)) = view.find(names, Some(fields)) else {
            return false;
        };
        let mut names = names.split(|byte| *byte == separator);
        names.any(|name| is_header(name.trim_ascii(), place))
    };
    template.covers(&Piece::Value(place.clone())) || template.parts().iter().any(named)
}

/// Whether the place is the header with this name.
fn is_header(name: &[u8], place: &Place) -> bool {
    let header = place.header().map(|header| header.as_str().as_bytes());
    header.is_some_and(|header| header.eq_ignore_ascii_case(name))
}

/// What stands for a piece.
enum Found<'a> {
    Value(Bytes<'a>),
    Absent,
    Secret,
}

fn value<'a>(
    template: &Template,
    part: &'a Part,
    view: &View<'a>,
    fields: Option<&Fields<'a>>,
    timestamp: Option<&'a [u8]>,
) -> Result<Found<'a>, Rejection> {
    let find = |place: &Place| match view.find(place, fields) {
        Ok(value) => Ok(value),
        Err(Ambiguous) => {
            Err(Reason::Malformed.because("a signed value is there twice, or no short text"))
        }
    };
    let (path, _) = view.path_and_query();
    let value: Bytes<'a> = match &part.piece {
        Piece::Secret => return Ok(Found::Secret),
        Piece::Text(text) => text.as_bytes().into(),
        Piece::Body => view.body.into(),
        Piece::BodySha256Hex => sha256_hex(view.body).into_bytes().into(),
        Piece::BodyCrc32Dec => crc32fast::hash(view.body).to_string().into_bytes().into(),
        Piece::Method => view.method.as_str().as_bytes().into(),
        Piece::Url => view.url().into_bytes().into(),
        Piece::Path => path.as_bytes().into(),
        Piece::PathQuery => view.target.as_bytes().into(),
        Piece::SortedForm => sorted_form(view).into(),
        Piece::Timestamp => timestamp.unwrap_or_default().into(),
        Piece::SignedHeaderValues(names, joint) => {
            let Some(names) = find(names)? else {
                return Ok(Found::Absent);
            };
            let headers = signed_headers(view, &names, b' ')?;
            let values: Vec<_> = headers.into_iter().map(|(_, value)| value).collect();
            values.join(joint.as_bytes()).into()
        }
        Piece::SignedHeaderPairs(place) => {
            let Some(names) = find(place)? else {
                return Ok(Found::Absent);
            };
            let headers = signed_headers(view, &names, b',')?;
            // Otherwise one header could hold the pairs of others, which were anybody's then.
            let mut named = headers.iter().map(|(name, _)| is_header(name, place));
            if !template.covers(&Piece::Value(place.clone())) && !named.any(|itself| itself) {
                return Err(Reason::Malformed.because("the list of signed headers is not signed"));
            }
            let pairs = headers
                .iter()
                .map(|(name, value)| [name, *value].join(&b':'));
            pairs.collect::<Vec<_>>().join(&b';').into()
        }
        Piece::Value(place) => match find(place)? {
            Some(value) => value,
            None => return Ok(Found::Absent),
        },
    };
    Ok(Found::Value(value))
}

/// The value with its filter applied, unless it could be mistaken for more than one value.
fn checked<'a>(
    template: &Template,
    at: usize,
    part: &Part,
    value: Bytes<'a>,
) -> Result<Bytes<'a>, Rejection> {
    let contains = |text: &[u8]| value.windows(text.len()).any(|part| part == text);
    let contained = part.delimiters.iter().any(|text| contains(text.as_bytes()));
    if contained || moves_a_border(template, at, part, &value) {
        let detail = "a signed value contains the text that separates it from the next one";
        return Err(Reason::Malformed.because(detail));
    }
    Ok(match part.lower {
        true => value.to_ascii_lowercase().into(),
        false => value,
    })
}

/// Whether the text that separates the value from a neighbour is found where it does not stand: begun
/// by the end of the value and ended by its own beginning, or the other way round.
fn moves_a_border<'t>(template: &'t Template, at: usize, part: &'t Part, value: &[u8]) -> bool {
    let delimiter = |at: Option<usize>| {
        let neighbour = &template.parts().get(at?)?.piece;
        let mut texts = part.delimiters.iter();
        let text = texts.find(|text| matches!(neighbour, Piece::Text(stands) if stands == *text));
        text.map(|text| text.as_bytes())
    };
    // Where a text that overlaps itself can be cut: in front of the overlap, and behind it.
    let cuts = |text: &'t [u8]| {
        let lengths = 1..text.len();
        lengths.filter(|n| text.get(*n..) == text.get(..text.len() - n))
    };
    let before = delimiter(at.checked_sub(1)).unwrap_or_default();
    let behind = delimiter(at.checked_add(1)).unwrap_or_default();
    let begins = |n: usize| value.starts_with(before.get(before.len() - n..).unwrap_or_default());
    let ends = |n: usize| value.ends_with(behind.get(..n).unwrap_or_default());
    cuts(before).any(begins) || cuts(behind).any(ends)
}

/// Most headers that a sender may name as signed.
const SIGNED_HEADERS_MAX: usize = 32;

/// Name, as it was written, and value of a header that the sender signed too.
type SignedHeader<'n, 'a> = (&'n [u8], &'a [u8]);

/// The headers that the sender signed too.
fn signed_headers<'a, 'n>(
    view: &View<'a>,
    names: &'n [u8],
    separator: u8,
) -> Result<Vec<SignedHeader<'n, 'a>>, Rejection> {
    let names = names
        .split(|byte| *byte == separator)
        .map(<[u8]>::trim_ascii);
    let mut found = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if found.len() == SIGNED_HEADERS_MAX {
            return Err(Reason::Malformed.because("too many headers are named as signed"));
        }
        let header = HeaderName::from_bytes(name)
            .map_err(|_| Reason::Malformed.because("a signed header has no header's name"))?;
        let mut values = view.headers.get_all(header).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => found.push((name, value.as_bytes().trim_ascii())),
            (None, _) => return Err(Reason::NoHeader.because("a signed header is missing")),
            _ => return Err(Reason::Malformed.because("a signed header is there twice")),
        }
    }
    Ok(found)
}

/// Form fields sorted by name, then value; names and values joined; repeats of a pair once.
pub(super) fn sorted_form(view: &View<'_>) -> Vec<u8> {
    let mut fields: Vec<_> = view.form().filter(|(name, _)| !name.is_empty()).collect();
    fields.sort();
    fields.dedup();
    fields
        .iter()
        .flat_map(|(name, value)| [&**name, &**value].concat())
        .collect()
}
