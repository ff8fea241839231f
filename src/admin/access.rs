//! Who may use the API.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use super::Admin;
use super::view::ApiError;

/// Lets a request through with the right token, or, where none is required, if no foreign web page
/// can have caused it.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(token) = request.headers_mut().get_mut(AUTHORIZATION) {
        token.set_sensitive(true);
    }
    let headers = request.headers();
    match &admin.token {
        Some(token) => {
            let given = headers
                .get(AUTHORIZATION)
                .map_or(&b""[..], |value| value.as_bytes());
            let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
            if !token.is(given) {
                return Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "send the token of admin.token_file as \"Authorization: Bearer TOKEN\"",
                ));
            }
        }
        None => {
            if !names_this_machine(headers) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "foreign_host",
                    "without a token the API answers only to localhost names (DNS rebinding)",
                ));
            }
        }
    }
    if is_cross_site(headers) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "another site's page may not use the API",
        ));
    }
    Ok(next.run(request).await)
}

/// Whether `Host` is a name that only this machine answers to.
pub(super) fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a browser says that a page of another site is behind this (Fetch metadata, RFC 6454).
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    if text("sec-fetch-site").is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let (Some(origin), host) = (text(ORIGIN.as_str()), text(HOST.as_str())) else {
        return false;
    };
    let origin = origin
        .strip_prefix(b"http://")
        .or_else(|| origin.strip_prefix(b"https://"));
    origin.is_none() || origin != host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_names_of_this_machine_are_accepted_without_a_token() {
        for host in [
            "localhost",
            "localhost:9090",
            "127.0.0.1:9090",
            "[::1]:9090",
            "127.1.2.3",
        ] {
            assert!(names_this_machine(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:9090",
            "10.0.0.1",
            "",
        ] {
            assert!(!names_this_machine(&headers(&[("host", host)])), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        let host = ("host", "localhost:9090");
        assert!(!is_cross_site(&headers(&[host])));
        assert!(!is_cross_site(&headers(&[
            host,
            ("origin", "http://localhost:9090")
        ])));
        assert!(is_cross_site(&headers(&[
            host,
            ("origin", "http://localhost:3000")
        ])));
        assert!(is_cross_site(&headers(&[host, ("origin", "null")])));
        assert!(is_cross_site(&headers(&[
            host,
            ("sec-fetch-site", "cross-site")
        ])));
    }
}
