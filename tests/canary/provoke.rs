//! Requests to the gate for every way in which it answers, and what each would have needed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookgate::clock::Clock;
use hookgate::providers::Kind;
use hookgate::verify::Unsigned;

use crate::cast::Cast;
use crate::forms::Canary;
use crate::support::sender::{Sender, bytes, tampered};

/// A request, byte for byte, and what it is.
pub(crate) struct Provocation {
    pub(crate) bytes: Vec<u8>,
    pub(crate) what: String,
}

/// All requests, and the signatures that the gate computed for them but nobody sent.
pub(crate) struct Provocations {
    pub(crate) requests: Vec<Provocation>,
    pub(crate) computed: Vec<Canary>,
}

impl Provocations {
    pub(crate) fn new(cast: &Cast) -> Self {
        let mut all = Self {
            requests: Vec::new(),
            computed: Vec::new(),
        };
        for sender in &cast.senders {
            all.of(sender, &cast.senders);
        }
        all.handshakes(cast);
        all
    }

    fn add(&mut self, sender: &Sender, what: &str, request: &Unsigned) {
        self.raw(format!("{} {what}", sender.source), bytes(request));
    }

    fn raw(&mut self, what: String, bytes: Vec<u8>) {
        self.requests.push(Provocation { bytes, what });
    }

    fn of(&mut self, sender: &Sender, others: &[Sender]) {
        let now = Clock::real().wall();
        let day = Duration::from_secs(24 * 3600);
        let at = |at, id: &str| {
            let sample = sender.event(id);
            sender.signed_at(
                &sender.target(),
                plain_headers(&sample),
                &sample.body,
                id,
                at,
            )
        };
        let genuine = at(now, "evt_canary_1");
        self.add(sender, "genuine", &genuine);
        self.add(sender, "again", &genuine);
        self.add(sender, "stale", &at(now.minus(day), "evt_canary_2"));
        self.add(sender, "of the future", &at(now.plus(day), "evt_canary_3"));

        // What the gate computes for these is what a forger would need.
        let forged = tampered(&genuine);
        self.add(sender, "tampered with", &forged);
        let right = sender.signed_at(
            &sender.target(),
            plain_headers(&genuine),
            &forged.body,
            "evt_canary_1",
            now,
        );
        if let Some(bytes) = signature(&right) {
            let name = format!(
                "the right signature of what was tampered with at {}",
                sender.source
            );
            self.computed.push(Canary {
                name,
                bytes,
                by_right: &[],
            });
        }
        for other in others
            .iter()
            .filter(|other| other.provider.id == sender.provider.id)
        {
            let mut request = other.event("evt_canary_4");
            request.url = sender.target();
            self.add(
                sender,
                &format!("with the secret of {}", other.source),
                &request,
            );
        }
        let mut bare = genuine.clone();
        bare.headers.clear();
        self.add(sender, "without headers", &bare);
        let mut odd = genuine.clone();
        for (_, value) in &mut odd.headers {
            value.insert_str(0, "odd ");
        }
        self.add(sender, "with odd headers", &odd);
        let mut large = genuine.clone();
        large.body = vec![b'x'; 6 << 20].into();
        large
            .body
            .truncate(if sender.source == "slow" { 8 << 10 } else { 16 });
        self.add(sender, "with another body", &large);
        let mut line_end = genuine.clone();
        line_end.body = [&*line_end.body, b"\n"].concat().into();
        self.add(sender, "with a line end", &line_end);
        self.malformed(sender, &genuine);
    }

    /// Refused before anything is verified: with the sender's token in the address, if it has one.
    fn malformed(&mut self, sender: &Sender, genuine: &Unsigned) {
        let text = bytes(genuine);
        let target = genuine.url.as_bytes();
        let instead = |with: &[u8]| replaced(&text, target, with);
        let add = [target, b"%2e"].concat();
        self.raw(format!("{}: an escaped dot", sender.source), instead(&add));
        let nowhere = [b"/nowhere", target].concat();
        self.raw(format!("{}: no source", sender.source), instead(&nowhere));
        let hosts = replaced(&text, b"Host: ", b"Host: a\r\nHost: ");
        self.raw(format!("{}: two hosts", sender.source), hosts);
        let get = replaced(&text, b"POST ", b"GET ");
        self.raw(format!("{}: GET", sender.source), get);
        self.raw(format!("{}: over HTTP/2", sender.source), http2(target));
    }

