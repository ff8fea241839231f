//! A client that writes what it is told to, byte for byte, and reads answers.

use std::io;

use hookgate::net::{Address, Stream};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::within;

/// One connection, over a socket or over TLS.
pub(crate) struct Connection<S = Stream> {
    stream: S,
    read: Vec<u8>,
}

/// An answer, as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Answer {
    /// The value of the only header with this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let found = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} came twice: {self:?}");
        found
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Our id of the event that was acknowledged.
    pub(crate) fn event_id(&self) -> String {
        let id = self.header("hookgate-event-id");
        id.unwrap_or_else(|| panic!("no event id: {self:?}"))
            .to_owned()
    }

    /// Asserts that an event was acknowledged and how; its id.
    #[track_caller]
    pub(crate) fn acknowledged(&self, how: &str) -> String {
        self.acknowledged_with(200, how)
    }

    /// The same for a provider that wants another status than 200.
    #[track_caller]
    pub(crate) fn acknowledged_with(&self, status: u16, how: &str) -> String {
        assert_eq!(
            (self.status, self.header("hookgate-status")),
            (status, Some(how)),
            "{self:?}"
        );
        self.event_id()
    }
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> Self {
        let stream = within("connecting", address.connect()).await;
        Self::over(stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("the other side reads");
    }

    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("writing a request", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Writes a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Answer {
        self.write(request).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer")
    }

    /// The next answer; an error if the connection ends first.
    pub(crate) async fn try_answer(&mut self) -> io::Result<Answer> {
        within("an answer", async {
            let head = self.read_head().await?;
            let mut lines = head.split("\r\n");
            let status = lines.next().and_then(|line| line.split(' ').nth(1));
            let status = status.and_then(|status| status.parse().ok());
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .map_or(0, |(_, value)| value.parse().expect("a length"));
            self.fill(length).await?;
            Ok(Answer {
                status: status.unwrap_or_else(|| panic!("not an answer: {head}")),
                headers,
                body: self.read.drain(..length).collect(),
            })
        })
        .await
    }

    async fn read_head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            let more = self.read.len() + 1;
            self.fill(more).await?;
        }
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.read.len() < length {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads on until `wanted` came; everything read so far.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        let what = format!("{wanted:?} in the answer");
        within(&what, async {
            while find(&self.read, wanted.as_bytes()).is_none() {
                let more = self.read.len() + 1;
                self.fill(more).await.expect("more to come");
            }
            String::from_utf8_lossy(&self.read).into_owned()
        })
        .await
    }

    /// Waits until the other side has closed, and returns what came before.
    pub(crate) async fn until_closed(mut self) -> Vec<u8> {
        within("the end of the connection", async {
            // A reset is an end too.
            while self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0 {}
            self.read
        })
        .await
    }
}

/// Where `wanted` begins.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
