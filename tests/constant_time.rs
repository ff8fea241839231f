//! How long a refusal takes tells nothing about how near a guess was: callgrind counts the same
//! number of instructions wherever the first wrong byte stands.
//!
//! The test runs itself under valgrind, in the profile that it was built with; without valgrind it
//! says that it was skipped. Each place of the wrong byte has a run of its own, and all runs do the
//! same in the same order, so that everything has the same address in each of them. Within one run that is not
//! so, and the C library's work depends on it: its allocator's on what was freed before, its
//! comparisons' (of a header's prefix) on where a page ends.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly, and say what they counted or skipped"
)]

#[path = "senders/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod senders;

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookgate::clock::UnixMillis;
use hookgate::event::Received;
use hookgate::secret::Secret;
use hookgate::verify::{Config, Unsigned, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use senders::{PUBLIC_URL, Sender};

/// 2025-01-01T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_735_689_600_000);

/// Where the wrong byte stands.
const POSITIONS: [usize; 4] = [0, 7, 15, 31];

/// Tells a run under valgrind where.
const PLACE: &str = "HOOKGATE_TEST_PLACE";

/// A comparison that ends at the first wrong byte: that it shows proves that the count tells.
const CONTROL: &str = "a comparison that is not in constant time";

/// A guess at a secret or a signature: right but for one byte.
struct Case {
    name: &'static str,
    guess: Box<dyn FnOnce() -> bool>,
}

/// One comparison of each way in which something is compared, with the wrong byte at this place.
fn cases(at: usize) -> Vec<Case> {
    const TOKEN: &str = "an-admin-token-of-more-than-32-bytes";
    let (token, guess) = (Secret::new("token", TOKEN), changed(TOKEN.as_bytes(), at));
    let admin = move || token.is(&guess);
    let guess = changed(TOKEN.as_bytes(), at);
    let control = move || TOKEN.bytes().zip(guess).all(|(one, other)| one == other);
    vec![
        Case {
            name: CONTROL,
            guess: Box::new(control),
        },
        Case {
            name: "the admin token",
            guess: Box::new(admin),
        },
        signed("github", "x-hub-signature-256", "hex", "sha256=", at),
        signed("shopify", "x-shopify-hmac-sha256", "base64", "", at),
        signed(
            "standard-webhooks",
            "webhook-signature",
            "base64",
            "v1,",
            at,
        ),
        signed("netlify", "x-webhook-signature", "base64url", ".", at),
        repeated("cloudglue", TOKEN, str::to_owned, at),
        repeated("postmark", &format!("user:{TOKEN}"), basic, at),
    ]
}

type Decode = fn(&str) -> Vec<u8>;
type Encode = fn(&[u8]) -> String;

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// A provider's signature, which stands behind `lead` in its header.
fn signed(provider: &'static str, header: &str, encoding: &str, lead: &str, at: usize) -> Case {
    let sender = Sender::new(provider);
    let genuine = request(&sender);
    let mut headers = genuine.headers.iter();
    let value = headers.find(|(name, _)| name.eq_ignore_ascii_case(header));
    let (_, value) = value.expect("a signature");
    let start = match lead {
        "" => 0,
        lead => value.rfind(lead).expect("the lead") + lead.len(),
    };
    let (before, text) = value.split_at(start);
    let (decode, encode): (Decode, Encode) = match encoding {
        "hex" => (
            |text| hex::decode(text).expect("hex"),
            |bytes| hex::encode(bytes),
        ),
        "base64" => (
            |text| STANDARD.decode(text).expect("base64"),
            |bytes| STANDARD.encode(bytes),
        ),
        _ => (
            |text| URL_SAFE_NO_PAD.decode(text).expect("base64url"),
            |bytes| URL_SAFE_NO_PAD.encode(bytes),
        ),
    };
    let bytes = decode(text);
    let guess = format!("{before}{}", encode(&changed(&bytes, at)));
    case(provider, &sender, &genuine, header, &guess)
}

/// A secret that travels as it is, behind what `spell` puts before it.
fn repeated(provider: &'static str, secret: &str, spell: fn(&str) -> String, at: usize) -> Case {
    let mut sender = Sender::new(provider);
    (sender.signing, sender.verifying) = (secret.to_owned(), secret.to_owned());
    let genuine = request(&sender);
    let right = spell(secret);
    let mut headers = genuine.headers.iter();
    let (name, _) = headers
        .find(|(_, value)| *value == right)
        .expect("the secret");
    let guess = changed(secret.as_bytes(), at);
    let guess = spell(std::str::from_utf8(&guess).expect("letters"));
    case(provider, &sender, &genuine, name, &guess)
}

fn case(
    provider: &'static str,
    sender: &Sender,
    genuine: &Unsigned,
    header: &str,
    guess: &str,
) -> Case {
    // Whoever is the last to let go of it would have more to do.
    let verifier: &'static Verifier = Box::leak(Box::new(verifier(sender)));
    std::mem::forget(genuine.body.clone());
    let mut received = received(genuine);
    let now = received.received_at;
    assert!(verifier.verify(self::received(genuine), now).is_ok());
    let name: HeaderName = header.parse().expect("a name");
    let guess = guess.parse().expect("a value");
    assert!(received.headers.insert(name, guess).is_some());
    Case {
        name: provider,
        guess: Box::new(move || verifier.verify(received, now).is_ok()),
    }
}

fn request(sender: &Sender) -> Unsigned {
    let mut samples = sender.provider.samples_of(sender.variant.as_deref());
    let sample = samples.next().expect("a sample");
    let mut request = Unsigned {
        method: Method::POST,
        url: format!("{PUBLIC_URL}/webhooks/test"),
        headers: sample.headers.clone().into_iter().collect(),
        body: sample.body.clone().into(),
    };
    sender.sign(&mut request, NOW, "evt_1");
    request
}

fn received(request: &Unsigned) -> Received {
    let header = |(name, value): &(String, String)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, value.parse::<HeaderValue>().expect("a value"))
    };
    Received {
        received_at: NOW,
        peer: None,
        method: request.method.clone(),
        target: "/webhooks/test".into(),
        path_token: None,
        headers: request.headers.iter().map(header).collect::<HeaderMap>(),
        body: request.body.clone(),
    }
}

