//! From the text of a step to its bytes: what stands in angle brackets is replaced.

use hookgate::verify::Unsigned;

/// A genuine event, in parts that a case puts together in its own way.
///
/// | written | is |
/// |---|---|
/// | `<post>` | the request line |
/// | `<host>` `<sign>` `<length>` `<chunked>` | a whole header line each |
/// | `<head>` | all of that but `<chunked>`, without the empty line at its end |
/// | `<body>` | the signed body |
/// | `<chunks>` | the body as one chunk and the end |
/// | `<len>` `<size>` | the length of the body in decimal and in hex |
/// | `<good>` | the whole request |
/// | `<fields>` | the head as HTTP/2 has it; `<pseudo>` and `<signed>` are its two halves |
/// | `<x:80 ff>` | bytes in hex |
/// | `<3*abc>` `<3*x:80>` | `abcabcabc`, three bytes |
pub(crate) struct Parts<'a> {
    event: &'a Unsigned,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(event: &'a Unsigned) -> Self {
        Self { event }
    }

    /// The bytes of a step.
    pub(crate) fn fill(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            bytes.extend_from_slice(&rest.as_bytes()[..start]);
            let end = start + rest[start..].find('>').expect("a closing bracket");
            self.part(&rest[start + 1..end], &mut bytes);
            rest = &rest[end + 1..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    fn part(&self, name: &str, bytes: &mut Vec<u8>) {
        let body = &self.event.body[..];
        let text = match name {
            "post" => format!("POST {} HTTP/1.1\r\n", self.event.url),
            "host" => "Host: hooks.example.com\r\n".to_owned(),
            "sign" => self.lines("\r\n", str::to_owned) + "\r\n",
            "length" => format!("Content-Length: {}\r\n", body.len()),
            "chunked" => "Transfer-Encoding: chunked\r\n".to_owned(),
            "len" => body.len().to_string(),
            "size" => format!("{:x}", body.len()),
            "head" => return bytes.extend(self.fill("<post><host><sign><length>")),
            "good" => return bytes.extend(self.fill("<head>\r\n<body>")),
            "chunks" => return bytes.extend(self.fill("<size>\r\n<body>\r\n0\r\n\r\n")),
            "fields" => return bytes.extend(self.fill("<pseudo> | <signed>")),
            "pseudo" => format!(
                ":method: POST | :scheme: http | :path: {} | :authority: hooks.example.com",
                self.event.url
            ),
            "signed" => self.lines(" | ", str::to_ascii_lowercase),
            "body" => return bytes.extend_from_slice(body),
            other => return special(other, bytes),
        };
        bytes.extend_from_slice(text.as_bytes());
    }

    fn lines(&self, between: &str, spelled: impl Fn(&str) -> String) -> String {
        let headers = self.event.headers.iter();
        let lines = headers.map(|(name, value)| format!("{}: {value}", spelled(name)));
        lines.collect::<Vec<_>>().join(between)
    }
}

/// Bytes in hex, or a text several times.
fn special(text: &str, bytes: &mut Vec<u8>) {
    if let Some(digits) = text.strip_prefix("x:") {
        bytes.extend(hex::decode(digits.replace(' ', "")).expect("hex"));
    } else if let Some((count, text)) = text.split_once('*') {
        let count = count.parse().expect("a count");
        let mut once = text.as_bytes().to_vec();
        if text.starts_with("x:") {
            once.clear();
            special(text, &mut once);
        }
        bytes.extend(once.repeat(count));
    } else {
        panic!("<{text}> means nothing");
    }
}
