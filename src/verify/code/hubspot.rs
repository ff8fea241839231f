//! `HubSpot`, version 3: the URL is signed with some of its escapes decoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use super::{About, Claimed, Procedure, content, header, signatures};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, Encoding};
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::time::{TOLERANCE, digits};
use crate::verify::view::View;

static SIGNATURE: HeaderName = HeaderName::from_static("x-hubspot-signature-v3");
static TIMESTAMP: HeaderName = HeaderName::from_static("x-hubspot-request-timestamp");

static ABOUT: About = About {
    label: "hubspot-v3",
    algorithms: &[Algorithm::HmacSha256],
    covers: "{method}{url}{body}{header:x-hubspot-request-timestamp}",
    covered: "timestamp, method, URL and body",
    tolerance: Some(TOLERANCE),
};

/// The escapes that are decoded before the URL is signed; all others stay.
const DECODED: [(&str, char); 12] = [
    ("21", '!'),
    ("24", '$'),
    ("27", '\''),
    ("28", '('),
    ("29", ')'),
    ("2A", '*'),
    ("2C", ','),
    ("2F", '/'),
    ("3A", ':'),
    ("3B", ';'),
    ("3F", '?'),
    ("40", '@'),
];

pub(super) struct HubspotV3;

impl Procedure for HubspotV3 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let algorithm = Algorithm::HmacSha256;
        let signature = header(view, &SIGNATURE)?;
        let timestamp = header(view, &TIMESTAMP)?;
        let at = digits(&timestamp)
            .ok_or_else(|| Reason::Malformed.because("the timestamp is not in milliseconds"))?;
        let written = view.url();
        let decoded = decode(&written);
        let mut urls = vec![decoded];
        if urls.first() != Some(&written) {
            urls.push(written);
        }
        let signed = |url: String| {
            content([
                view.method.as_str().as_bytes().into(),
                url.into_bytes().into(),
                view.body.into(),
                timestamp.clone(),
            ])
        };
        Ok(Claimed {
            contents: urls.into_iter().map(signed).collect(),
            signatures: signatures([&*signature], Encoding::Base64, algorithm)?,
            algorithm,
            at: Some(UnixMillis(at)),
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
        request.set_header(TIMESTAMP.as_str(), &at.0.to_string());
        request.set_header(SIGNATURE.as_str(), &STANDARD.encode(signature));
        Ok(())
    }
}

/// The URL with those escapes decoded, once.
fn decode(url: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, escaped)) = rest.split_once('%') {
        decoded.push_str(before);
        let digits = escaped.get(..2).unwrap_or_default();
        let known = DECODED
            .iter()
            .find(|(code, _)| code.eq_ignore_ascii_case(digits));
        match known {
            Some((_, plain)) => {
                decoded.push(*plain);
                rest = escaped.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push('%');
                rest = escaped;
            }
        }
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_escapes_are_decoded_and_only_once() {
        for (url, expected) in [
            ("https://a/b?c=d", "https://a/b?c=d"),
            ("%21%24%27%28%29%2A%2C%2F%3A%3B%3F%40", "!$'()*,/:;?@"),
            ("%2a%2c%2f%3a%3b%3f", "*,/:;?"),
            (
                "%20%22%23%25%26%2B%3C%3D%3E%C3%A9",
                "%20%22%23%25%26%2B%3C%3D%3E%C3%A9",
            ),
            ("%252F%%2F%2", "%252F%/%2"),
            ("%\u{e9}%2F", "%\u{e9}/"),
            ("%", "%"),
        ] {
            assert_eq!(decode(url), expected, "{url}");
        }
    }
}
