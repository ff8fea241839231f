//! Keygen: request line, host, date and the body's digest, signed with Ed25519 (the HTTP signatures
//! draft of Cavage).
//!
//! The list of signed headers is always the same one, and any other is refused.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::{DATE, HOST};
use sha2::{Digest as _, Sha256};

use super::{About, Claimed, Procedure, content, header, optional_header, signatures};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, Encoding};
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::time::TOLERANCE;
use crate::verify::view::View;

static SIGNATURE: HeaderName = HeaderName::from_static("keygen-signature");
static DIGEST: HeaderName = HeaderName::from_static("digest");

const SIGNED_HEADERS: &str = "(request-target) host date digest";

static ABOUT: About = About {
    label: "keygen",
    algorithms: &[Algorithm::Ed25519],
    covers: "{method} {path_query}\n{header:host}\n{header:date}\n{body_sha256_hex}",
    covered: "timestamp, method, URL and body",
    tolerance: Some(TOLERANCE),
};

pub(super) struct Keygen;

impl Procedure for Keygen {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let value = header(view, &SIGNATURE)?;
        let parameter = |name| {
            let odd = || Reason::Malformed.because(format!("{SIGNATURE} lacks {name}"));
            parameter(&value, name).ok_or_else(odd)
        };
        if parameter("algorithm")? != b"ed25519"
            || parameter("headers")? != SIGNED_HEADERS.as_bytes()
        {
            let detail = "the signature is of another algorithm, or over other headers";
            return Err(Reason::Malformed.because(detail));
        }
        let digest = digest(view.body);
        if *header(view, &DIGEST)? != *digest.as_bytes() {
            return Err(Reason::Mismatch.because("the digest is not that of the body"));
        }
        let date = header(view, &DATE)?;
        let at = std::str::from_utf8(&date).ok().and_then(instant);
        let at = at.ok_or_else(|| Reason::Malformed.because("the date is not one of HTTP"))?;
        let contents = places(view)?.into_iter().map(|(host, target)| {
            content([
                b"(request-target): ".into(),
                view.method
                    .as_str()
                    .to_ascii_lowercase()
                    .into_bytes()
                    .into(),
                b" ".into(),
                target.into_bytes().into(),
                b"\nhost: ".into(),
                host.into(),
                b"\ndate: ".into(),
                date.clone(),
                b"\ndigest: ".into(),
                digest.clone().into_bytes().into(),
            ])
        });
        Ok(Claimed {
            contents: contents.collect(),
            signatures: signatures(
                [parameter("signature")?],
                Encoding::Base64,
                Algorithm::Ed25519,
            )?,
            algorithm: Algorithm::Ed25519,
            at: Some(at),
            // It names the account, which has one key.
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
        let after = u64::try_from(at.seconds()).map_err(|_| "the date is before 1970")?;
        let at = UNIX_EPOCH + std::time::Duration::from_secs(after);
        request.set_header(DATE.as_str(), &httpdate::fmt_http_date(at));
        request.set_header(DIGEST.as_str(), &digest(&request.body));
        let signature = STANDARD.encode(signature);
        let value = format!(
            "keyid=\"\", algorithm=\"ed25519\", signature=\"{signature}\", headers=\"{SIGNED_HEADERS}\""
        );
        request.set_header(SIGNATURE.as_str(), &value);
        Ok(())
    }
}

/// Host and target as they came, and as the public URL says.
fn places(view: &View<'_>) -> Result<Vec<(Vec<u8>, String)>, Rejection> {
    let mut places = Vec::new();
    if let Some(host) = optional_header(view, &HOST)? {
        places.push((host.into_owned(), view.target.to_owned()));
    }
    if let Some((_, rest)) = view.public_url.split_once("://") {
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let public = (host.as_bytes().to_vec(), [path, view.target].concat());
        if !places.contains(&public) {
            places.push(public);
        }
    }
    match places.is_empty() {
        true => Err(Reason::NoHeader.because("the host is missing")),
        false => Ok(places),
    }
}

fn digest(body: &[u8]) -> String {
    format!("sha-256={}", STANDARD.encode(Sha256::digest(body)))
}

/// A parameter of the signature's header, without its quotes; `None` if there is not exactly one.
fn parameter<'h>(header: &'h [u8], wanted: &str) -> Option<&'h [u8]> {
    let parameters = header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut found = parameters.filter_map(|parameter| {
        let value = parameter
            .strip_prefix(wanted.as_bytes())?
            .strip_prefix(b"=")?;
        Some(
            value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    });
    found.next().filter(|_| found.next().is_none())
}

fn instant(date: &str) -> Option<UnixMillis> {
    let at: SystemTime = httpdate::parse_http_date(date).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixMillis(i64::try_from(since.as_millis()).ok()?))
}
