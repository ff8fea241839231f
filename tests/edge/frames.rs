//! HTTP/2 frames, written as a step says, right or wrong (RFC 9113 §4, §6), and read as far as a
//! case asks for.
//!
//! | step | frame |
//! |---|---|
//! | `HEADERS 1 ES+EH a: b \| c: d` | stream, flags (`-` for none), fields |
//! | `CONTINUATION 1 EH c: d` | the same |
//! | `DATA 1 ES bytes` | |
//! | `PRIORITY 3 1` | depends on stream 1 |
//! | `RST 1 8` `GOAWAY 8` | code |
//! | `SETTINGS 4=65535 3=1` `SETTINGS ACK` | |
//! | `PING` `WINDOW 1 100` | |
//! | `FRAME 9 4 1 bytes` | type, flags and stream as numbers |
//! | `SHORT 9 4 1 5 bytes` | the same, with a length that is not that of the bytes |
//! | `RAW bytes` | no frame |
//!
//! Fields are written as literals without indexing and without Huffman coding (RFC 7541 §6.2.2).

use crate::bytes::Parts;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// The bytes of one step.
pub(crate) fn encode(step: &str, parts: &Parts<'_>) -> Vec<u8> {
    let (kind, rest) = step.split_once(' ').unwrap_or((step, ""));
    let mut words = rest.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    match kind {
        "HEADERS" | "CONTINUATION" | "DATA" => {
            let (stream, flags, text) = (number(word()), flags(word()), word());
            let payload = parts.fill(text);
            match kind {
                "DATA" => frame(DATA, flags, stream, &payload),
                "HEADERS" => frame(HEADERS, flags, stream, &block(&payload)),
                _ => frame(9, flags, stream, &block(&payload)),
            }
        }
        "PRIORITY" => {
            let (stream, on) = (number(word()), number(word()));
            frame(2, 0, stream, &[&on.to_be_bytes()[..], &[15]].concat())
        }
        "RST" => frame(RST_STREAM, 0, number(word()), &number(word()).to_be_bytes()),
        "SETTINGS" if rest == "ACK" => frame(4, 1, 0, &[]),
        "SETTINGS" => frame(4, 0, 0, &settings(rest)),
        "PING" => frame(6, 0, 0, b"hookgate"),
        "GOAWAY" => frame(
            GOAWAY,
            0,
            0,
            &[[0; 4], number(word()).to_be_bytes()].concat(),
        ),
        "WINDOW" => frame(8, 0, number(word()), &number(word()).to_be_bytes()),
        "FRAME" | "SHORT" => {
            let mut words = rest.splitn(if kind == "FRAME" { 4 } else { 5 }, ' ');
            let mut word = || words.next().unwrap_or_default();
            let (kind_byte, flags, stream) = (byte(word()), byte(word()), number(word()));
            let length = (kind == "SHORT").then(|| number(word()));
            let payload = parts.fill(word());
            let mut frame = frame(kind_byte, flags, stream, &payload);
            if let Some(length) = length {
                frame[..3].copy_from_slice(&length.to_be_bytes()[1..]);
            }
            frame
        }
        "RAW" => parts.fill(rest),
        other => panic!("{other} is no frame"),
    }
}

fn number(text: &str) -> u32 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

fn byte(text: &str) -> u8 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no byte"))
}

fn flags(text: &str) -> u8 {
    let flag = |name| match name {
        "-" => 0,
        "ES" => 0x1,
        "EH" => 0x4,
        "PADDED" => 0x8,
        "PRIORITY" => 0x20,
        other => byte(other),
    };
    text.split('+').map(flag).fold(0, |all, flag| all | flag)
}

fn settings(text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    for setting in text.split_whitespace() {
        let (id, value) = setting.split_once('=').expect("id=value");
        payload.extend(id.parse::<u16>().expect("an id").to_be_bytes());
        payload.extend(number(value).to_be_bytes());
    }
    payload
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields that stand between ` | `, each a name, `: ` and a value.
fn block(text: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = position(rest, b" | ");
        let field = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[][..], |end| &rest[end + 3..]);
        // The colon of a pseudo-header is its first character.
        let colon = 1 + position(&field[1..], b": ").expect("name: value");
        block.push(0);
        string(&field[..colon], &mut block);
        string(&field[colon + 2..], &mut block);
    }
    block
}

/// A length with a prefix of seven bits, then the bytes (RFC 7541 §5).
fn string(text: &[u8], block: &mut Vec<u8>) {
    let small = |number: usize| u8::try_from(number).expect("a byte");
    block.push(small(text.len().min(127)));
    if let Some(mut rest) = text.len().checked_sub(127) {
        while rest >= 128 {
            block.push(small(rest % 128 + 128));
            rest /= 128;
        }
        block.push(small(rest));
    }
    block.extend(text);
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    crate::support::http::find(bytes, wanted)
}

/// What the gate wrote, in the words of an expectation: `1: 200`, `3: RST CANCEL`, in the order of
/// streams, then the last `GOAWAY`. Of a stream only its first end counts.
pub(crate) fn outcomes(mut bytes: &[u8]) -> Vec<String> {
    let mut streams = std::collections::BTreeMap::new();
    let mut farewell = None;
    while bytes.len() >= 9 {
        let length =
            usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let Some(payload) = bytes.get(9..9 + length) else {
            break;
        };
        let (kind, flags) = (bytes[3], bytes[4]);
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        let code = |at: usize| code(payload[at + 3]);
        match kind {
            HEADERS if flags & 0x4 != 0 => drop(streams.entry(stream).or_insert(status(payload))),
            RST_STREAM => drop(streams.entry(stream).or_insert(format!("RST {}", code(0)))),
            GOAWAY => farewell = Some(format!("GOAWAY {}", code(4))),
            _ => {}
        }
        bytes = &bytes[9 + length..];
    }
    let ends = streams
        .into_iter()
        .map(|(stream, end)| format!("{stream}: {end}"));
    ends.chain(farewell).collect()
}

/// The status at the beginning of a block. The gate was told to keep no table, so that it is there.
fn status(mut block: &[u8]) -> String {
    while block[0] & 0xe0 == 0x20 {
        block = &block[1..]; // the size of a table
    }
    match block[0] {
        0x88 => "200".to_owned(),
        0x8c => "400".to_owned(),
        0x8d => "404".to_owned(),
        0x8e => "500".to_owned(),
        0x08 | 0x18 | 0x48 if block[1] & 0x80 == 0 => {
            String::from_utf8_lossy(&block[2..5]).into_owned()
        }
        0x08 | 0x18 | 0x48 => huffman_digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
        other => panic!("a status cannot begin with {other:#x}"),
    }
}

/// Three digits (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn huffman_digits(coded: &[u8]) -> String {
    let bits: String = coded.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut digits, mut rest) = (String::new(), &bits[..]);
    while digits.len() < 3 {
        let five = u32::from_str_radix(&rest[..5], 2).expect("bits");
        let (digit, length) = if five < 3 {
            (five, 5)
        } else {
            (
                u32::from_str_radix(&rest[..6], 2).expect("bits") - 0x19 + 3,
                6,
            )
        };
        digits += &digit.to_string();
        rest = &rest[length..];
    }
    digits
}

fn code(code: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES[usize::from(code)]
}
