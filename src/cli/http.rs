//! A plain HTTP/1.1 client for the commands that talk to a gate: one connection, one request at a
//! time.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::Failure;
use crate::net::Address;
use crate::shutdown::Stage;

/// A connection to a gate.
pub(super) struct Client {
    address: Address,
    requests: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(super) async fn connect(address: &Address) -> std::io::Result<Self> {
        let stream = address.connect().await?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        // It ends with this client, and its errors reach the request they concern.
        Stage::default().spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            address: address.clone(),
            requests,
        })
    }

    /// Whether the other side has ended the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Sends one request and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Bytes>> {
        let (head, body) = self.open(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Sends one request; the answer's body is still to come.
    pub(super) async fn open(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::try_from(self.address.authority())
        {
            request.headers_mut().insert(HOST, host);
        }
        self.requests.ready().await?;
        self.requests.send_request(request).await
    }
}

/// The gate says something at least every 15 s; after this long the line is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Server-sent events (WHATWG HTML section 9.2) of an answer, with the connection that they come over.
pub(super) struct Messages {
    body: Incoming,
    read: Vec<u8>,
    _client: Client,
}

impl Messages {
    pub(super) fn of(body: Incoming, client: Client) -> Self {
        Self {
            body,
            read: Vec::new(),
            _client: client,
        }
    }

    /// Kind and data of the next message; none when the stream has ended, broken off or fallen silent.
    pub(super) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.read.drain(..end + 2).collect();
                if let Some(message) = message_of(&String::from_utf8_lossy(&message)) {
                    return Some(message);
                }
            }
            let frame = timeout(SILENCE_MAX, self.body.frame()).await.ok()??;
            if let Ok(data) = frame.ok()?.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

/// A comment is no message.
fn message_of(text: &str) -> Option<(String, String)> {
    let (mut kind, mut data) = ("message", Vec::new());
    for line in text.lines() {
        match line.split_once(':') {
            Some(("event", value)) => kind = value.trim_start(),
            Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            Some(_) | None => {}
        }
    }
    (!data.is_empty()).then(|| (kind.to_owned(), data.join("\n")))
}

/// Runs a command's requests on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::message_of;

    #[test]
    fn messages_are_read_as_browsers_do() {
        let message = |kind: &str, data: &str| Some((kind.to_owned(), data.to_owned()));
        assert_eq!(
            message_of("event: missed\ndata: {}\n\n"),
            message("missed", "{}")
        );
        assert_eq!(
            message_of("data:a\ndata: b\n\n"),
            message("message", "a\nb")
        );
        assert_eq!(message_of(":\n\n"), None);
        assert_eq!(message_of("event: event\n\n"), None);
    }
}
