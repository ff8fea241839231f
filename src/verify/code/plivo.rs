//! Plivo, version 3: the URL with its query in order, the form behind it, a nonce at the end.
//!
//! Names and values are decoded and then joined without escapes, so that the text alone does not
//! say where one ends. That is the sender's rule. A body that the signature does not cover at all
//! is refused: any in a `GET`, and in a `POST` any that is not a form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Method};

use super::{About, Claimed, Procedure, content, header, signatures};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, Encoding};
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::view::{Bytes, View, form_decode, pairs};

static SIGNATURE: HeaderName = HeaderName::from_static("x-plivo-signature-v3");
static NONCE: HeaderName = HeaderName::from_static("x-plivo-signature-v3-nonce");

static ABOUT: About = About {
    label: "plivo-v3",
    algorithms: &[Algorithm::HmacSha256],
    covers: "{url}{sorted_form}.{header:x-plivo-signature-v3-nonce}",
    covered: "URL, form and a nonce, without a timestamp",
    tolerance: None,
};

pub(super) struct PlivoV3;

impl Procedure for PlivoV3 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let algorithm = Algorithm::HmacSha256;
        let signature = header(view, &SIGNATURE)?;
        let nonce = header(view, &NONCE)?;
        if nonce.contains(&b'.') {
            let detail = "the nonce contains the text that separates it from the form";
            return Err(Reason::Malformed.because(detail));
        }
        let address = address(view)?;
        let texts = signature.split(|byte| *byte == b',');
        Ok(Claimed {
            contents: vec![content([address.into(), b".".into(), nonce])],
            signatures: signatures(texts, Encoding::Base64, algorithm)?,
            algorithm,
            at: None,
            kid: None,
            objection: None,
        })
    }

    fn write(
        &self,
        request: &mut Unsigned,
        at: UnixMillis,
        signature: &[u8],
    ) -> Result<(), String> {
        if !request.has_header(NONCE.as_str()) {
            request.set_header(NONCE.as_str(), &at.0.to_string());
        }
        request.set_header(SIGNATURE.as_str(), &STANDARD.encode(signature));
        Ok(())
    }
}

/// The URL and the parameters as they are signed.
fn address(view: &View<'_>) -> Result<Vec<u8>, Rejection> {
    let form = match *view.method {
        Method::GET if view.body.is_empty() => Vec::new(),
        Method::POST if view.body.is_empty() || view.is_form() => sorted(view.form()),
        Method::GET | Method::POST => {
            return Err(Reason::Malformed.because("the signature does not cover such a body"));
        }
        _ => return Err(Reason::Malformed.because("only GET and POST are signed")),
    };
    let (path, query) = view.path_and_query();
    let query = pairs(query.as_bytes());
    let query = sorted(query.map(|(name, value)| (form_decode(name), form_decode(value))));
    let mut address = [view.public_url.as_bytes(), path.as_bytes()].concat();
    if !query.is_empty() || !form.is_empty() {
        address.push(b'?');
    }
    address.extend(joined(&query, b"=", b"&"));
    if !query.is_empty() && !form.is_empty() {
        address.push(b'.');
    }
    address.extend(joined(&form, b"", b""));
    Ok(address)
}

type Pair<'a> = (Bytes<'a>, Bytes<'a>);

fn sorted<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Vec<Pair<'a>> {
    let something = |(name, value): &Pair<'a>| !name.is_empty() || !value.is_empty();
    let mut pairs: Vec<_> = pairs.filter(something).collect();
    pairs.sort();
    pairs
}

fn joined(pairs: &[Pair<'_>], assign: &[u8], between: &[u8]) -> Vec<u8> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| [name, assign, value].concat())
        .collect();
    pairs.join(between)
}
