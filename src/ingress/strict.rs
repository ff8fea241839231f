//! Rules for a request's head that hyper leaves to the service: what two parties could read
//! differently is refused, because one of them would be wrong.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Version};

use crate::event::claims_to_be_ours;
use crate::planted::{Bug, planted};

/// Longest path and query.
const TARGET_BYTES_MAX: usize = 4096;

/// Drops what only hookgate may say.
pub(super) fn without_pretended_headers<B>(mut request: Request<B>) -> Request<B> {
    if request
        .headers()
        .keys()
        .any(|name| claims_to_be_ours(name.as_str()))
    {
        let ours = |name: &&HeaderName| claims_to_be_ours(name.as_str());
        let pretended: Vec<_> = request.headers().keys().filter(ours).cloned().collect();
        for name in pretended {
            request.headers_mut().remove(name);
        }
    }
    request
}

/// Whether the head is unambiguous; otherwise the rule it breaks.
pub(super) fn check(head: &Parts) -> Result<(), &'static str> {
    check_host(head)?;
    check_framing(head)?;
    // An address without a path is the target of a tunnel.
    let target = head.uri.path_and_query();
    check_target(target.map_or("", http::uri::PathAndQuery::as_str))
}

/// HTTP/2 names the host in the request line; apps and signatures look for it among the headers.
pub(crate) fn name_host(head: &mut Parts) {
    if !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
}

/// Exactly one host (RFC 9112 §3.2, RFC 9113 §8.3.1), and no second opinion about it.
fn check_host(head: &Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err("more than one Host header");
    }
    match (first, head.uri.authority()) {
        (None, None) if head.version > Version::HTTP_10 => Err("no Host header"),
        (Some(host), Some(authority))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err("Host header and request target disagree")
        }
        _ => Ok(()),
    }
}

/// One clear length (RFC 9112 §6).
fn check_framing(head: &Parts) -> Result<(), &'static str> {
    let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err("Transfer-Encoding other than chunked");
    }
    let canonical = |length: &[u8]| length == b"0" || !length.starts_with(b"0");
    if head
        .headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .all(|length| canonical(length.as_bytes()))
    {
        Ok(())
    } else {
        Err("Content-Length with leading zeros")
    }
}

/// A path that means one thing: what the source is found by is what the app will see.
fn check_target(target: &str) -> Result<(), &'static str> {
    let path = target.split('?').next().unwrap_or_default();
    if target.len() > TARGET_BYTES_MAX {
        return Err("request target too long");
    }
    if !path.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("request target is not a plain absolute path");
    }
    let dot_segment = path.split('/').any(|segment| matches!(segment, "." | ".."));
    let doubtful = path.contains("//") || path.contains(['\\', ';']) || dot_segment;
    let one_case = planted(Bug::EscapedSlashInOneCase);
    let lower = |digit: &u8| {
        if one_case {
            *digit
        } else {
            digit.to_ascii_lowercase()
        }
    };
    let escaped = path.as_bytes().windows(3).any(|window| {
        matches!(window, [b'%', high, low]
            if matches!((high, lower(low)), (b'2', b'e' | b'f') | (b'5', b'c') | (b'0', b'0')))
    });
    if doubtful || escaped {
        Err("request path with more than one reading")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().method("POST").uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn ordinary_requests_pass() {
        for target in [
            "/webhooks/stripe",
            "/a-b_c/~d",
            "/x?y=//%2f;a",
            "/caf%C3%A9",
        ] {
            assert_eq!(check(&head(target, &[("host", "a")])), Ok(()), "{target}");
        }
        assert_eq!(check(&head("http://a/x", &[("host", "A")])), Ok(()));
    }

    #[test]
    fn a_host_that_only_the_target_names_becomes_a_header() {
        let mut head = head("http://a.example:8080/x", &[]);
        name_host(&mut head);
        assert_eq!(head.headers[HOST], "a.example:8080");
    }

    #[test]
    fn ambiguous_hosts_and_lengths_are_refused() {
        for headers in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
            &[
                ("host", "a"),
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("host", "a"), ("content-length", "001")],
        ] {
            assert!(check(&head("/x", headers)).is_err(), "{headers:?}");
        }
        assert!(check(&head("http://a/x", &[("host", "b")])).is_err());
    }

    /// `POST a HTTP/1.1` has the form of a tunnel's address and no path. It was taken for `/`, though
    /// another server on the way refuses it or takes it for a relative path.
    #[test]
    fn an_address_without_a_path_is_refused() {
        for target in ["a", "a.example:80", "*"] {
            assert!(
                check(&head(target, &[("host", target)])).is_err(),
                "{target}"
            );
        }
        assert_eq!(check(&head("http://a", &[("host", "a")])), Ok(()));
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in [
            "/a//b", "/a/../b", "/a/./b", "/a%2fb", "/a%2Eb", "/a%5cb", "/a;b", "/a%00",
        ] {
            assert!(check(&head(path, &[("host", "a")])).is_err(), "{path}");
        }
    }

    #[test]
    fn pretended_headers_are_dropped_in_every_spelling() {
        let request = Request::builder()
            .header("Hookgate-Event-Id", "x")
            .header("hookgate_attempt", "1")
            .header("x-kept", "y")
            .body(())
            .unwrap();
        let request = without_pretended_headers(request);
        assert_eq!(
            request
                .headers()
                .keys()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>(),
            ["x-kept"]
        );
    }
}
