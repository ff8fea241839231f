//! A request's head: what is let through has one reading, and proxies are believed only as far as
//! they are trusted.

use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request};

use super::peer::Proxies;
use super::strict;
use crate::fuzzing::Input;

/// A head that is accepted has one host, one length and a path that every reader takes for the same.
pub fn paths(data: &[u8]) {
    let mut input = Input::new(data);
    let target = input.text();
    let mut request = Request::new(());
    let Ok(uri) = target.parse::<http::Uri>() else {
        return;
    };
    *request.uri_mut() = uri;
    *request.headers_mut() = input.headers();
    let request = strict::without_pretended_headers(request);
    for name in request.headers().keys() {
        assert!(!spells_ours(name.as_str()), "{name}");
    }
    let (mut head, ()) = request.into_parts();
    if strict::check(&head).is_err() {
        return;
    }
    strict::name_host(&mut head);
    let headers = &head.headers;
    assert!(headers.get_all(HOST).iter().count() == 1, "not one host");
    one_reading(head.uri.path());
}

fn spells_ours(name: &str) -> bool {
    name.to_ascii_lowercase()
        .replace('_', "-")
        .starts_with("hookgate-")
}

/// Decoding, or taking out dot segments (RFC 3986 §5.2.4), changes nothing that routing looks at.
fn one_reading(path: &str) {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    assert!(path.starts_with('/'), "{path}");
    for text in [path.as_bytes(), &decoded] {
        let mut segments = text.split(|byte| *byte == b'/');
        let dots = |segment: &[u8]| segment == b"." || segment == b"..";
        assert!(!segments.any(dots), "{path} has dot segments");
        assert!(
            !text.windows(2).any(|two| two == b"//"),
            "{path} has an empty segment"
        );
        assert!(!text.contains(&b'\\') && !text.contains(&0), "{path}");
    }
    let count = |text: &[u8]| text.iter().filter(|byte| **byte == b'/').count();
    assert_eq!(
        count(path.as_bytes()),
        count(&decoded),
        "{path} hides a slash"
    );
    assert!(!path.contains([';', ' ', '\t', '?', '#']), "{path}");
}

/// An address, perhaps with a port, or an IPv6 one in brackets.
fn hop(text: &str) -> Result<IpAddr, AddrParseError> {
    let address = if text.starts_with('[') && text.ends_with(']') {
        let inner = text.trim_start_matches('[').trim_end_matches(']');
        let once = text.len() == inner.len() + 2;
        if once { inner } else { text }.parse().map(IpAddr::V6)
    } else {
        let with_port = |_| text.parse::<SocketAddr>().map(|address| address.ip());
        text.parse().or_else(with_port)
    };
    address.map(|ip| ip.to_canonical())
}

/// Who is taken for the sender was named by hops that are all trusted.
pub fn forwarded_for(data: &[u8]) {
    let mut input = Input::new(data);
    let peer = match input.byte() % 3 {
        0 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
        1 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        _ => IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()).to_canonical(),
    };
    let mut headers = HeaderMap::new();
    let mut hops = Vec::new();
    for line in input.rest().split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value);
            let texts = line
                .split(|byte| *byte == b',')
                .map(String::from_utf8_lossy);
            hops.extend(texts.map(|text| hop(text.trim_matches([' ', '\t']))));
        }
    }
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(str::parse::<ipnet::IpNet>);
    let trusted: Vec<_> = trusted.into_iter().filter_map(Result::ok).collect();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    // From the front: the hops behind the last that is not an address, or that is no proxy.
    let mut expected = Some(peer);
    if is_trusted(peer) {
        let unreadable = hops.iter().rposition(Result::is_err).map_or(0, |at| at + 1);
        let chain: Vec<_> = hops.iter().skip(unreadable).flatten().copied().collect();
        let foreign = chain.iter().rposition(|hop| !is_trusted(*hop));
        let sender = foreign.or((!chain.is_empty()).then_some(0));
        expected = sender.and_then(|at| chain.get(at).copied()).or(expected);
    }
    assert_eq!(
        Proxies::new(trusted.clone()).sender(Some(peer), &headers),
        expected
    );
    assert_eq!(
        Proxies::new(Vec::new()).sender(Some(peer), &headers),
        Some(peer)
    );
    assert_eq!(Proxies::new(trusted).sender(None, &headers), None);
}
