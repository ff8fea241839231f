//! Questions of operators, and of web pages that pretend to be.

use http::{HeaderMap, HeaderValue};

use super::access::names_this_machine;
use super::events::Part;
use super::filter::Asked;
use crate::event::EventId;
use crate::fuzzing::Input;
use crate::store::Cursor;

/// A query is understood whole or refused; cursors and ids are printed as they were read; and only
/// names of this machine pass for it.
pub fn admin_queries(data: &[u8]) {
    let mut input = Input::new(data);
    let (query, host) = (input.text(), input.text());
    if let Ok(uri) = format!("/api/v1/events?{query}").parse::<http::Uri>()
        && let Ok(Asked(conditions, part)) = Asked::<Part>::read(&uri)
        && let (Ok(filter), Ok((limit, cursor))) = (conditions.filter(), part.read())
    {
        assert!((1..=500).contains(&limit));
        let again = cursor.map(|cursor| cursor.to_string().parse::<Cursor>().ok());
        assert!(again.is_none_or(|again| again == cursor));
        let ours = filter
            .id
            .as_deref()
            .and_then(|id| id.parse::<EventId>().ok());
        let again = ours.map(|id| id.to_string().parse::<EventId>().ok());
        assert!(again.is_none_or(|again| again == ours));
    }
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_bytes(host.as_bytes()) {
        headers.insert("host", host);
    }
    if names_this_machine(&headers) {
        let name = host.trim_end_matches(|c: char| c.is_ascii_digit());
        let name = name.strip_suffix(':').unwrap_or(&host);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let loopback = address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
        assert!(loopback || name.eq_ignore_ascii_case("localhost"), "{host}");
    }
}
