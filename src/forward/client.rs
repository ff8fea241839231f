//! One keep-alive HTTP/1.1 connection to the app. Redirects are answers like any other.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::net::Address;
use crate::shutdown::Stage;

/// As much of an answer's body as is kept with the attempt.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for a connection to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// What the app answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first 64 KiB of the body.
    pub(super) body: Bytes,
    /// That is all of it.
    pub(super) whole: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// No connection could be made: the event was not tried.
    #[error("cannot connect: {0}")]
    Unreachable(#[source] io::Error),
    /// No complete head within the time for an attempt.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came was not HTTP. The app may have seen the event.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
}

pub(super) struct Client {
    app: Address,
    connection: Option<SendRequest<Full<Bytes>>>,
    stage: Stage,
}

impl Client {
    pub(super) fn new(app: Address, stage: Stage) -> Self {
        Self {
            app,
            connection: None,
            stage,
        }
    }

    /// Sends one request. A kept connection that the app has closed meanwhile is replaced without
    /// further ado as long as nothing of the request was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Answer, SendError> {
        let deadline = Instant::now() + patience;
        let mut request = request;
        loop {
            let (mut connection, kept) = match self.connection.take() {
                Some(connection) if !connection.is_closed() => (connection, true),
                Some(_) | None => (self.connect(deadline).await?, false),
            };
            match timeout_at(deadline, connection.ready()).await {
                // The app answered its last request without reading it, and reads no further.
                Err(_) => return Err(SendError::TimedOut),
                Ok(Err(_)) if kept => continue,
                Ok(Ok(()) | Err(_)) => {}
            }
            match timeout_at(deadline, connection.try_send_request(request)).await {
                Err(_) => return Err(SendError::TimedOut),
                Ok(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    let (body, complete) = start_of(body, deadline).await;
                    if complete {
                        self.connection = Some(connection);
                    }
                    return Ok(Answer {
                        status: head.status,
                        headers: head.headers,
                        body,
                        whole: complete,
                    });
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    Some(_) | None => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let deadline = deadline.min(Instant::now() + CONNECT);
        let connected = timeout_at(deadline, self.app.connect()).await;
        let stream = match connected {
            Ok(connected) => connected.map_err(SendError::Unreachable)?,
            Err(_) => return Err(SendError::Unreachable(io::ErrorKind::TimedOut.into())),
        };
        let (sender, connection) = http1::Builder::new()
            .max_headers(128)
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(SendError::Broken)?;
        // Ends with its sender; its errors reach the request they concern.
        self.stage.spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// The first part of a body, and whether that was all of it, so that the connection can be kept.
async fn start_of(mut body: Incoming, deadline: Instant) -> (Bytes, bool) {
    let mut start = BytesMut::new();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(None) => return (start.freeze(), true),
            Err(_) | Ok(Some(Err(_))) => return (start.freeze(), false),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                let room = ANSWER_BYTES_MAX - start.len();
                start.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
                if data.len() > room {
                    return (start.freeze(), false);
                }
            }
        }
    }
}
