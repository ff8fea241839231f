//! What the app gets, and what it can ask for.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::RetryPolicy;
use super::client::Answer;
use super::outcome::retry_after as asked;
use crate::clock::UnixMillis;
use crate::event::HeaderList;
use crate::fuzzing::{Input, NOW};

/// RFC 9110 §7.6.1, and what frames a message.
const OF_ONE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
];

/// Exactly what belongs to one connection, and what pretends to be ours, does not travel; the rest
/// travels byte for byte and in order, also through the form in which it is stored.
pub fn headers(data: &[u8]) {
    let received = Input::new(data).request();
    let list = HeaderList::end_to_end(&received.headers);
    let connection = received.headers.get_all(CONNECTION).iter();
    let named: Vec<_> = connection
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let stays = |name: &str| {
        let folded = name.replace('_', "-");
        OF_ONE_CONNECTION.contains(&&*folded)
            || ["expect", "http2-settings", "proxy"].contains(&&*folded)
            || folded.starts_with("proxy-")
            || folded.starts_with("hookgate-")
            || named.iter().any(|named| named == name.as_bytes())
    };
    let travelling = received.headers.iter();
    let travelling = travelling.filter(|(name, _)| !stays(name.as_str()));
    let expected: Vec<_> = travelling
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(list.iter().collect::<Vec<_>>(), expected);
    let stored = HeaderList::from_bytes(Bytes::copy_from_slice(list.as_bytes()));
    assert_eq!(stored, list);
    let map = stored.to_map(0);
    let again = map
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    assert_eq!(again.collect::<Vec<_>>(), expected);
    // What was damaged on the disk is left out, and never becomes a header that could not be sent.
    let damaged = HeaderList::from_bytes(Bytes::copy_from_slice(data));
    assert!(damaged.to_map(0).len() <= damaged.iter().count());
}

/// However an app asks to be tried later, it is tried within the longest wait.
pub fn retry_after(data: &[u8]) {
    let mut input = Input::new(data);
    let (failures, random) = (input.number(), input.number());
    let Ok(value) = HeaderValue::from_bytes(input.rest()) else {
        return;
    };
    let text = value.to_str().map(str::to_owned);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", value);
    let answer = Answer {
        status: StatusCode::SERVICE_UNAVAILABLE,
        headers,
        body: Bytes::new(),
        whole: true,
    };
    let asked = asked(&answer, NOW);
    if let Ok(Ok(seconds)) = text.as_deref().map(|text| text.trim().parse::<u64>()) {
        assert_eq!(asked, Some(Duration::from_secs(seconds)));
    }
    let policy = RetryPolicy {
        first: Duration::from_secs(1),
        max: Duration::from_secs(3600),
        give_up_after: Duration::from_secs(72 * 3600),
    };
    let failures = u32::try_from(failures).unwrap_or(u32::MAX);
    let random = f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u16::MAX);
    let wait = policy.delay(failures, random, asked);
    assert!(wait <= policy.max, "{wait:?}");
    assert!(asked.is_none_or(|asked| wait >= asked.min(policy.max)));
    assert!(UnixMillis(i64::MAX).plus(wait) == UnixMillis(i64::MAX));
}
