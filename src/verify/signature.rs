//! Signatures out of their header: structure, then spelling, to exactly the algorithm's length.
//!
//! What does not parse is skipped, what is tagged otherwise is ignored, and nothing left is a
//! failure. The number of candidates is bounded, since each costs a check.

use base64::Engine as _;
use base64::engine::general_purpose::{
    STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT,
};

use super::rejection::{Reason, Rejection};
use super::view::{Ambiguous, Bytes, View};
use crate::planted::{Bug, planted};
use crate::providers::{Encoding, Parse, Place, SignatureRule};

/// Longest signature of an algorithm whose signatures are all of one length, in bytes.
const EXACT_MAX_BYTES: usize = 64;

/// Longest signature of any other algorithm: RSA with 8192 bits.
pub(super) const LONG_MAX_BYTES: usize = 1024;

/// Most signatures that one request may offer.
pub(super) const SIGNATURES_MAX: usize = 16;

/// A decoded signature.
pub(super) enum Signature {
    /// Of an algorithm whose signatures are all of one length.
    Exact([u8; EXACT_MAX_BYTES], usize),
    /// Of any other.
    Long(Box<[u8]>),
}

impl Signature {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Exact(bytes, length) => bytes.get(..*length).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

/// How to read signatures, ready for use.
pub(super) struct Reader {
    from: Vec<Place>,
    pub(super) parse: Parse,
    pub(super) prefix: Box<str>,
    prefix_optional: bool,
    pub(super) tags: Vec<Box<str>>,
    separator: Box<str>,
    assign: Box<str>,
    pub(super) encoding: Encoding,
    padding_optional: bool,
    groups: Option<Box<str>>,
    pub(super) length: Option<usize>,
}

/// The values of the signature's places, for `sig:` fields and for the signatures themselves.
pub(super) struct Fields<'a> {
    pub(super) values: Vec<Bytes<'a>>,
    reader: &'a Reader,
}

impl Reader {
    /// Compiles a rule for signatures of `length` bytes, or of any length; `value` resolves names
    /// that the operator gives.
    pub(super) fn new(
        rule: &SignatureRule,
        length: Option<usize>,
        value: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let (separator, assign) = rule.parse.separators();
        let resolve = |tag: &String| match tag.strip_prefix("config:") {
            Some(name) => value(name),
            None => Some(tag.clone()),
        };
        Self {
            from: rule
                .from
                .0
                .iter()
                .filter_map(|from| from.place.named(&value))
                .collect(),
            parse: rule.parse,
            prefix: rule.prefix.as_str().into(),
            prefix_optional: rule.prefix_optional,
            tags: rule
                .tag
                .0
                .iter()
                .filter_map(resolve)
                .map(Into::into)
                .collect(),
            separator: rule.separator.as_deref().unwrap_or(separator).into(),
            assign: rule.assign.as_deref().unwrap_or(assign).into(),
            encoding: rule.encoding,
            padding_optional: rule.padding_optional,
            groups: rule.groups.as_deref().map(Into::into),
            length,
        }
    }

    /// Where the signature is.
    pub(super) fn places(&self) -> &[Place] {
        &self.from
    }

    /// The values at the signature's places.
    pub(super) fn fields<'a>(&'a self, view: &View<'a>) -> Result<Fields<'a>, Rejection> {
        let mut values = Vec::with_capacity(self.from.len());
        for place in &self.from {
            if let Place::Headers(prefix) = place {
                values.extend(view.numbered(prefix).map(Bytes::Borrowed));
                continue;
            }
            let value = view.find(place, None);
            let value = value.map_err(|Ambiguous| {
                Reason::Malformed.because("there are two different signatures of the same name")
            })?;
            values.extend(value);
        }
        match values.is_empty() {
            true => Err(Reason::NoHeader.because("the signature is missing")),
            false => Ok(Fields {
                values,
                reader: self,
            }),
        }
    }