    fn handshakes(&mut self, cast: &Cast) {
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        let named = |name: &str| cast.senders.iter().find(|sender| sender.source == name);
        let meta = named("meta").expect("meta");
        let token = &*meta.values["verify_token"];
        for (what, token) in [("right", token), ("wrong", "guess")] {
            let target = format!(
                "{}?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}",
                meta.path()
            );
            self.raw(format!("a handshake with the {what} token"), get(&target));
        }
        let x = named("x").expect("x");
        self.raw(
            "a handshake that is signed".into(),
            get(&format!("{}?crc_token=canary", x.path())),
        );
        let asana = &cast.captured;
        self.add(
            asana,
            "before it has a secret",
            &asana.event("evt_canary_0"),
        );
        // A key has to be fetched for this, with a credential, from where nobody is.
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"1"}"#);
        let request = format!(
            "POST /webhooks/plaid HTTP/1.1\r\nHost: a\r\nPlaid-Verification: {header}.e30.AAAA\r\nContent-Length: 0\r\n\r\n"
        );
        self.raw(
            "a token whose key is not known".into(),
            request.into_bytes(),
        );
        for (what, secret) in [
            ("its", &*asana.signing),
            ("the same", &asana.signing),
            ("another", "another secret"),
        ] {
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: a\r\nX-Hook-Secret: {secret}\r\nContent-Length: 0\r\n\r\n",
                asana.path()
            );
            self.raw(
                format!("a handshake with {what} secret"),
                request.into_bytes(),
            );
        }
        self.of(asana, &[]);
    }
}

/// The headers that the provider does not make of the secret.
fn plain_headers(request: &Unsigned) -> Vec<(String, String)> {
    let headers = request.headers.iter();
    let plain = headers.filter(|(name, _)| name == "content-type" || name.ends_with("-topic"));
    plain.cloned().collect()
}

/// The bytes of the longest hex or base64 in a header that looks like a signature.
fn signature(request: &Unsigned) -> Option<Vec<u8>> {
    let headers = request.headers.iter();
    let signed = headers.filter(|(name, _)| {
        let name = name.to_ascii_lowercase();
        ["signature", "hmac", "mac"]
            .iter()
            .any(|word| name.contains(word))
    });
    let decoded = |(_, value): &(String, String)| {
        let start = ["sha256=", "v1=", "v1,", "."]
            .iter()
            .filter_map(|lead| Some(value.rfind(lead)? + lead.len()));
        let text = &value[start.max().unwrap_or(0)..];
        let bytes = hex::decode(text).ok();
        let bytes = bytes.or_else(|| STANDARD.decode(text).ok());
        bytes.or_else(|| URL_SAFE_NO_PAD.decode(text).ok())
    };
    signed.filter_map(decoded).find(|bytes| bytes.len() >= 20)
}

fn replaced(text: &[u8], part: &[u8], with: &[u8]) -> Vec<u8> {
    let at = text
        .windows(part.len())
        .position(|window| window == part)
        .expect("the part");
    [&text[..at], with, &text[at + part.len()..]].concat()
}

/// A request over HTTP/2 whose path has a space in it, which is not one (RFC 9113 §8.3.1).
fn http2(target: &[u8]) -> Vec<u8> {
    let path = [target, b" x"].concat();
    let literal = |name: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).expect("a short value");
        assert!(length < 127, "one byte of length");
        [&[name, length], value].concat()
    };
    // Literals without indexing, with names of the static table: POST, https, :authority, :path.
    let block = [vec![0x83, 0x87], literal(0x01, b"a"), literal(0x04, &path)].concat();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short frame");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let going_away = frame(7, 0, 0, &[0; 8]);
    [
        preface,
        frame(4, 0, 0, &[]),
        frame(1, 5, 1, &block),
        going_away,
    ]
    .concat()
}

/// Whether a sender's requests carry its secret as it is.
pub(crate) fn repeats_its_secret(sender: &Sender) -> bool {
    matches!(sender.kind(), Kind::None | Kind::Token | Kind::Basic)
}
