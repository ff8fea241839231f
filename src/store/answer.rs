//! The app's own answer on its way to the sender: which may travel, and how much of it.
//!
//! What it deliberately does not do: mend an answer. One that cannot travel as the app gave it does not
//! travel, since half a document under the app's status would be a lie in the app's name.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::event::HeaderList;

/// Longest head that travels: names and values, in bytes. Proxies in front of us take less.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An answer of the app's that a sender may get: its status, its end-to-end headers, its whole body.
///
/// No header in it describes a connection or frames a message, and none begins with `Hookgate-`.
#[derive(Clone, PartialEq, Eq)]
pub struct AppAnswer {
    status: StatusCode,
    headers: HeaderList,
    body: Bytes,
}

/// Why an answer of the app's cannot go to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It would be no last answer (1xx), or none that HTTP knows.
    #[error("its status is not between 200 and 599")]
    Status,
    /// Its head is too long.
    #[error("its headers are longer than 16 KiB")]
    Head,
    /// Its body was not read to the end.
    #[error("its body is longer than 64 KiB, or broke off")]
    Body,
}

impl AppAnswer {
    /// What of the app's answer travels; `whole`: `body` is all of its body.
    ///
    /// # Errors
    /// When it cannot travel as it is.
    pub fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        whole: bool,
    ) -> Result<Self, NoAnswer> {
        if !(200..600).contains(&status.as_u16()) {
            return Err(NoAnswer::Status);
        }
        let headers = HeaderList::end_to_end(headers);
        if headers.as_bytes().len() > HEAD_BYTES_MAX {
            return Err(NoAnswer::Head);
        }
        if !whole {
            return Err(NoAnswer::Body);
        }
        // A copy: the buffer that it was read into is larger, and nobody counts it.
        let body = Bytes::copy_from_slice(body);
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// The app's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The app's end-to-end headers, with room for `more`.
    #[must_use]
    pub fn headers(&self, more: usize) -> HeaderMap {
        self.headers.to_map(more)
    }

    /// The whole body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it occupies, near enough for a budget.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.headers.as_bytes().len() + self.body.len()
    }
}

impl fmt::Debug for AppAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppAnswer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn travels(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Result<AppAnswer, NoAnswer> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let headers: HeaderMap = headers.collect();
        let status = StatusCode::from_u16(status).unwrap();
        AppAnswer::new(status, &headers, &Bytes::from_static(body.as_bytes()), true)
    }

    #[test]
    fn status_body_and_end_to_end_headers_travel_and_nothing_that_frames_or_pretends() {
        let answer = travels(
            201,
            &[
                ("content-type", "text/xml"),
                ("set-cookie", "a=b"),
                ("content-length", "999"),
                ("transfer-encoding", "chunked"),
                ("transfer_encoding", "chunked"),
                ("connection", "close, x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("trailer", "x"),
                ("upgrade", "h2c"),
                ("proxy-authenticate", "Basic"),
                ("hookgate-event-id", "evt_x"),
                ("hookgate_status", "stored"),
            ],
            "<Response/>",
        );

        let answer = answer.unwrap();

        let headers = answer.headers(0);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "set-cookie"]);
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (201, &b"<Response/>"[..])
        );
        assert!(!format!("{answer:?}").contains("a=b"));
    }

    #[test]
    fn only_last_answers_that_http_knows_travel() {
        for (status, fits) in [
            (100, false),
            (101, false),
            (199, false),
            (200, true),
            (404, true),
            (599, true),
            (600, false),
            (999, false),
        ] {
            let answer = travels(status, &[], "");
            assert_eq!(answer.is_ok(), fits, "{status}");
            assert!(fits || answer == Err(NoAnswer::Status), "{status}");
        }
    }

    #[test]
    fn what_is_too_long_or_not_whole_does_not_travel() {
        let long: HeaderMap = (0..9)
            .map(|n| {
                let name = HeaderName::try_from(format!("x-{n}")).unwrap();
                (name, HeaderValue::try_from("v".repeat(2_000)).unwrap())
            })
            .collect();
        let body = Bytes::from_static(b"half");
        let new =
            |headers: &HeaderMap, whole| AppAnswer::new(StatusCode::OK, headers, &body, whole);

        assert_eq!(new(&long, true), Err(NoAnswer::Head));
        assert_eq!(new(&HeaderMap::new(), false), Err(NoAnswer::Body));
        assert!(new(&HeaderMap::new(), true).is_ok());
    }
}
