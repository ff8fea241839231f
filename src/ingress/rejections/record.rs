//! What is kept of a refused request: enough to recognise it, nothing that could be misused.

use std::net::IpAddr;

use crate::clock::UnixMillis;
use crate::event::{Received, SourceName, claims_to_be_ours};
use crate::ingress::REQUEST_ID;
use crate::verify::{Diagnosis, Reason, Rejection};

/// Longest path and query, in bytes.
const TARGET_BYTES_MAX: usize = 512;
/// Longest detail, in bytes; ours are shorter.
const DETAIL_BYTES_MAX: usize = 256;
/// Longest method, in bytes.
const METHOD_BYTES_MAX: usize = 16;
/// Most header names, and their bytes together.
const HEADERS_MAX: usize = 64;
const HEADERS_BYTES_MAX: usize = 2048;

/// A refused request, without header values, query values and body.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place in the order of all of them.
    pub(super) number: u64,
    /// When it was received (wall time).
    pub at: UnixMillis,
    /// The source it came in on.
    pub source: SourceName,
    /// Our id of the request, as in the answer.
    pub request_id: Option<Box<str>>,
    /// Who sent it.
    pub peer: Option<IpAddr>,
    /// The request method.
    pub method: Box<str>,
    /// The path without tokens, and the names in the query.
    pub target: Box<str>,
    /// Why it was refused.
    pub reason: Reason,
    /// What exactly.
    pub detail: Box<str>,
    /// Let through all the same: the source's mode is `observe`.
    pub observed: bool,
    /// Names of its headers, the first few dozen.
    pub headers: Vec<Box<str>>,
    /// Size of the body.
    pub body_bytes: usize,
    /// SHA-256 of the body in hex, if it was examined.
    pub body_sha256: Option<Box<str>>,
    /// What the search for the mistake came to.
    pub finding: Finding,
}

/// What the search for a mistake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It has not ended yet.
    Pending,
    /// There was none: too many at once, or the body is too large.
    Skipped,
    /// No known mistake: a forgery, or a secret that nobody here has.
    Unknown,
    /// With this mistake made good the signature would hold.
    Mistake(Diagnosis),
}

impl Record {
    pub(super) fn new(
        number: u64,
        source: &SourceName,
        received: &Received,
        shown_target: &str,
        rejection: &Rejection,
        observed: bool,
    ) -> Self {
        let request_id = received.headers.get(REQUEST_ID);
        Self {
            number,
            at: received.received_at,
            source: source.clone(),
            request_id: request_id.and_then(|id| Some(id.to_str().ok()?.into())),
            peer: received.peer,
            method: cut(received.method.as_str(), METHOD_BYTES_MAX).into(),
            target: without_values(shown_target),
            reason: rejection.reason,
            detail: cut(&rejection.detail, DETAIL_BYTES_MAX).into(),
            observed,
            headers: header_names(received),
            body_bytes: received.body.len(),
            body_sha256: None,
            finding: Finding::Pending,
        }
    }

    /// Bytes it keeps in memory, near enough for a limit.
    pub(super) fn size_bytes(&self) -> usize {
        let clue = match &self.finding {
            Finding::Mistake(diagnosis) => diagnosis.clue.as_ref().map_or(0, |clue| clue.len()),
            Finding::Pending | Finding::Skipped | Finding::Unknown => 0,
        };
        let texts = [&self.request_id, &self.body_sha256];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let headers = self.headers.iter();
        let headers = headers.map(|name| size_of::<Box<str>>() + name.len());
        size_of::<Self>()
            + self.method.len()
            + self.target.len()
            + self.detail.len()
            + texts.chain(headers).sum::<usize>()
            + clue
    }
}

/// The target without the values in its query: a sender may have put a secret there that is none
/// of this source's.
fn without_values(target: &str) -> Box<str> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let names = query.split('&').filter(|pair| !pair.is_empty());
    let names = names.map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=..."),
        // It may be all value.
        None => "...".to_owned(),
    });
    let names: Vec<_> = names.collect();
    let shown = match names.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", names.join("&")),
    };
    cut(&shown, TARGET_BYTES_MAX).into()
}

fn header_names(received: &Received) -> Vec<Box<str>> {
    let names = received.headers.keys().map(http::HeaderName::as_str);
    let mut room = HEADERS_BYTES_MAX;
    names
        .filter(|name| !claims_to_be_ours(name))
        .take(HEADERS_MAX)
        .map_while(|name| {
            room = room.checked_sub(name.len())?;
            Some(name.into())
        })
        .collect()
}

/// At most the first `bytes_max` bytes, whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_not_kept() {
        for (target, shown) in [
            ("/in", "/in"),
            ("/in?", "/in"),
            ("/in?token=s3cret&x=1", "/in?token=...&x=..."),
            ("/in?s3cret", "/in?..."),
            ("/in?a=b=s3cret&&c", "/in?a=...&..."),
        ] {
            assert_eq!(&*without_values(target), shown);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(without_values(&"/x".repeat(5000)).len(), TARGET_BYTES_MAX);
    }
}
