//! What a sender is told. No other file chooses a status for a sender.
//!
//! An event is only acknowledged with a [`Receipt`], which only the store makes, after the commit.
//! A handshake, in which there is no event, is answered with a [`Reply`], which only `verify` makes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower_http::request_id::{MakeRequestId, RequestId};

use super::app::PassedOn;
use crate::store::{Receipt, ReceiptKind};
use crate::verify::{AckBody, Reason, Reply};

/// When a sender should come back after our own trouble.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// Headers of ours in an answer about an event.
const OUR_HEADERS: usize = 3;

/// Why a request gets no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request breaks a rule of HTTP, named for whoever debugs the sender.
    Malformed(&'static str),
    /// The request target is longer than any that means something here.
    TargetTooLong,
    /// No source has this path.
    NotFound,
    /// Events are sent with POST, and this is no handshake either.
    Method,
    /// The body did not arrive in time.
    Slow,
    /// The body is larger than the source takes.
    TooLarge,
    /// Verification failed; the reason is the operator's business, not the sender's.
    Unverified,
    /// Over a rate; the time after which to come back.
    Limited(Duration),
    /// The same for a peer that has failed too often.
    Failing(Duration),
    /// Our own trouble.
    Unavailable(Trouble),
    /// The event is stored, and its source waits for the app, which has not spoken yet.
    Unhandled(Receipt),
    /// The event is stored and the app has spoken, but its answer cannot travel.
    Unspeakable(Receipt),
}

/// What of ours keeps a request from being taken: a closed list, since it is a metric's label, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The store is being opened.
    Starting,
    /// The gate takes nothing more: it drains, or ends.
    Closing,
    /// The store has no room.
    StoreFull,
    /// The store cannot promise anything.
    Store,
    /// The store did not answer in time.
    StoreSlow,
    /// There is no memory for the request.
    NoRoom,
    /// The source waits for its secret.
    NoSecret,
    /// A sender's key could not be fetched.
    NoKey,
    /// A secret that was handed over could not be kept.
    NotKept,
    /// A subscription could not be confirmed.
    NotConfirmed,
    /// A bug.
    Panicked,
}

impl Trouble {
    pub(super) const ALL: [Self; 11] = [
        Self::Starting,
        Self::Closing,
        Self::StoreFull,
        Self::Store,
        Self::StoreSlow,
        Self::NoRoom,
        Self::NoSecret,
        Self::NoKey,
        Self::NotKept,
        Self::NotConfirmed,
        Self::Panicked,
    ];

    /// The word for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Closing => "closing",
            Self::StoreFull => "store_full",
            Self::Store => "store",
            Self::StoreSlow => "store_slow",
            Self::NoRoom => "no_room",
            Self::NoSecret => "no_secret",
            Self::NoKey => "no_key",
            Self::NotKept => "not_kept",
            Self::NotConfirmed => "not_confirmed",
            Self::Panicked => "panicked",
        }
    }

    /// For senders, in words that give nothing away.
    fn said(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Closing => "shutting down",
            Self::StoreFull | Self::Store => "the store cannot promise to keep the event",
            Self::StoreSlow => "the store is slow",
            Self::NoRoom => "too many bodies at once",
            Self::NoSecret => "the endpoint is not set up yet",
            Self::NoKey => "a key could not be fetched",
            Self::NotKept => "the secret could not be kept",
            Self::NotConfirmed => "the subscription could not be confirmed",
            Self::Panicked => "the request could not be dealt with",
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        match reason {
            // Not the sender's fault: it may be genuine, and should come again.
            Reason::NoSecret => Self::Unavailable(Trouble::NoSecret),
            Reason::KeyUnavailable => Self::Unavailable(Trouble::NoKey),
            Reason::NoHeader
            | Reason::Malformed
            | Reason::Stale
            | Reason::Future
            | Reason::Mismatch
            | Reason::Check
            | Reason::UnknownKey
            | Reason::Expired
            | Reason::Address => Self::Unverified,
        }
    }
}

