//! Plain data that the stages hand on: the request as it came, and the event it becomes.
//!
//! Nothing here does I/O or knows a stage.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use uuid::Uuid;

use crate::clock::UnixMillis;
use crate::entropy::Entropy;
use crate::planted::{Bug, planted};

/// Name of a configured source, as in `[sources.NAME]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SourceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Our own id of an event: time-ordered (UUID version 7, RFC 9562), printed as `evt_` and 32 hex
/// digits. The sender's id is the *provider event id*.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id that sorts by `at`; the rest is random.
    #[must_use]
    pub fn new(at: UnixMillis) -> Self {
        Self::drawn(at, &Entropy::system())
    }

    /// A new id with its random part from there.
    #[must_use]
    pub fn drawn(at: UnixMillis, entropy: &Entropy) -> Self {
        Self(entropy.id(at))
    }

    /// What sorts before every id of `at` or later; nobody's id.
    #[must_use]
    pub fn first_of(at: UnixMillis) -> Self {
        let millis = u128::try_from(at.0).unwrap_or(0).min((1 << 48) - 1);
        Self(Uuid::from_u128(millis << 80))
    }

    /// The 16 bytes, as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the stored bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0.simple())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not one of our event ids.
#[derive(Debug, thiserror::Error)]
#[error("an event id is \"evt_\" followed by 32 hex digits")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let hex = text
            .strip_prefix("evt_")
            .filter(|hex| hex.len() == 32)
            .ok_or(NotAnEventId)?;
        Uuid::try_parse(hex).map(Self).map_err(|_| NotAnEventId)
    }
}

/// The request as it came: raw body, headers before any filtering.
#[derive(Clone)]
pub struct Received {
    /// When the last byte of the body had been read (wall time).
    pub received_at: UnixMillis,
    /// Who sent it: the socket's peer, or the hop that a trusted proxy named. `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// The request method.
    pub method: Method,
    /// Path and query exactly as on the request line, such as `/webhooks/stripe?x=1`.
    pub target: Box<str>,
    /// The secret segment of a source whose path ends in `{token}`.
    pub path_token: Option<Box<str>>,
    /// All request headers, [`concealed`].
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Received {
    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

/// The headers of a request with no value in their `Debug` output: any may be a credential, and
/// a list of those that are would have a gap some day.
#[must_use]
pub fn concealed(mut headers: HeaderMap) -> HeaderMap {
    for value in headers.values_mut() {
        value.set_sensitive(true);
    }
    headers
}

/// Header names that describe one connection or its framing; the forwarder writes its own. So do
/// `proxy` (which becomes the variable `HTTP_PROXY` where headers become variables) and `proxy-*`.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// With underscores too, which frameworks fold into the same variable.
fn is_hop_by_hop(name: &str) -> bool {
    let hyphened = name.contains('_').then(|| name.replace('_', "-"));
    let name = hyphened.as_deref().unwrap_or(name);
    HOP_BY_HOP.contains(&name) || name == "proxy" || name.starts_with("proxy-")
}

/// `Hookgate-Anything` in every spelling that some framework folds into the same variable.
pub(crate) fn claims_to_be_ours(name: &str) -> bool {
    let ours = b"hookgate";
    let (Some(start), Some(next)) = (
        name.as_bytes().get(..ours.len()),
        name.as_bytes().get(ours.len()),
    ) else {
        return false;
    };
    let hyphen = *next == b'-' || (*next == b'_' && !planted(Bug::PretendedHeadersUnderscore));
    start.eq_ignore_ascii_case(ours) && hyphen
}

/// Headers in order, repeats kept, as the bytes of an HTTP/1.1 head: `name: value\r\n` per line.
///
/// The text form is what is stored, so that `sqlite3` shows it to a person.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HeaderList(Bytes);

impl HeaderList {
    /// The headers that may travel on to the app (RFC 9110 §7.6.1): everything but what describes
    /// this one connection, what `Connection` names, and anything that pretends to be ours.
    #[must_use]
    pub fn end_to_end(headers: &HeaderMap) -> Self {
        let mut named_by_connection = Vec::new();
        for value in headers.get_all(http::header::CONNECTION) {
            let names = value
                .as_bytes()
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii);
            named_by_connection.extend(names.map(<[u8]>::to_ascii_lowercase));
        }
        let travels = |name: &HeaderName| {
            let name = name.as_str();
            !is_hop_by_hop(name)
                && !claims_to_be_ours(name)
                && !named_by_connection
                    .iter()
                    .any(|named| named == name.as_bytes())
        };
        headers.iter().filter(|(name, _)| travels(name)).collect()
    }

    /// From the text form, as stored.
    #[must_use]
    pub fn from_bytes(text: Bytes) -> Self {
        Self(text)
    }

    /// The text form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Name and value of each header; a damaged line is left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            Some((std::str::from_utf8(name).ok()?, value.strip_prefix(b": ")?))
        })
    }

    /// As a map, for an HTTP request, with room for `more` headers. The values share this list's
    /// memory.
    #[must_use]
    pub fn to_map(&self, more: usize) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(16 + more);
        for (name, value) in self.iter() {
            let value = HeaderValue::from_maybe_shared(self.0.slice_ref(value));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                map.append(name, value);
            }
        }
        map
    }
}

