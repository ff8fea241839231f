//! Sees to it that an HTTP/1 message has one reading: where its lines end and where its body does.
//!
//! hyper's parser takes a bare line feed for a line end, passes over empty lines before a request,
//! and keeps to itself that a length came beside chunks, that it came twice, or that the target had
//! a fragment. A proxy in front may read such bytes as other requests than hyper does, and the
//! service cannot see them. So the bytes are looked at on their way to hyper.
//!
//! This can only refuse, never change a reading: where a rule is broken, a NUL goes to hyper in
//! place of the byte, which it answers with 400, and then nothing more. Everything else is left to
//! hyper. Heads and chunk sizes are looked at line by line; bodies are skipped by their length.

use crate::planted::{Bug, planted};

/// Largest length and chunk size: what fits into everybody's integers, signed ones too.
const SIZE_MAX: u64 = u64::MAX >> 1;
/// Longest line, in bytes. hyper gives up on a head, a chunk size or trailers long before.
const LINE_MAX: usize = 128 * 1024;

/// Where in the messages of a connection the next byte is.
#[derive(Default)]
pub(super) struct Framing {
    next: Next,
    /// What has come of a line whose end has not.
    line: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    RequestLine,
    Header,
    /// Bytes left of a body with a length.
    Body(u64),
    ChunkSize,
    /// Bytes left of a chunk.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
    /// A rule was broken; nothing passes any more.
    Refused,
}

/// What the headers so far say about the body.
#[derive(Clone, Copy, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

/// A rule is broken.
struct Broken;

impl Framing {
    /// Whether a rule was broken, after which nothing may be read.
    pub(super) fn is_broken(&self) -> bool {
        self.next == Next::Refused
    }

    /// How many of these bytes may go on to hyper; the last of them may have been made a NUL.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let Err(at) = self.check(bytes) else {
            return bytes.len();
        };
        self.next = Next::Refused;
        self.line = Vec::new();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = 0;
        }
        at + 1
    }

    /// Follows these bytes; the position of the first that must not pass.
    fn check(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && !rest.is_empty()
        {
            at += match self.next {
                Next::Body(left) => self.skip(left, rest.len(), Next::Body, Next::RequestLine),
                Next::Chunk(left) => self.skip(left, rest.len(), Next::Chunk, Next::ChunkEnd),
                Next::RequestLine
                | Next::Header
                | Next::ChunkSize
                | Next::ChunkEnd
                | Next::Trailer
                | Next::Refused => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        if self.line.len() + rest.len() > LINE_MAX {
                            return Err(at);
                        }
                        self.line.extend_from_slice(rest);
                        return Ok(());
                    };
                    let (line, _) = rest.split_at_checked(end + 1).unwrap_or((rest, &[]));
                    self.whole_line(line).map_err(|Broken| at + end)?;
                    line.len()
                }
            };
        }
        Ok(())
    }

    /// Leaves out what has come of `left` bytes; how many that were.
    fn skip(&mut self, left: u64, come: usize, more: fn(u64) -> Next, then: Next) -> usize {
        let skipped = usize::try_from(left).map_or(come, |left| left.min(come));
        let left = left - skipped as u64;
        self.next = if left > 0 { more(left) } else { then };
        skipped
    }

    /// The end of a line, or all of it.
    fn whole_line(&mut self, end: &[u8]) -> Result<(), Broken> {
        if self.line.is_empty() {
            return self.ended(end);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        self.ended(&line)
    }

    fn ended(&mut self, line: &[u8]) -> Result<(), Broken> {
        let bare = || {
            line.strip_suffix(b"\n")
                .filter(|_| planted(Bug::AcceptBareLf))
        };
        let line = line.strip_suffix(b"\r\n").or_else(bare).ok_or(Broken)?;
        if line.contains(&b'\r') {
            return Err(Broken);
        }
        self.next = match self.next {
            Next::RequestLine => {
                self.head = Head::default();
                request_line(line)?
            }
            Next::Header if line.is_empty() => self.head.body()?,
            Next::Header => {
                self.head.add(line)?;
                Next::Header
            }
            Next::ChunkSize => chunk_size(line)?,
            Next::ChunkEnd if line.is_empty() => Next::ChunkSize,
            Next::Trailer if line.is_empty() => Next::RequestLine,
            Next::Trailer => Next::Trailer,
            Next::ChunkEnd | Next::Body(_) | Next::Chunk(_) | Next::Refused => return Err(Broken),
        };
        Ok(())
    }
}

