//! A captured request, read from what people have: HTTP/1.1 text, or its parts.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::Failure;
use crate::clock::UnixMillis;
use crate::event::Received;

#[derive(Debug, clap::Args)]
pub(super) struct Captured {
    /// The request as HTTP/1.1 text: request line, headers, an empty line, the body ("-": standard
    /// input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headers", "body", "method", "url"])]
    request: Option<PathBuf>,
    /// A header
    #[arg(long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A file with headers, one a line
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// A file with the body, byte for byte ("-": standard input)
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The URL, or path and query, that it was sent to [default: /]
    #[arg(long)]
    url: Option<String>,
    /// The method [default: POST]
    #[arg(long)]
    method: Option<Method>,
}

/// A request, and what may be odd about how it was captured.
pub(super) struct Request {
    pub(super) received: Received,
    /// The address in front of the path, if one was given.
    pub(super) base: Option<String>,
    pub(super) notes: Vec<String>,
}

impl Captured {
    pub(super) fn read(&self) -> Result<Request, Failure> {
        let mut parts = match &self.request {
            Some(file) => Parts::of_text(&contents(file)?)?,
            None => self.parts()?,
        };
        parts.lines.extend(self.header.iter().cloned());
        parts.into_request()
    }

    fn parts(&self) -> Result<Parts, Failure> {
        let mut lines = Vec::new();
        if let Some(file) = &self.headers {
            let text = contents(file)?;
            let text = String::from_utf8_lossy(&text);
            let headers = text.lines().filter(|line| !line.is_empty());
            lines.extend(headers.map(ToOwned::to_owned));
        }
        let body = self.body.as_deref().map(contents).transpose()?;
        Ok(Parts {
            method: self.method.clone().unwrap_or(Method::POST),
            url: self.url.clone().unwrap_or_else(|| "/".to_owned()),
            lines,
            body: body.unwrap_or_default().into(),
        })
    }
}

/// A request as it was captured; the header lines are not looked at yet.
pub(super) struct Parts {
    method: Method,
    url: String,
    lines: Vec<String>,
    body: Bytes,
}

impl Parts {
    /// From HTTP/1.1 text.
    pub(super) fn of_text(text: &[u8]) -> Result<Self, Failure> {
        let (head, body) = split_head(text);
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let (method, url) = request_line(first).ok_or_else(|| {
            odd("the first line must be a request line, such as POST /path HTTP/1.1")
        })?;
        Ok(Self {
            method,
            url,
            lines: lines.map(ToOwned::to_owned).collect(),
            body: Bytes::copy_from_slice(body),
        })
    }

    pub(super) fn into_request(self) -> Result<Request, Failure> {
        let headers = headers(&self.lines)?;
        let notes = oddities(&headers, &self.body)?;
        let (base, target) = split_url(&self.url);
        let received = Received {
            received_at: UnixMillis(0),
            peer: None,
            method: self.method,
            target: target.into(),
            path_token: None,
            headers,
            body: self.body,
        };
        Ok(Request {
            received,
            base: base.map(ToOwned::to_owned),
            notes: notes.into_iter().collect(),
        })
    }
}

fn odd(message: impl Into<String>) -> Failure {
    Failure::Usage(message.into())
}

fn contents(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| odd(format!("{}: {error}", file.display())))
}

/// What is before the first empty line, and what is behind it.
fn split_head(text: &[u8]) -> (&[u8], &[u8]) {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"].into_iter().filter_map(|end| {
        let at = text.windows(end.len()).position(|part| part == end)?;
        Some((text.get(..at)?, text.get(at + end.len()..)?))
    });
    ends.min_by_key(|(head, _)| head.len())
        .unwrap_or((text, b""))
}

fn request_line(line: &str) -> Option<(Method, String)> {
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.parse().ok()?, words.next()?);
    let is_http = words
        .next()
        .is_none_or(|version| version.starts_with("HTTP/"));
    (is_http && (target.starts_with('/') || target.contains("://")))
        .then(|| (method, target.to_owned()))
}

fn headers(lines: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (at, line) in lines.iter().enumerate() {
        // The value may be a secret: it is not quoted.
        let wrong = || odd(format!("header {} is not written as Name: value", at + 1));
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What of the capture cannot be as it was sent.
fn oddities(headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, Failure> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let coding = text(http::header::TRANSFER_ENCODING);
    if coding.is_some_and(|coding| coding.contains("chunked")) {
        return Err(odd(
            "the body is chunked: give the decoded body with --body, and the headers without \
             Transfer-Encoding",
        ));
    }
    let announced = text(http::header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let length = body.len();
    Ok(announced
        .filter(|announced: &usize| *announced != length)
        .map(|announced| {
            format!(
                "Content-Length says {announced} bytes of body, but there are {length}: an editor \
                 may have added or changed a line end"
            )
        }))
}

/// The address in front of the path, if there is one, and the target.
fn split_url(url: &str) -> (Option<&str>, &str) {
    let Some(at) = url.find("://").filter(|_| !url.starts_with('/')) else {
        return (None, url);
    };
    let (scheme, rest) = url.split_at(at + 3);
    let host = rest.find(['/', '?']).unwrap_or(rest.len());
    let (base, target) = url.split_at(scheme.len() + host);
    let target = if target.is_empty() { "/" } else { target };
    (Some(base), target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_bytes_whatever_the_line_ends_of_the_head() {
        for end in ["\n", "\r\n"] {
            let text = format!("POST /a HTTP/1.1{end}X-A: b{end}{end}one\r\n\r\ntwo\n\n");
            let (head, body) = split_head(text.as_bytes());
            assert!(head.ends_with(b"X-A: b"));
            assert_eq!(body, b"one\r\n\r\ntwo\n\n");
        }
        assert_eq!(
            split_head(b"GET / HTTP/1.1"),
            (&b"GET / HTTP/1.1"[..], &b""[..])
        );
    }

    #[test]
    fn request_lines_and_urls_are_taken_apart() {
        let post = |target: &str| Some((Method::POST, target.to_owned()));
        assert_eq!(request_line("POST /a?b HTTP/1.1"), post("/a?b"));
        assert_eq!(
            request_line("POST https://h/a HTTP/1.1"),
            post("https://h/a")
        );
        for wrong in ["", "POST", "POST a", "{\"id\": 1}", "POST / x"] {
            assert_eq!(request_line(wrong), None, "{wrong}");
        }
        assert_eq!(split_url("https://h:1/a?b"), (Some("https://h:1"), "/a?b"));
        assert_eq!(split_url("https://h"), (Some("https://h"), "/"));
        assert_eq!(split_url("/a?u=x://y"), (None, "/a?u=x://y"));
    }
}