/// The success that the provider asks for; the receipt proves that it is deserved.
pub(super) fn stored(
    receipt: &Receipt,
    status: StatusCode,
    body: AckBody,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    name_event(headers, receipt);
    if !body.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// The app's own answer, whatever it says; the receipt proves that it is about an event that is stored. Its
/// headers are end-to-end ones, and hyper frames its body.
pub(super) fn passed_on(receipt: &Receipt, passed: PassedOn) -> Response<Full<Bytes>> {
    let mut response = Response::new(());
    *response.status_mut() = passed.answer.status();
    *response.headers_mut() = passed.answer.headers(OUR_HEADERS);
    name_event(response.headers_mut(), receipt);
    response.map(|()| Full::new(passed.into_body()))
}

fn name_event(headers: &mut HeaderMap, receipt: &Receipt) {
    if let Ok(id) = HeaderValue::try_from(receipt.event_id().to_string()) {
        headers.insert("hookgate-event-id", id);
    }
    let kind = match receipt.kind() {
        ReceiptKind::Stored | ReceiptKind::Conflict => "stored",
        ReceiptKind::Duplicate => "duplicate",
    };
    headers.insert("hookgate-status", HeaderValue::from_static(kind));
}

/// The answer to a handshake; what it repeats must not be taken for anything but text.
pub(super) fn challenged(reply: Reply) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::OK);
    let (headers, body) = reply.into_parts();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let (status, text) = match refusal {
        Refusal::Malformed(rule) => (StatusCode::BAD_REQUEST, *rule),
        Refusal::TargetTooLong => (StatusCode::URI_TOO_LONG, "the request target is too long"),
        Refusal::NotFound => (StatusCode::NOT_FOUND, "no webhook endpoint has this path"),
        Refusal::Method => (
            StatusCode::METHOD_NOT_ALLOWED,
            "webhooks are sent with POST",
        ),
        Refusal::Slow => (
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        ),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Refusal::Unverified => (
            StatusCode::UNAUTHORIZED,
            "the request could not be verified",
        ),
        Refusal::Limited(_) | Refusal::Failing(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "too many requests")
        }
        Refusal::Unavailable(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble.said()),
        Refusal::Unhandled(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the event is kept and has not been handled yet",
        ),
        Refusal::Unspeakable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the app's answer cannot be passed on",
        ),
    };
    let mut response = plain(status, text);
    let retry_after = match refusal {
        Refusal::Limited(wait) | Refusal::Failing(wait) => Some(*wait),
        Refusal::Unavailable(_) | Refusal::Unhandled(_) | Refusal::Unspeakable(_) => {
            Some(RETRY_SOON)
        }
        Refusal::Malformed(_)
        | Refusal::TargetTooLong
        | Refusal::NotFound
        | Refusal::Method
        | Refusal::Slow
        | Refusal::TooLarge
        | Refusal::Unverified => None,
    };
    if let Some(wait) = retry_after {
        let seconds = wait
            .as_secs()
            .saturating_add(u64::from(wait.subsec_nanos() > 0))
            .max(1);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // What was malformed may have ended elsewhere than we think, and the rest of a body that was
    // too slow or too large is not waited for.
    if matches!(
        refusal,
        Refusal::Malformed(_) | Refusal::TargetTooLong | Refusal::Slow | Refusal::TooLarge
    ) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if *refusal == Refusal::Method {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The answer when a handler panicked. What it panicked about stays in the log.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the panic layer calls"
)]
pub fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response<Full<Bytes>> {
    // Only a text that is part of the program: one made of values may hold a secret.
    let text = panic.downcast_ref::<&'static str>();
    tracing::error!(
        panic = text.copied().unwrap_or("its text is not shown"),
        "a request handler panicked: this is a bug in hookgate"
    );
    plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Request ids: eight random hex digits of this process, then a count.
#[derive(Clone)]
pub(super) struct RequestIds {
    process: u32,
    count: Arc<AtomicU64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            process: fastrand::u32(..),
            count: Arc::default(),
        }
    }
}

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{:08x}-{count}", self.process))
            .ok()
            .map(RequestId::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_trouble_is_503_with_retry_after_and_never_4xx() {
        let response = refused(&Refusal::Unavailable(Trouble::Store));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
    }

    #[test]
    fn what_a_handler_panicked_about_is_not_told_to_the_sender() {
        let response = after_panic(Box::new("whsec_canary".to_owned()));
        assert_eq!(response.status(), 500);
        assert!(!format!("{response:?}").contains("canary"));
    }

    #[test]
    fn limits_name_whole_seconds_rounded_up() {
        let response = refused(&Refusal::Limited(Duration::from_millis(1_200)));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (429, &HeaderValue::from(2))
        );
        assert_eq!(
            refused(&Refusal::Limited(Duration::ZERO)).headers()[RETRY_AFTER],
            "1"
        );
    }

    #[test]
    fn a_wrong_method_is_told_the_right_one() {
        assert_eq!(refused(&Refusal::Method).headers()[ALLOW], "POST");
    }
}
