//! Rules for a request's head that hyper leaves to the service: what two parties could read
//! differently is refused, because one of them would be wrong.

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Version};

use super::ack::Refusal;
use crate::event::claims_to_be_ours;
use crate::planted::{Bug, planted};

/// Longest path and query.
const TARGET_BYTES_MAX: usize = 4096;
/// Longest path.
const PATH_BYTES_MAX: usize = 1024;

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

/// Whether the head is unambiguous; otherwise what is wrong with it.
pub(super) fn check(head: &Parts) -> Result<(), Refusal> {
    check_host(head).map_err(Refusal::Malformed)?;
    check_length(head).map_err(Refusal::Malformed)?;
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    // These name no path, which is nothing against them.
    if head.method == Method::CONNECT || (head.method == Method::OPTIONS && target == "*") {
        return Err(Refusal::Method);
    }
    let path = target.split('?').next().unwrap_or_default();
    if target.len() > TARGET_BYTES_MAX || path.len() > PATH_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    check_target(target, path).map_err(Refusal::Malformed)
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
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err("request target of another scheme than http and https");
    }
    match (first, head.uri.authority()) {
        (None, None) if head.version > Version::HTTP_10 => Err("no Host header"),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err("no Host header"),
        (Some(host), _) if !is_host(host.as_bytes()) => Err("Host header that names no host"),
        (None, Some(authority)) if !is_host(authority.as_str().as_bytes()) => {
            Err("request target that names no host")
        }
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

/// A name or an address, perhaps with a port, and no login (RFC 3986 §3.2).
fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.ends_with(b"]") => text.split_at(colon),
        Some(_) | None => (text, &b""[..]),
    };
    let address = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"));
    let is_named = match address {
        Some(address) => address
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b":.".contains(byte)),
        None => host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte)),
    };
    let digits = port.get(1..).unwrap_or_default();
    !host.is_empty() && is_named && digits.iter().all(u8::is_ascii_digit)
}

/// One clear length (RFC 9110 §8.6). Over HTTP/1, `server` has seen to it already.
fn check_length(head: &Parts) -> Result<(), &'static str> {
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
fn check_target(target: &str, path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("request target is not a plain absolute path");
    }
    let dot_segment = path.split('/').any(|segment| matches!(segment, "." | ".."));
    let doubtful = path.contains("//") || path.contains(['\\', ';']) || dot_segment;
    let in_capitals = |hex: &str| hex.bytes().any(|digit| digit.is_ascii_uppercase());
    let escapes_well = path.split('%').skip(1).all(|rest| {
        let Some(hex) = rest.get(..2).filter(|hex| !hex.starts_with('+')) else {
            return false;
        };
        let overlooked = planted(Bug::EscapedSlashInOneCase) && in_capitals(hex);
        u8::from_str_radix(hex, 16).is_ok_and(|byte| overlooked || !b"./\\\0".contains(&byte))
    });
    if doubtful || !escapes_well {
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
            "/100%25",
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
    fn hosts_with_ports_and_addresses_pass() {
        for host in ["a.example:8080", "127.0.0.1", "[::1]", "[::1]:80", "a_b-c"] {
            assert_eq!(check(&head("/x", &[("host", host)])), Ok(()), "{host}");
        }
    }

    #[test]
    fn ambiguous_hosts_and_lengths_are_refused() {
        for headers in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "")],
            &[("host", "a b")],
            &[("host", "me@a")],
            &[("host", "a:b")],
            &[("host", "[::1")],
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
            "/a//b", "/a/../b", "/a/./b", "/a%2fb", "/a%2Eb", "/a%5cb", "/a;b", "/a%00", "/a%",
            "/a%2", "/a%zz", "/a%+2",
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
