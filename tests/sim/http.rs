//! As much of HTTP/1.1 as two ends in one process need to read each other.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request or an answer that was read to its end.
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.header(name).unwrap_or_default().to_owned()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        let mut words = self.start.split(' ').skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// One direction of a connection, with what was read too far.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// The next message; `None` if the connection ends before it does.
    pub(crate) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<Message> {
        let head_end = loop {
            let found = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                break at;
            }
            self.more(stream).await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> = pairs
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut message = Message {
            start,
            headers,
            body: Vec::new(),
        };
        let length = message.header("content-length").unwrap_or("0");
        let length: usize = length.parse().ok()?;
        let end = head_end + 4 + length;
        while self.buffer.len() < end {
            self.more(stream).await?;
        }
        message.body = self.buffer[head_end + 4..end].to_vec();
        self.buffer.drain(..end);
        Some(message)
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
        let read = stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }
}
