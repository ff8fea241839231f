//! Who may use the API, and for what.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Admin;
use super::session::{COOKIE_NAME, Pass};
use super::view::ApiError;
use crate::secret::Secret;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Full,
    /// Look.
    Read,
}

impl Access {
    /// The word for the API.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Read => "read",
        }
    }
}

/// The tokens; without one everybody who reaches the listener may do everything.
#[derive(Default)]
pub struct Tokens {
    /// For everything; always set when an address can be reached from outside.
    pub full: Option<Secret>,
    /// For looking only.
    pub read: Option<Secret>,
}

impl Tokens {
    /// Whether a caller needs one.
    pub(super) fn are_required(&self) -> bool {
        self.full.is_some() || self.read.is_some()
    }

    /// What this token is good for. Both are compared whichever fits.
    pub(super) fn access(&self, given: &[u8]) -> Option<Access> {
        let is = |token: &Option<Secret>| token.as_ref().is_some_and(|token| token.is(given));
        let (full, read) = (is(&self.full), is(&self.read));
        match (full, read) {
            (true, _) => Some(Access::Full),
            (false, true) => Some(Access::Read),
            (false, false) => None,
        }
    }
}

/// Who calls: in the request's extensions behind [`guard`].
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) access: Access,
    /// It came with a session's cookie.
    pub(super) session: Option<Pass>,
}

impl Caller {
    fn without_session(access: Access) -> Self {
        Self {
            access,
            session: None,
        }
    }
}

/// Lets a request through that no page of another site can have caused.
pub(super) async fn same_site(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers_mut();
    for (name, value) in headers.iter_mut() {
        if [AUTHORIZATION, COOKIE].contains(name) {
            value.set_sensitive(true);
        }
    }
    if !admin.tokens.are_required() && !names_this_machine(headers) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            "without a token the API answers only to localhost names (DNS rebinding)",
        ));
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

/// Lets a request through whose caller is known and may make it.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = caller(&admin, request.headers()).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send the token of admin.token_file as \"Authorization: Bearer TOKEN\", or log in",
        )
    })?;
    if caller.access == Access::Read && !request.method().is_safe() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "read_only",
            "this token is for looking only; admin.token_file names the one that may change things",
        ));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who calls; a token comes before a session.
fn caller(admin: &Admin, headers: &HeaderMap) -> Option<Caller> {
    if !admin.tokens.are_required() {
        return Some(Caller::without_session(Access::Full));
    }
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(given) = given {
        let token = given.strip_prefix(b"Bearer ").unwrap_or_default();
        return admin.tokens.access(token).map(Caller::without_session);
    }
    let now = admin.clock.steady();
    let pass = session_ids(headers).find_map(|id| admin.kept.sessions.pass(id, now))?;
    Some(Caller {
        access: pass.access,
        session: Some(pass),
    })
}

/// The sessions' ids in the cookies (RFC 6265 section 4.2). There may be several: what listens on
/// another port of this host name can set one too.
pub(super) fn session_ids(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).into_iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
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
