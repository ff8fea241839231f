//! How long a refusal takes tells nothing about how near a guess was: callgrind counts the same
//! number of instructions wherever the first wrong byte stands.
//!
//! The test runs itself under valgrind, in the profile that it was built with; without valgrind it
//! says that it was skipped.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail loudly, and say what they counted or skipped"
)]

#[path = "senders/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod senders;

use std::collections::HashMap;
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

/// A comparison that ends at the first wrong byte: that it shows proves that the count tells.
const CONTROL: &str = "a comparison that is not in constant time";

/// Guesses at one secret or signature: right but for one byte at each of [`POSITIONS`].
struct Case {
    name: &'static str,
    guesses: Vec<Box<dyn FnOnce() -> bool>>,
}

/// One comparison of each way in which something is compared.
fn cases() -> Vec<Case> {
    const TOKEN: &str = "an-admin-token-of-more-than-32-bytes";
    let admin = POSITIONS.map(|at| -> Box<dyn FnOnce() -> bool> {
        let (secret, guess) = (Secret::new("token", TOKEN), changed(TOKEN.as_bytes(), at));
        Box::new(move || secret.is(&guess))
    });
    let control = POSITIONS.map(|at| -> Box<dyn FnOnce() -> bool> {
        let guess = changed(TOKEN.as_bytes(), at);
        Box::new(move || TOKEN.bytes().zip(guess).all(|(one, other)| one == other))
    });
    vec![
        Case {
            name: CONTROL,
            guesses: control.into(),
        },
        Case {
            name: "the admin token",
            guesses: admin.into(),
        },
        signed("github", "x-hub-signature-256", "hex", "sha256="),
        signed("shopify", "x-shopify-hmac-sha256", "base64", ""),
        signed("standard-webhooks", "webhook-signature", "base64", "v1,"),
        signed("netlify", "x-webhook-signature", "base64url", "."),
        repeated("cloudglue", TOKEN, |token| token.to_owned()),
        repeated("postmark", &format!("user:{TOKEN}"), |login| {
            format!("Basic {}", STANDARD.encode(login))
        }),
    ]
}

/// A provider's signature, which stands behind `lead` in its header.
fn signed(provider: &'static str, header: &str, encoding: &str, lead: &str) -> Case {
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
    let (decode, encode): (fn(&str) -> Vec<u8>, fn(&[u8]) -> String) = match encoding {
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
    let guess = |at| format!("{before}{}", encode(&changed(&bytes, at)));
    case(provider, &sender, &genuine, header, guess)
}

/// A secret that travels as it is, behind what `spell` puts before it.
fn repeated(provider: &'static str, secret: &str, spell: fn(&str) -> String) -> Case {
    let mut sender = Sender::new(provider);
    (sender.signing, sender.verifying) = (secret.to_owned(), secret.to_owned());
    let genuine = request(&sender);
    let right = spell(secret);
    let mut headers = genuine.headers.iter();
    let (name, _) = headers
        .find(|(_, value)| *value == right)
        .expect("the secret");
    let guess = |at| {
        let guess = changed(secret.as_bytes(), at);
        spell(std::str::from_utf8(&guess).expect("letters"))
    };
    case(provider, &sender, &genuine, name, guess)
}

fn case(
    provider: &'static str,
    sender: &Sender,
    genuine: &Unsigned,
    header: &str,
    guess: impl Fn(usize) -> String,
) -> Case {
    // Whoever is the last to let go of it would have more to do.
    let verifier: &'static Verifier = Box::leak(Box::new(verifier(sender)));
    std::mem::forget(genuine.body.clone());
    let guesses = POSITIONS.map(|at| -> Box<dyn FnOnce() -> bool> {
        let mut received = received(genuine);
        let name: HeaderName = header.parse().expect("a name");
        let before = received
            .headers
            .insert(name, guess(at).parse().expect("a value"));
        assert!(
            verifier
                .verify(self::received(genuine), received.received_at)
                .is_ok()
        );
        assert!(before.is_some());
        Box::new(move || {
            let now = received.received_at;
            verifier.verify(received, now).is_ok()
        })
    });
    Case {
        name: provider,
        guesses: guesses.into(),
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
    // What is done once in a process is done before anything is counted.
    for case in cases() {
        assert!(
            case.guesses.into_iter().all(|guess| !guess()),
            "{}",
            case.name
        );
    }
    for case in cases() {
        for guess in case.guesses {
            assert!(!asked_for_the_record(guess), "{}", case.name);
        }
    }
}

/// The instructions of each guess, in order; `None` without valgrind.
fn counts() -> Option<Vec<u64>> {
    let place = tempfile::tempdir().expect("a temporary directory");
    let out = place.path().join("out");
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
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let dump = |number: usize| std::fs::read_to_string(format!("{}.{number}", out.display())).ok();
    let mut tally = Tally::default();
    let counts = (1..).map_while(dump).map(|dump| tally.count(&dump));
    Some(counts.collect())
}

/// Reads callgrind's dumps, in which a name is written out once and is a number from then on.
#[derive(Default)]
struct Tally {
    files: HashMap<String, String>,
}

impl Tally {
    /// The instructions in a dump but those of the C library: what its allocator does depends on what
    /// was freed before, and what its comparisons do (of header names) on where a page ends.
    fn count(&mut self, dump: &str) -> u64 {
        let (mut total, mut in_library, mut of_callee) = (0, false, false);
        let mut file = String::new();
        for line in dump.lines() {
            if let Some(name) = line.strip_prefix("fl=") {
                let (number, name) = name.split_once(' ').unwrap_or((name, ""));
                let known = self.files.entry(number.to_owned());
                file = known.or_insert_with(|| name.to_owned()).clone();
            } else if line.starts_with("fn=") {
                in_library = file.contains("malloc") || file.starts_with("./string/");
            } else if line.starts_with("calls=") {
                of_callee = true;
            } else if line.starts_with(['+', '-', '*'])
                || line.starts_with(|c: char| c.is_ascii_digit())
            {
                let cost = line
                    .split(' ')
                    .nth(1)
                    .and_then(|cost| cost.parse::<u64>().ok());
                if !in_library && !of_callee {
                    total += cost.unwrap_or_default();
                }
                of_callee = false;
            }
        }
        total
    }
}

#[test]
fn a_refusal_takes_the_same_instructions_wherever_the_guess_is_wrong() {
    let Some(counts) = counts() else {
        println!("constant time: skipped, valgrind is not installed");
        return;
    };
    let cases = cases();
    assert_eq!(counts.len(), cases.len() * POSITIONS.len());
    let mut said = Vec::new();
    for (case, counts) in cases.iter().zip(counts.chunks(POSITIONS.len())) {
        let equal = counts.iter().all(|count| *count == counts[0]);
        assert_eq!(equal, case.name != CONTROL, "{}: {counts:?}", case.name);
        if !equal {
            continue;
        }
        said.push(format!("{} {}", case.name, counts[0]));
    }
    println!(
        "constant time: equal instructions for a wrong byte at {POSITIONS:?}: {}",
        said.join(", ")
    );
}
