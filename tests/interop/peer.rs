//! An interpreter with other people's signing libraries in it, spoken to line by line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// One way of signing of one package.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    #[serde(rename = "row")]
    pub(crate) name: String,
    /// Name and version.
    pub(crate) package: String,
    pub(crate) provider: String,
    pub(crate) variant: Option<String>,
    /// What verifies.
    pub(crate) secret: String,
    /// What `hookgate send` signs with.
    pub(crate) signing: String,
    pub(crate) values: BTreeMap<String, String>,
    /// What is signed, if it is not all of the body: text in it, or `header:NAME`.
    change: Option<String>,
    /// What `hookgate send` sends, if the library does not take the provider's sample.
    pub(crate) data: Option<String>,
    can: Vec<String>,
}

impl Row {
    pub(crate) fn can(&self, what: &str) -> bool {
        self.can.iter().any(|ability| ability == what)
    }

    /// The request with one bit changed of what is signed.
    pub(crate) fn altered(&self, request: &Request) -> Request {
        let mut altered = request.clone();
        match self.change.as_deref() {
            None => flip(&mut altered.body),
            Some(change) => match change.strip_prefix("header:") {
                Some(name) => {
                    let named =
                        |(known, _): &(&String, &mut String)| known.eq_ignore_ascii_case(name);
                    let (_, value) = altered.headers.iter_mut().find(named).expect("the header");
                    let mut bytes = std::mem::take(value).into_bytes();
                    flip(&mut bytes);
                    *value = String::from_utf8(bytes).expect("ASCII");
                }
                None => {
                    let start = altered
                        .body
                        .windows(change.len())
                        .position(|part| part == change.as_bytes())
                        .expect("the signed text");
                    flip(&mut altered.body[start..start + change.len()]);
                }
            },
        }
        altered
    }
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

/// A request, as it was sent or as the app got it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As the sender writes it.
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// The running interpreter.
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it; what it can do.
    pub(crate) fn start(mut command: Command) -> (Self, Vec<Row>) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut peer = Self {
            child,
            input,
            output,
        };
        let rows = serde_json::from_value(peer.read()).expect("a list of rows");
        (peer, rows)
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it can be read");
        serde_json::from_str(&line).expect("a line of JSON; what went wrong stands above")
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").expect("it listens");
        self.read()
    }

    /// A request that the library made: `sign` or `challenge`; and the answer that it wants.
    pub(crate) fn request(
        &mut self,
        what: &str,
        row: &Row,
        url: &str,
    ) -> (Request, Option<String>) {
        #[derive(Deserialize)]
        struct Made {
            method: Option<String>,
            url: Option<String>,
            headers: BTreeMap<String, String>,
            body: String,
            answer: Option<String>,
        }
        let made = self.ask(&json!({ "do": what, "row": row.name, "url": url }));
        let made: Made = serde_json::from_value(made).expect("a request");
        let request = Request {
            method: made.method.unwrap_or_else(|| "POST".to_owned()),
            url: made.url.unwrap_or_else(|| url.to_owned()),
            headers: made.headers,
            body: STANDARD.decode(made.body).expect("base64"),
        };
        (request, made.answer)
    }

    /// Whether the library takes a request; if not, why.
    pub(crate) fn verify(&mut self, row: &Row, request: &Request) -> Result<(), String> {
        let body = STANDARD.encode(&request.body);
        let request = json!({ "url": request.url, "headers": request.headers, "body": body });
        let said = self.ask(&json!({ "do": "verify", "row": row.name, "request": request }));
        match said["verified"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(said.to_string()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
