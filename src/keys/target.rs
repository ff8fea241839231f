//! Addresses that may be called: https, on the default port, on a host that is allowed.

use http::Uri;
use http::uri::Scheme;
use rustls_pki_types::ServerName;

/// The longest address of a key or a confirmation.
const URL_BYTES_MAX: usize = 2048;

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Not an https URL in a form that is read one way only.
    #[error("must be an https URL without user, port and fragment")]
    Form,
    /// The host is not among those that the scheme names.
    #[error("the host is not one of those allowed")]
    Host,
}

/// A URL that was checked: the only thing that is ever called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Box<str>,
    host: Box<str>,
    path_and_query: Box<str>,
    allowed_by: Box<str>,
}

impl Target {
    /// A URL that the configuration names, and so allows.
    ///
    /// # Errors
    /// It is not in the expected form.
    pub fn configured(url: &str) -> Result<Self, NotAllowed> {
        let (host, path_and_query) = parts(url)?;
        Ok(Self::new(host.clone(), path_and_query, host))
    }

    /// A URL that a request names. Of the hosts that are allowed, `*.example.com` is all below
    /// `example.com`; a `*` further behind is one label: `sns.*.amazonaws.com`.
    ///
    /// # Errors
    /// It is not in the expected form, or its host is not allowed.
    pub fn requested<S: AsRef<str>>(url: &str, hosts: &[S]) -> Result<Self, NotAllowed> {
        let (host, path_and_query) = parts(url)?;
        let allowed_by = hosts
            .iter()
            .map(AsRef::as_ref)
            .find(|pattern| fits(&host, pattern))
            .ok_or(NotAllowed::Host)?;
        Ok(Self::new(host, path_and_query, allowed_by.into()))
    }

    fn new(host: Box<str>, path_and_query: Box<str>, allowed_by: Box<str>) -> Self {
        Self {
            url: format!("https://{host}{path_and_query}").into(),
            host,
            path_and_query,
            allowed_by,
        }
    }

    /// The URL in the one form that it is remembered by.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// The host or pattern that allowed it: there are only so many, whatever requests name.
    pub(super) fn allowed_by(&self) -> &str {
        &self.allowed_by
    }
}

/// Host, and path with query.
fn parts(url: &str) -> Result<(Box<str>, Box<str>), NotAllowed> {
    if url.len() > URL_BYTES_MAX || url.contains('#') {
        return Err(NotAllowed::Form);
    }
    let uri: Uri = url.parse().map_err(|_| NotAllowed::Form)?;
    let authority = uri.authority().ok_or(NotAllowed::Form)?;
    let host = authority.host();
    let bare = authority.as_str() == host;
    let named = ServerName::try_from(host).is_ok();
    if uri.scheme() != Some(&Scheme::HTTPS) || !bare || !named {
        return Err(NotAllowed::Form);
    }
    let path_and_query = uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    Ok((host.to_ascii_lowercase().into(), path_and_query.into()))
}

/// Whether a host is what the pattern says.
fn fits(host: &str, pattern: &str) -> bool {
    let labels = |name: &str| name.split('.').count();
    let ends_like = |pattern: &str| {
        host.rsplit('.')
            .zip(pattern.rsplit('.'))
            .all(|(label, wanted)| wanted == "*" || label.eq_ignore_ascii_case(wanted))
    };
    match pattern.strip_prefix("*.") {
        Some(rest) => labels(host) > labels(rest) && ends_like(rest),
        None => labels(host) == labels(pattern) && ends_like(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_https_on_the_default_port_and_nothing_else() {
        for (url, expected) in [
            (
                "https://keys.example.com/a?b=c",
                Some("https://keys.example.com/a?b=c"),
            ),
            (
                "HTTPS://Keys.Example.com",
                Some("https://keys.example.com/"),
            ),
            ("https://8.8.8.8/", Some("https://8.8.8.8/")), // the address decides
            ("http://keys.example.com/", None),
            ("ftp://keys.example.com/", None),
            ("//keys.example.com/", None),
            ("/a", None),
            ("keys.example.com", None),
            ("", None),
            ("https://", None),
            ("https:///a", None),
            ("https://keys.example.com:443/", None),
            ("https://keys.example.com:8443/", None),
            ("https://keys.example.com:/", None),
            ("https://user@keys.example.com/", None),
            ("https://user:word@keys.example.com/", None),
            ("https://keys.example.com@evil.example/", None),
            ("https://keys.example.com/#a", None),
            ("https://keys.example.com/ a", None),
            ("https://keys.example.com\\@evil.example/", None),
            ("https://keys_.example.com%2eevil/", None),
            ("https://[::1]/", None),
            (" https://keys.example.com/", None),
        ] {
            let target = Target::configured(url);
            let shown = target.as_ref().map(Target::url).ok();
            assert_eq!(shown, expected, "{url}");
        }
        let long = format!("https://keys.example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(Target::configured(&long), Err(NotAllowed::Form));
    }

    #[test]
    fn a_request_can_name_only_hosts_that_are_allowed() {
        let hosts = ["api.example.com", "*.paypal.com", "sns.*.amazonaws.com"];
        for (host, expected) in [
            ("api.example.com", Some("api.example.com")),
            ("API.example.com", Some("api.example.com")),
            ("api.paypal.com", Some("*.paypal.com")),
            ("api.sandbox.paypal.com", Some("*.paypal.com")),
            ("sns.us-east-1.amazonaws.com", Some("sns.*.amazonaws.com")),
            ("www.api.example.com", None),
            ("example.com", None),
            ("api.example.com.evil.example", None),
            ("paypal.com", None),
            ("evilpaypal.com", None),
            ("api.paypal.com.evil.example", None),
            ("sns.amazonaws.com", None),
            ("sns.a.b.amazonaws.com", None),
            ("bucket.s3.amazonaws.com", None),
            ("sns.s3.evil.com", None),
        ] {
            let target = Target::requested(&format!("https://{host}/"), &hosts);
            let by = target.as_ref().map(Target::allowed_by).ok();
            assert_eq!(by, expected, "{host}");
        }
        for odd in [
            "https://.paypal.com/",
            "https://a..paypal.com/",
            "https://api.paypal.com./",
        ] {
            assert!(Target::requested(odd, &hosts).is_err(), "{odd}");
        }
        let none: [&str; 0] = [];
        assert!(Target::requested("https://api.example.com/", &none).is_err());
    }
}