impl<'a> FromIterator<(&'a HeaderName, &'a HeaderValue)> for HeaderList {
    fn from_iter<T: IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>>(headers: T) -> Self {
        let mut text = BytesMut::with_capacity(512);
        for (name, value) in headers {
            text.put_slice(name.as_str().as_bytes());
            text.put_slice(b": ");
            text.put_slice(value.as_bytes());
            text.put_slice(b"\r\n");
        }
        // An exact copy: the growing buffer may be twice as large, and events wait in memory.
        Self(Bytes::copy_from_slice(&text))
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// One verified webhook, as it is stored and handed to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Our id, the same in every attempt.
    pub id: EventId,
    /// The source it came in on.
    pub source: SourceName,
    /// When it was received (wall time).
    pub received_at: UnixMillis,
    /// The sender's id, if the provider has one; bounded to 256 bytes.
    pub provider_event_id: Option<Box<str>>,
    /// The sender's event type, if it has one; bounded to 256 bytes.
    pub event_type: Option<Box<str>>,
    /// The scheme that verified it, or `observe` or `unsigned`.
    pub verified: Box<str>,
    /// The request method.
    pub method: Method,
    /// Path and query for the app, without tokens.
    pub target: Box<str>,
    /// End-to-end headers.
    pub headers: HeaderList,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Event {
    /// Bytes this event keeps in memory, near enough for a budget.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let text = self.provider_event_id.as_ref().map_or(0, |text| text.len())
            + self.event_type.as_ref().map_or(0, |text| text.len());
        size_of::<Self>()
            + text
            + self.target.len()
            + self.headers.as_bytes().len()
            + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_survive_printing_and_sort_by_time() {
        let (early, late) = (
            EventId::new(UnixMillis(1_000)),
            EventId::new(UnixMillis(2_000)),
        );
        assert!(early < late);
        assert_eq!(early.to_string().parse::<EventId>().unwrap(), early);
        assert!("evt_xyz".parse::<EventId>().is_err());
    }

    #[test]
    fn connection_headers_and_pretended_ones_do_not_travel() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content_length", "0"),
            ("proxy", "http://evil.example"),
            ("proxy-status", "1"),
            ("proxy_connection", "close"),
            ("hookgate-event-id", "forged"),
            ("hookgate_attempt", "9"),
            ("hookgates", "a header of the sender's own"),
            ("x-signature", "abc"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let list = HeaderList::end_to_end(&headers);
        let names: Vec<_> = list.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["hookgates", "x-signature"]);
    }

    #[test]
    fn values_of_headers_are_not_in_debug_output_and_are_the_same_otherwise() {
        let mut headers = HeaderMap::new();
        headers.append("x-signature", HeaderValue::from_static("canary"));
        headers.append("x-signature", HeaderValue::from_static("canary 2"));
        let hidden = concealed(headers.clone());
        assert_eq!(hidden, headers);
        assert!(!format!("{hidden:?}").contains("canary"), "{hidden:?}");
    }

    #[test]
    fn header_lists_keep_order_repeats_and_raw_bytes() {
        let mut headers = HeaderMap::new();
        headers.append("b", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_bytes(b"caf\xc3\xa9: x").unwrap());
        headers.append("b", HeaderValue::from_static(""));
        let list: HeaderList = headers.iter().collect();
        let pairs: Vec<_> = list.iter().collect();
        assert_eq!(
            pairs,
            [("b", &b"1"[..]), ("b", b""), ("a", b"caf\xc3\xa9: x")]
        );
        assert_eq!(list.to_map(0), headers);
    }
}