/// There is something, and its target has no fragment, which hyper would cut off.
fn request_line(line: &[u8]) -> Result<Next, Broken> {
    let target = line.split(|byte| *byte == b' ').nth(1);
    if line.is_empty() || target.is_some_and(|target| target.contains(&b'#')) {
        return Err(Broken);
    }
    Ok(Next::Header)
}

/// Hex digits, and perhaps extensions, which are text.
fn chunk_size(line: &[u8]) -> Result<Next, Broken> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (size, extension) = line.split_at(digits.unwrap_or(line.len()));
    let begins = extension.trim_ascii_start().first();
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if size.len() > 16
        || !(extension.is_empty() || begins == Some(&b';'))
        || !extension.iter().all(is_text)
    {
        return Err(Broken);
    }
    let size = std::str::from_utf8(size).map_err(|_| Broken)?;
    match u64::from_str_radix(size, 16) {
        Ok(0) => Ok(Next::Trailer),
        Ok(size) if size <= SIZE_MAX => Ok(Next::Chunk(size)),
        Ok(_) | Err(_) => Err(Broken),
    }
}

impl Head {
    /// Takes note of what a header says about the body.
    fn add(&mut self, line: &[u8]) -> Result<(), Broken> {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = plain_number(trimmed(value)).ok_or(Broken)?;
            if self.length.replace(length).is_some() {
                return Err(Broken);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_chunked = trimmed(value).eq_ignore_ascii_case(b"chunked");
            if !is_chunked || std::mem::replace(&mut self.chunked, true) {
                return Err(Broken);
            }
        }
        Ok(())
    }

    /// What follows the empty line.
    fn body(self) -> Result<Next, Broken> {
        match (self.length, self.chunked) {
            (Some(_), true) if !planted(Bug::TeAndClBoth) => Err(Broken),
            (_, true) => Ok(Next::ChunkSize),
            (None | Some(0), false) => Ok(Next::RequestLine),
            (Some(length), false) => Ok(Next::Body(length)),
        }
    }
}

/// Without the spaces and tabs that may stand around a value.
fn trimmed(value: &[u8]) -> &[u8] {
    let outer = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(outer).unwrap_or(value.len());
    let end = value.iter().rposition(outer).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// Digits that nobody could take for another number.
fn plain_number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits == b"0" || !digits.starts_with(b"0");
    if !is_plain || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= SIZE_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of this text when it comes in two pieces.
    fn passed(text: &str, cut: usize) -> Vec<u8> {
        let (mut framing, mut passed) = (Framing::default(), Vec::new());
        let (first, second) = text.as_bytes().split_at(cut);
        for piece in [first, second] {
            if !framing.is_broken() {
                let mut piece = piece.to_vec();
                let length = framing.pass(&mut piece);
                piece.truncate(length);
                passed.extend(piece);
            }
        }
        passed
    }

    const GOOD: &str = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\r\nPOST /b HTTP/1.1\r\n\
        Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n\n\n\r\n0\r\nx: y\r\n\r\nGET /c HTTP/1.1\r\n\r\n";

    #[test]
    fn requests_pass_as_they_are_wherever_they_are_cut() {
        for cut in 0..GOOD.len() {
            assert_eq!(passed(GOOD, cut), GOOD.as_bytes(), "cut at {cut}");
        }
    }

    #[test]
    fn nothing_passes_behind_the_byte_that_breaks_a_rule_wherever_it_is_cut() {
        let bare = format!("{GOOD}GET /d HTTP/1.1\nHost: a\r\n\r\n");
        let both = format!(
            "{GOOD}POST /d HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"
        );
        for (text, end) in [(&bare, "1.1\n"), (&both, "ked\r\n\r\n")] {
            let end = text.rfind(end).unwrap() + end.len() - 1;
            for cut in 0..text.len() {
                let passed = passed(text, cut);
                assert_eq!(passed[..end], text.as_bytes()[..end], "cut at {cut}");
                assert_eq!(passed[end..], [0], "cut at {cut}");
            }
        }
    }
}
