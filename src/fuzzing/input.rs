//! The bytes of one input, taken apart: small things from the front, the large one is the rest.
//!
//! Requests are HTTP/1.1 text, so that seeds can be read and a fuzzer's changes mean something. What
//! is no header is left out instead of refused.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::clock::UnixMillis;
use crate::event::Received;

/// Wall time of all targets: 2025-01-01T00:00:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_735_689_600_000);

/// What is left of an input.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// A number of two bytes.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.split_first().map_or(&[], |(_, rest)| rest);
        line
    }

    /// The next line as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.line()).into_owned()
    }

    /// One of a list: the one with the name in the next line, otherwise any.
    pub(crate) fn choose<'l, T>(
        &mut self,
        list: &'l [T],
        name: impl Fn(&T) -> &str,
    ) -> Option<&'l T> {
        let line = self.line();
        let named = list.iter().find(|one| name(one).as_bytes() == line);
        let any = || {
            let hash = xxhash_rust::xxh3::xxh3_64(line) % u64::try_from(list.len().max(1)).ok()?;
            list.get(usize::try_from(hash).ok()?)
        };
        named.or_else(any)
    }

    /// Headers, one a line, up to an empty line or the end.
    pub(crate) fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        while !self.0.is_empty() {
            let line = self.line();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.unwrap_or(line.len()));
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }

    /// A request: its line, headers, an empty line and the body.
    pub(crate) fn request(mut self) -> Received {
        let line = self.text();
        let mut words = line.split_ascii_whitespace();
        let method = words.next().and_then(|word| word.parse().ok());
        let target = words.next().filter(|target| target.starts_with('/'));
        Received {
            received_at: NOW,
            peer: None,
            method: method.unwrap_or(Method::POST),
            target: target.unwrap_or("/").into(),
            path_token: None,
            headers: self.headers(),
            body: Bytes::copy_from_slice(self.0),
        }
    }

    /// Whether these bytes stand in what is left.
    pub(crate) fn has(&self, wanted: &[u8]) -> bool {
        !wanted.is_empty() && self.0.windows(wanted.len()).any(|part| part == wanted)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
