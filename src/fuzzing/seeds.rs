//! Where fuzzing starts: the published vectors, what the catalogue's senders send, the shipped files.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::config::DEFAULTS;
use crate::providers::Catalogue;
use crate::verify::fuzzing::{Known, foreign, known};

type Seeds = Vec<Vec<u8>>;

/// Requests of other people's making, with the provider that they are for.
static VECTORS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let vectors = serde_json::from_str(include_str!("../../tests/vectors.json"));
    let vectors: Vec<Value> = vectors.unwrap_or_default();
    let text = |vector: &Value, key: &str| vector[key].as_str().unwrap_or_default().to_owned();
    let vectors = vectors.iter().map(|vector| {
        let url = text(vector, "url");
        let path = url
            .match_indices('/')
            .nth(2)
            .map_or("/", |(at, _)| &url[at..]);
        let mut request = format!("{} {path} HTTP/1.1\n", text(vector, "method"));
        for (name, value) in vector["headers"].as_object().into_iter().flatten() {
            let _ = writeln!(request, "{name}: {}", value.as_str().unwrap_or_default());
        }
        let request = format!("{request}\n{}", text(vector, "body"));
        (text(vector, "provider"), request.into_bytes())
    });
    vectors.collect()
});

/// A request of each sender, signed with a secret that its source does not have.
static SENT: LazyLock<Vec<(&'static Known, Vec<u8>)>> = LazyLock::new(|| {
    let sent = known().iter().filter_map(|known| {
        let received = foreign(known)?;
        let mut head = format!("{} {} HTTP/1.1\n", received.method, received.target).into_bytes();
        for (name, value) in &received.headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
        }
        head.push(b'\n');
        head.extend(&received.body);
        Some((known, head))
    });
    sent.collect()
});

