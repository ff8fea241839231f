//! Sees to it that an HTTP/1 message has one reading: where its lines end and where its body does.
//!
//! hyper's parser takes a bare line feed for a line end, passes over empty lines before a request,
//! and keeps to itself that a length came beside chunks, that it came twice, or that the target had
//! a fragment. A proxy in front may read such bytes as other requests than hyper does, and the
//! service cannot see them. So the bytes are looked at on their way to hyper.
//!
//! This can only refuse, never change a reading: where a rule is broken, a NUL goes to hyper in
//! place of the byte, which it answers with 400, and then nothing more. Everything else is left to
//! hyper. Heads and chunk sizes are looked at line by line; bodies are skipped by their length. Of a
//! long line that has not ended only as much is kept as still matters.

use crate::planted::{Bug, planted};

/// Largest length and chunk size: what fits into everybody's integers, signed ones too.
const SIZE_MAX: u64 = u64::MAX >> 1;
/// A line that has not ended and is longer than this, in bytes, is kept in short. No length or coding
/// is that long.
const SHORT_BYTES: usize = 256;

/// Where in the messages of a connection the next byte is.
#[derive(Default)]
pub(super) struct Framing {
    next: Next,
    /// What has come of a line whose end has not, or what is as good as that.
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
                        return self.keep(rest).map_err(|Broken| at + rest.len() - 1);
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

    /// Keeps what matters of a line that goes on.
    fn keep(&mut self, come: &[u8]) -> Result<(), Broken> {
        self.line.extend_from_slice(come);
        if self.line.len() <= SHORT_BYTES {
            return Ok(());
        }
        // The line may end behind this one.
        let (text, end) = match self.line.strip_suffix(b"\r") {
            Some(text) => (text, "\r"),
            None => (&*self.line, ""),
        };
        if text.contains(&b'\r') {
            return Err(Broken);
        }
        let short = match self.next {
            Next::RequestLine => {
                request_line(text)?;
                let words = text.split(|byte| *byte == b' ').count();
                ["-"; 3].get(..words.min(3)).unwrap_or_default().join(" ")
            }
            Next::Header if says_where_the_body_ends(text) => return Err(Broken),
            Next::Header | Next::Trailer => "-:".into(),
            Next::ChunkSize => {
                chunk_size(text)?;
                let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit());
                digits.map(|byte| char::from(*byte)).chain([';']).collect()
            }
            Next::ChunkEnd | Next::Body(_) | Next::Chunk(_) | Next::Refused => return Err(Broken),
        };
        self.line = [String::as_bytes(&short), end.as_bytes()].concat();
        Ok(())
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
            Next::Header if line.len() > SHORT_BYTES && says_where_the_body_ends(line) => {
                return Err(Broken);
            }
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

fn says_where_the_body_ends(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, _) = line.split_at(colon.unwrap_or(line.len()));
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
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

    /// A line was kept whole until its end came: up to 128 KiB of memory that nobody counted.
    #[test]
    fn of_a_long_line_that_goes_on_only_what_matters_is_kept() {
        let long = "x".repeat(30_000);
        let chunks = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (text, then) in [
            (
                format!("POST /{long}"),
                "/b HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            ),
            (format!("POST /a HTTP/1.1\r\nX: {long}"), "\r\n\r\n"),
            (format!("POST /a HTTP/1.1\r\nX: {long}\r"), "\n\r\n"),
            (format!("{chunks}1;{long}"), "\r\n-\r\n0\r\n\r\n"),
            (format!("{chunks}0\r\nX: {long}"), "\r\n\r\n"),
        ] {
            let mut framing = Framing::default();
            for piece in text.as_bytes().chunks(4_000) {
                assert_eq!(framing.pass(&mut piece.to_vec()), piece.len(), "{then}");
                assert!(framing.line.capacity() <= 2 * SHORT_BYTES, "{then}");
            }
            let after = format!("{then}POST /c HTTP/1.1\r\nContent-Length: 1\r\n\r\n");
            assert_eq!(framing.pass(&mut after.clone().into_bytes()), after.len());
            assert!(framing.next == Next::Body(1), "{then}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_long_line_is_seen_when_it_is_kept_in_short() {
        let long = "x".repeat(300);
        let spaces = " ".repeat(300);
        for text in [
            format!("POST /{long}#{long}"),
            format!("POST /a HTTP/1.1\r\nX: {long}\r{long}"),
            format!("POST /a HTTP/1.1\r\nContent-Length:{spaces}"),
            format!("POST /a HTTP/1.1\r\nTransfer-Encoding: {spaces}"),
            format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{long}\0{long}"),
        ] {
            assert_eq!(passed(&text, 100).last(), Some(&0), "{text}");
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