fn verifier(sender: &Sender) -> Verifier {
    let verifier = Verifier::new(Config {
        source: "test".into(),
        provider: Arc::clone(&sender.provider),
        variant: sender.variant.clone(),
        secrets: vec![Secret::new("secret", sender.verifying.as_bytes())],
        values: sender.values.clone(),
        public_url: Some(PUBLIC_URL.to_owned()),
        tolerance: None,
        dedup_key: None,
        allow_from: Vec::new(),
        observe: false,
        capture: false,
        confirm: false,
    });
    verifier.unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The bytes with another one at this place, which looks like the one that it replaces: reading the
/// sender's own spelling of a digit may well take another time than that of a letter.
fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let alike = |one: u8, other: u8| {
        let letters = |byte: u8| [byte >> 4 > 9, byte & 15 > 9, byte.is_ascii_lowercase()];
        one != other && letters(one) == letters(other)
    };
    let mut changed = bytes.to_vec();
    let others = b'a'..=u8::MAX;
    let other = others.chain(0..b'a').find(|other| alike(bytes[at], *other));
    changed[at] = other.expect("another byte");
    changed
}

/// What callgrind counts.
#[inline(never)]
fn asked_for_the_record(guess: Box<dyn FnOnce() -> bool>) -> bool {
    black_box(guess())
}

/// Asks everything; run under callgrind by the test below.
#[test]
#[ignore = "the part that is counted"]
fn counted_part() {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let place = std::env::var(PLACE).expect("where the wrong byte is");
    let place = place.parse().expect("a number");
    // What is done once in a process is done before anything is counted.
    for case in cases(place) {
        assert!(!(case.guess)(), "{}", case.name);
    }
    for case in cases(place) {
        assert!(!asked_for_the_record(case.guess), "{}", case.name);
    }
}

/// The instructions of each case with the wrong byte at this place; `None` without valgrind.
fn counts(place: usize) -> Option<Vec<u64>> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("out");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=constant_time::asked_for_the_record",
        ])
        .arg("--dump-after=constant_time::asked_for_the_record")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "counted_part", "--ignored", "--test-threads=1"])
        // As long a text for each, so that the stack begins at the same address.
        .env(PLACE, format!("{place:02}"))
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let dump = |number: usize| std::fs::read_to_string(format!("{}.{number}", out.display())).ok();
    Some((1..).map_while(dump).map(|dump| total(&dump)).collect())
}

/// The instructions in one of callgrind's dumps.
fn total(dump: &str) -> u64 {
    let mut lines = dump.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "));
    total.expect("a total").trim().parse().expect("a number")
}

#[test]
fn a_refusal_takes_the_same_instructions_wherever_the_guess_is_wrong() {
    let counts: Option<Vec<_>> = POSITIONS.into_iter().map(counts).collect();
    let Some(counts) = counts else {
        println!("constant time: skipped, valgrind is not installed");
        return;
    };
    let mut said = Vec::new();
    for (at, case) in cases(0).iter().enumerate() {
        let counts: Vec<u64> = counts.iter().map(|run| run[at]).collect();
        let equal = counts.iter().all(|count| *count == counts[0]);
        assert_eq!(equal, case.name != CONTROL, "{}: {counts:?}", case.name);
        if equal {
            said.push(format!("{} {}", case.name, counts[0]));
        }
    }
    println!(
        "constant time: equal instructions for a wrong byte at {POSITIONS:?}: {}",
        said.join(", ")
    );
}