fn lines(lines: &[&str]) -> Seeds {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn named(name: &str, rest: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", rest].concat()
}

/// Requests as text.
pub(super) fn requests() -> Seeds {
    let vectors = VECTORS.iter().map(|(_, request)| request.clone());
    let odd = lines(&[
        "POST https://hooks.example.com/a?b=c HTTP/1.1\r\nHost: a\r\nConnection: close, x-a\r\nx-a: 1\r\nX-B: 2\r\n\r\nbody",
        "POST /a HTTP/1.1\nhookgate-event-id: x\nHOOKGATE_ATTEMPT: 1\nte: trailers\nupgrade: h2c\nb: 1\na: 2\nb: 3\n\n",
    ]);
    vectors.step_by(3).chain(odd).collect()
}

/// Requests with the source that they are for.
pub(super) fn addressed() -> Seeds {
    let vectors = VECTORS
        .iter()
        .map(|(provider, request)| named(provider, request));
    let sent = SENT
        .iter()
        .map(|(known, request)| named(&known.sender.source, request));
    vectors.chain(sent).collect()
}

/// Some of them, for what takes longer.
pub(super) fn refused() -> Seeds {
    addressed().into_iter().step_by(5).collect()
}

pub(super) fn procedures() -> Seeds {
    let by_code = |known: &Known| known.sender.scheme().kind == crate::providers::Kind::Code;
    let sent = SENT.iter().filter(|(known, _)| by_code(known));
    let names: Vec<_> = sent
        .clone()
        .map(|(known, _)| &*known.sender.source)
        .collect();
    let vectors = VECTORS
        .iter()
        .filter(|(provider, _)| names.contains(&&**provider));
    let vectors = vectors.map(|(provider, request)| named(provider, request));
    let sent = sent.map(|(known, request)| named(&known.sender.source, request));
    vectors.chain(sent).collect()
}

pub(super) fn signing() -> Seeds {
    let senders = known().iter();
    let samples = senders.flat_map(|known| {
        let own = named(&known.sender.source, b"evt1\n\0\0\x20\0");
        let body = [&*own, b"{\"id\":\"evt1\",\"type\":\"a\"}"].concat();
        [own, body]
    });
    samples.collect()
}

pub(super) fn challenges() -> Seeds {
    let asks = [
        "GET /?crc_token=abc&challenge=abc&hub.mode=subscribe&hub.challenge=1&hub.verify_token=x&validationToken=a&bt_challenge=0a HTTP/1.1\n\n",
        "POST /?validationToken=abc HTTP/1.1\n\n",
        "POST / HTTP/1.1\ncontent-type: application/json\n\n{\"challenge\":\"abc\"}",
        "POST / HTTP/1.1\nx-hook-secret: 0123456789abcdef\n\n{}",
    ];
    let with = known()
        .iter()
        .filter(|known| !known.sender.provider.challenges.is_empty());
    let asked = with.clone().flat_map(|known| {
        let source = &known.sender.source;
        asks.map(|ask| named(source, ask.as_bytes()))
    });
    let sources: Vec<_> = with.map(|known| &*known.sender.source).collect();
    let sent = SENT
        .iter()
        .filter(|(known, _)| sources.contains(&&*known.sender.source));
    let sent = sent.map(|(known, request)| named(&known.sender.source, request));
    asked.chain(sent).collect()
}

pub(super) fn provider_files() -> Seeds {
    let shipped = crate::providers::fuzzing::shipped();
    shipped
        .iter()
        .map(|(_, text)| text.as_bytes().to_vec())
        .collect()
}

pub(super) fn templates() -> Seeds {
    let mut templates: Vec<String> = Vec::new();
    for provider in Catalogue::embedded().iter() {
        let contents = provider
            .schemes
            .iter()
            .filter_map(|scheme| scheme.content.as_ref());
        templates.extend(
            contents
                .flat_map(|content| &content.0)
                .map(|one| one.as_str().to_owned()),
        );
    }
    templates.push("{header:a}--{header:b}--{body}".to_owned());
    templates.push("{header:a}.{header:b|free}.{header:c}".to_owned());
    templates.sort();
    templates.dedup();
    let request = "POST /x?id=1 HTTP/1.1\na: x\nb: y\nc: z\n\nbody";
    let dashes = "POST /x HTTP/1.1\na: x-\nb: -y-\n\n-body";
    let each = templates
        .iter()
        .flat_map(|template| [request, dashes].map(|request| named(template, request.as_bytes())));
    each.collect()
}

pub(super) fn value_sources() -> Seeds {
    let mut texts = Vec::new();
    for provider in Catalogue::embedded().iter() {
        let event = &provider.event;
        let sources = event.id.0.iter().chain(&event.key).chain(&event.kind.0);
        texts.extend(sources.map(|source| source.as_str().to_owned()));
    }
    texts.extend(
        [
            "header:{config:name}",
            "headers:X-",
            "sig:t",
            "jwt:sub",
            "item:/a~1b?",
        ]
        .map(str::to_owned),
    );
    texts.sort();
    texts.dedup();
    let answer = b"{hmac_sha256_hex:query:crc_token} {header:X-A}";
    texts.iter().map(|text| named(text, answer)).collect()
}

pub(super) fn configs() -> Seeds {
    let own = "[sources.a]\nprovider = \"stripe\"\nsecret = \"s3cret-of-stripe\"\n\
               [sources.b]\nprovider = \"hmac\"\nsecrets = [{ value = \"s3cret-old-one\", not_after = 2026-12-31T00:00:00Z }]\n\
               [sources.b.scheme]\ncontent = \"{timestamp}.{body}\"\n[sources.b.scheme.timestamp]\nfrom = \"header:t\"\n\
               [sources.c]\nprovider = \"sieve\"\nunsigned = true\nallow_from = [\"192.0.2.0/24\"]\ndedup = { window = \"7d\", key = [\"json:/id\"] }\n\
               [sources.d]\nprovider = \"sieve\"\nunsigned = true\ntoken = { value = \"s3cret-token-of-d\" }\nrate = { per_second = 5, burst = 9 }\n\
               [app]\nsign_secret = \"s3cret-to-the-app\"\nretry = { first = \"1s\", max = \"1h\" }\n";
    let wrong = "[sources.a]\nsecret = [\"s3cret-in-a-list\"]\nsecrt = \"s3cret-misspelt-key\"\nprovider = 1\n[server]\nlisten = 5\n";
    lines(&[DEFAULTS, own, wrong])
}

pub(super) fn queries() -> Seeds {
    lines(&[
        "source=a&state=dead&type=t&id=evt_0190a5b4c3d27e8f9a0b1c2d3e4f5a6b&since=2026-01-31T12:00:00Z&limit=5&cursor=ff\nlocalhost:9090",
        "state=lost\n[::1]:9090",
        "limit=0&cursor=+1\n127.0.0.1",
        "x=y\nlocalhost.evil.example:80",
    ])
}

pub(super) fn paths() -> Seeds {
    lines(&[
        "/webhooks/stripe?x=1\nhost: a\ncontent-length: 10\n\n",
        "/a%2fb\nhost: a\n\n",
        "/a%2Fb\nhost: a\n\n",
        "/a%5Cb\nhost: a\n\n",
        "/a/%2E%2E/b\nhost: a\n\n",
        "/a/../b;c//d\\%00\nhost: a\n\n",
        "http://a.example/x\nHost: A.example\ntransfer-encoding: chunked\n\n",
        "/x\nhost: a\nhost: b\nhookgate_event-id: 1\ncontent-length: 007\n\n",
    ])
}

pub(super) fn hops() -> Seeds {
    lines(&[
        "\x01203.0.113.7, 198.51.100.1, 10.0.0.2",
        "\x01forged, 10.0.0.3\n10.0.0.4",
        "\x02::ffff:10.0.0.5,fd00::1",
        "\x00198.51.100.1",
    ])
}

pub(super) fn retry_after() -> Seeds {
    lines(&[
        "\x01\x00\x00\x0030",
        "\x02\x00\x00\x0018446744073709551615",
        "\x03\x00\x00\x00Wed, 01 Jan 2025 00:05:00 GMT",
        "\x03\x00\x00\x00Fri, 31 Dec 9999 23:59:59 GMT",
    ])
}

pub(super) fn addresses() -> Seeds {
    lines(&[
        "https://api.example.com/a?b=c",
        "HTTPS://Api.PayPal.com",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
        "https://api.paypal.com@evil.example/",
        "https://a..paypal.com:443/#",
    ])
}

pub(super) fn timestamps() -> Seeds {
    lines(&[
        "\x001735689600",
        "\x011735689600123",
        "\x022025-01-01T00:00:00.123Z",
        "\x022025-01-01T01:00:00+01:00",
        "\x032025-01-01T00:00:00.123456",
    ])
}

pub(super) fn forms() -> Seeds {
    lines(&[
        "id\n\x01id=evt%201&type=a+b&id=evt+1",
        "a b\n\x01a+b=1&a%20b=2&=&%zz=%4",
        "id\n\x00--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nevt\r\n--x--",
    ])
}

pub(super) fn json_ids() -> Seeds {
    let sent = SENT.iter().map(|(known, request)| {
        let body = request
            .windows(2)
            .position(|two| two == b"\n\n")
            .unwrap_or(0)
            + 2;
        let body = request.get(body..).unwrap_or_default();
        named(&known.sender.source, &named("data/object/id", body))
    });
    let odd = lines(&[
        "stripe\nid\n{\"id\":\"a\",\"id\":\"b\"}",
        "stripe\nid\n{\"ID\":\"a\",\"id\":18446744073709551616}",
        "stripe\na/0/id\n{\"a\":[{\"id\":\"\\u0041\\ud83d\\ude00\"}],\"id\":\"\\u00e9\"}",
        "stripe\n0\n[\"\",\"\\u0000\",1.5,-7,true,null]",
    ]);
    sent.chain(odd).collect()
}

pub(super) fn tokens() -> Seeds {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = "{\"iss\":\"a\",\"aud\":[\"b\"],\"exp\":1735689700,\"nbf\":1735689000.5,\"iat\":1735689600}";
    let headers = [
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"RS256\",\"kid\":\"one\"}",
        "{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}",
        "{\"alg\":\"none\"}",
    ];
    let mut seeds = vec![format!("\0\0\0{claims}").into_bytes()];
    for header in headers {
        let signature = encode(&"s".repeat(32));
        seeds.push(
            format!("\0\x09\0{}.{}.{signature}", encode(header), encode(claims)).into_bytes(),
        );
        seeds.push(format!("\x01\x09\0{}..{signature}", encode(header)).into_bytes());
    }
    seeds
}

pub(super) fn public_keys() -> Seeds {
    let keys = known()
        .iter()
        .filter(|one| one.sender.verifying != one.sender.signing);
    let keys = keys.map(|one| &*one.sender.verifying);
    let mut keys: Vec<_> = keys.collect();
    keys.push("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"use\":\"sig\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
    keys.sort_unstable();
    keys.dedup();
    let of = |key: &str| {
        let form = match key {
            key if key.starts_with("-----") => 0,
            key if key.starts_with('{') => 2,
            _ => 1,
        };
        [&[form][..], b"signature\n", key.as_bytes()].concat()
    };
    keys.into_iter().map(of).collect()
}

pub(super) fn records() -> Seeds {
    let numbers = 0..13_u8;
    let seeds = numbers.map(|column| {
        let request = "POST /x HTTP/1.1\na: b\n\n{\"id\":1}";
        let head = [column, column, 7, 0];
        [
            &head[..],
            b"other\nevt_1\norder.created\n",
            request.as_bytes(),
        ]
        .concat()
    });
    seeds.collect()
}