    /// What stands before every signature.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The text behind the prefix.
    pub(super) fn unprefixed<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let bare = text.strip_prefix(self.prefix.as_bytes());
        bare.or(self.prefix_optional.then_some(text))
    }

    fn decode(&self, text: &[u8]) -> Option<Signature> {
        let text = self.unprefixed(text)?;
        let Some(length) = self.length else {
            // Hex is the longest spelling.
            let bytes = (text.len() <= 2 * LONG_MAX_BYTES).then(|| self.decode_long(text))??;
            let usable = !bytes.is_empty() && bytes.len() <= LONG_MAX_BYTES;
            return usable.then(|| Signature::Long(bytes.into()));
        };
        // Room for what base64 may write before it knows the exact length.
        let mut room = [0; EXACT_MAX_BYTES + 8];
        let decoded = match (self.encoding, self.padding_optional) {
            (Encoding::Hex, _) => {
                let room = room.get_mut(..length)?;
                hex::decode_to_slice(text, room).ok().map(|()| length)?
            }
            (Encoding::Base64, false) => STANDARD.decode_slice(text, &mut room).ok()?,
            (Encoding::Base64, true) => STANDARD_PAD_INDIFFERENT
                .decode_slice(text, &mut room)
                .ok()?,
            (Encoding::Base64url, false) => URL_SAFE_NO_PAD.decode_slice(text, &mut room).ok()?,
            (Encoding::Base64url, true) => URL_SAFE_PAD_INDIFFERENT
                .decode_slice(text, &mut room)
                .ok()?,
        };
        let bytes = *room.first_chunk()?;
        if planted(Bug::LengthTruncatingCompare) {
            return Some(Signature::Exact(bytes, decoded));
        }
        (decoded == length).then_some(Signature::Exact(bytes, length))
    }

    fn decode_long(&self, text: &[u8]) -> Option<Vec<u8>> {
        match (self.encoding, self.padding_optional) {
            (Encoding::Hex, _) => hex::decode(text).ok(),
            (Encoding::Base64, false) => STANDARD.decode(text).ok(),
            (Encoding::Base64, true) => STANDARD_PAD_INDIFFERENT.decode(text).ok(),
            (Encoding::Base64url, false) => URL_SAFE_NO_PAD.decode(text).ok(),
            (Encoding::Base64url, true) => URL_SAFE_PAD_INDIFFERENT.decode(text).ok(),
        }
    }

    /// The fields in a header's text.
    pub(super) fn fields_in<'a>(&'a self, text: &'a [u8]) -> Fields<'a> {
        Fields {
            values: vec![text.into()],
            reader: self,
        }
    }

    /// A signature and the `sig:` fields of its header as the sender writes them.
    pub(super) fn write(&self, signature: &[u8], fields: &[(String, String)]) -> String {
        let spelled = match self.encoding {
            Encoding::Hex => hex::encode(signature),
            Encoding::Base64 => STANDARD.encode(signature),
            Encoding::Base64url => URL_SAFE_NO_PAD.encode(signature),
        };
        let signature = format!("{}{spelled}", self.prefix);
        let (separator, assign) = (&self.separator, &self.assign);
        let tag = self.tags.first().map_or("", |tag| tag);
        let mut items: Vec<_> = match self.parse {
            Parse::Raw => Vec::new(),
            Parse::Positional => fields.iter().map(|(_, value)| value.clone()).collect(),
            Parse::Kv | Parse::List => fields
                .iter()
                .map(|(key, value)| format!("{key}{assign}{value}"))
                .collect(),
        };
        items.push(match self.parse {
            Parse::Raw | Parse::Positional => signature,
            Parse::Kv | Parse::List => format!("{tag}{assign}{signature}"),
        });
        items.join(separator)
    }
}

impl<'a> Fields<'a> {
    /// Each group with the fields of its own; all values are one group unless the rule says so.
    pub(super) fn groups(self) -> Vec<Self> {
        let Some(separator) = self.reader.groups.as_deref() else {
            return vec![self];
        };
        let groups = self.values.iter().flat_map(|value| {
            let parts = split(value, separator.as_bytes());
            parts.filter(|part| !part.trim_ascii().is_empty())
        });
        let group = |text: &[u8]| Self {
            values: vec![Bytes::Owned(text.to_vec())],
            reader: self.reader,
        };
        groups.take(SIGNATURES_MAX).map(group).collect()
    }

    /// The first value, as it came.
    pub(super) fn first(&self) -> &[u8] {
        self.values
            .first()
            .map(|value| &**value)
            .unwrap_or_default()
    }

    /// The value of a `sig:` field.
    pub(super) fn field(&self, key: &str) -> Result<Option<Bytes<'a>>, Ambiguous> {
        let mut found: Option<&[u8]> = None;
        for value in self.values.iter().flat_map(|value| self.items(value)) {
            match (value, found) {
                ((name, _), _) if name != key.as_bytes() => {}
                ((_, value), None) => found = Some(value),
                ((_, value), Some(earlier)) if value == earlier => {}
                _ => return Err(Ambiguous),
            }
        }
        Ok(found.map(|value| Bytes::Owned(value.to_vec())))
    }

    /// The signatures that decode.
    pub(super) fn signatures(&self) -> Result<Vec<Signature>, Rejection> {
        let mut signatures = Vec::with_capacity(2);
        for (name, text) in self.values.iter().flat_map(|value| self.items(value)) {
            let wanted = match self.reader.parse {
                Parse::Raw => true,
                Parse::Positional => name != b"0",
                Parse::Kv | Parse::List => {
                    self.reader.tags.iter().any(|tag| tag.as_bytes() == name)
                }
            };
            if !wanted {
                continue;
            }
            if signatures.len() == SIGNATURES_MAX {
                return Err(Reason::Malformed.because("there are too many signatures"));
            }
            signatures.extend(self.reader.decode(text));
        }
        match signatures.is_empty() {
            true => Err(Reason::Malformed.because(
                "the signature is there, but none in it has the expected tag, prefix, encoding \
                 and length",
            )),
            false => Ok(signatures),
        }
    }

    /// Name and text of each item; a positional item's name is `0` for the first only.
    pub(super) fn items<'v>(
        &'v self,
        value: &'v [u8],
    ) -> impl Iterator<Item = (&'v [u8], &'v [u8])> {
        let reader = self.reader;
        let separator = match reader.parse {
            Parse::Raw => &[][..],
            Parse::Kv | Parse::List | Parse::Positional => match reader.separator.trim() {
                "" => reader.separator.as_bytes(),
                bare => bare.as_bytes(),
            },
        };
        split(value, separator)
            .enumerate()
            .filter_map(move |(at, item)| {
                let item = item.trim_ascii();
                match reader.parse {
                    Parse::Raw => Some((&b""[..], item)),
                    Parse::Positional if at == 0 => Some((b"0", item)),
                    Parse::Positional => Some((b"", item)),
                    Parse::Kv | Parse::List => {
                        let (name, text) = split_once(item, reader.assign.as_bytes())?;
                        Some((name.trim_ascii(), text.trim_ascii()))
                    }
                }
            })
    }
}

/// The parts of `text` between separators; all of it if the separator is empty.
fn split<'a>(text: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let halves = split_once(text, separator);
        rest = halves.map(|(_, after)| after);
        Some(halves.map_or(text, |(before, _)| before))
    })
}

fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = text
        .windows(separator.len())
        .position(|part| part == separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}
