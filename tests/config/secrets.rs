//! No source starts without a secret that means something, whatever its provider and wherever its
//! secret comes from.
//!
//! `HOOKGATE_TEST_STARTS=all` tries every provider in every way instead of one of each sort.

#[path = "../senders/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod senders;

use std::collections::BTreeSet;

use hookgate::config::{Config, Inputs};
use hookgate::providers::Kind;
use tempfile::TempDir;

use senders::{PUBLIC_URL, Sender};

/// What a secret, or the file that it is in, may be instead of one.
const NOTHING: [(&str, &str); 10] = [
    ("nothing", ""),
    ("a space", " "),
    ("spaces of all kinds", " \t\u{a0}\u{2003}"),
    ("a line break", "\n"),
    ("line breaks", "\r\n\r\n"),
    ("a byte order mark", "\u{feff}"),
    ("one and a line break", "\u{feff}\n"),
    ("zeros", "\0\0\0\0"),
    ("a space of no width", "\u{200b}"),
    ("a prefix alone", "whsec_"),
];

/// Settings of a source, in the words of the command line.
struct Matrix {
    place: TempDir,
    tried: usize,
}

impl Matrix {
    fn new() -> Self {
        Self {
            place: tempfile::tempdir().expect("a temporary directory"),
            tried: 0,
        }
    }

    fn file(&self, content: &[u8]) -> String {
        let file = self.place.path().join(format!("secret-{}", self.tried));
        std::fs::write(&file, content).expect("a file");
        file.display().to_string()
    }

    /// All that the source needs beside its secret.
    fn load(sender: &Sender, settings: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let key = |name: &str| format!("sources.{}.{name}", sender.source);
        let mut flags = vec![
            (key("provider"), sender.provider.id.clone()),
            ("server.public_url".to_owned(), PUBLIC_URL.to_owned()),
        ];
        flags.extend(
            sender
                .variant
                .clone()
                .map(|variant| (key("variant"), variant)),
        );
        if sender.scheme().kind == Kind::None {
            flags.push((key("unsigned"), "true".to_owned()));
            flags.push((key("path"), format!("/{}/{{token}}", sender.source)));
        }
        for (name, value) in &sender.values {
            flags.push((key(&format!("values.{name}")), value.to_string()));
        }
        let settings = settings.iter();
        flags.extend(settings.map(|(name, value)| (key(name), (*value).to_owned())));
        let inputs = Inputs {
            flags,
            ..Inputs::default()
        };
        let faults = |faults: hookgate::config::Faults| {
            let faults = faults.0.iter();
            faults.map(ToString::to_string).collect()
        };
        Config::load(&inputs).map_err(faults)
    }

    #[track_caller]
    fn refuses(&mut self, sender: &Sender, what: &str, settings: &[(&str, &str)]) {
        self.tried += 1;
        let faults = Self::load(sender, settings).err();
        let source = &sender.source;
        let faults = faults.unwrap_or_else(|| panic!("{source} starts with {what}: {settings:?}"));
        let about = |fault: &String| {
            let key = format!("sources.{source}.");
            fault.contains(&key) && ["secret", "token"].iter().any(|word| fault.contains(word))
        };
        assert!(faults.iter().any(about), "{source} with {what}: {faults:?}");
    }
}

#[test]
fn no_source_starts_without_a_secret_that_means_something() {
    let mut matrix = Matrix::new();
    let mut seen = BTreeSet::new();
    for sender in Sender::all() {
        let token = sender.scheme().kind == Kind::None;
        let (secret, file) = match token {
            true => ("token", "token_file"),
            false => ("secret", "secret_file"),
        };
        let right = &sender.verifying;
        let loaded = Matrix::load(&sender, &[(secret, right)]);
        assert!(loaded.is_ok(), "{}: {:?}", sender.source, loaded.err());
        if sender.scheme().fetch.is_none() {
            matrix.refuses(&sender, "none", &[]);
        }
        let scheme = sender.scheme();
        let alike = format!("{:?} {:?} {:?}", scheme.kind, scheme.key, scheme.code);
        if !seen.insert(alike) && !with_all() {
            continue;
        }
        for (what, text) in NOTHING {
            // A token may be any text.
            if text == "whsec_" && !takes_whsec(&sender) {
                continue;
            }
            matrix.refuses(&sender, what, &[(secret, text)]);
            let path = matrix.file(text.as_bytes());
            matrix.refuses(&sender, what, &[(file, &path)]);
            if !token {
                let list = format!("[{{ file = \"{path}\" }}]");
                matrix.refuses(&sender, what, &[("secrets", &list)]);
            }
        }
        let directory = matrix.place.path().display().to_string();
        matrix.refuses(&sender, "a directory", &[(file, &directory)]);
        matrix.refuses(&sender, "no file", &[(file, "./nowhere/at/all")]);
        let marked = [b"\xef\xbb\xbf", right.as_bytes()].concat();
        let path = matrix.file(&marked);
        matrix.refuses(&sender, "a byte order mark in front", &[(file, &path)]);
    }
    println!("secrets: {} starts without a secret refused", matrix.tried);
    assert!(matrix.tried > 500, "{}", matrix.tried);
}

/// Whether every provider is tried in every way, and not one of each sort.
#[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
fn with_all() -> bool {
    std::env::var("HOOKGATE_TEST_STARTS").is_ok_and(|which| which == "all")
}

fn takes_whsec(sender: &Sender) -> bool {
    sender.verifying.starts_with("whsec_")
}

#[test]
fn a_secret_that_can_be_guessed_is_a_warning() {
    let sender = Sender::new("github");
    for (secret, expected) in [
        ("s", true),
        ("fifteen-letters", true),
        ("sixteen--letters", false),
    ] {
        let config = Matrix::load(&sender, &[("secret", secret)]).expect("valid");
        let is_short = |warning: &String| warning.contains("sources.github: secret is short");
        assert_eq!(config.warnings.iter().any(is_short), expected, "{secret}");
    }
}

#[test]
fn two_sources_share_no_key_however_it_is_written() {
    let base64 = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hex = "00112233445566778899aabbccddeeff";
    let load = |one: (&str, &str), other: (&str, &str), shared: bool| {
        let mut flags = Vec::new();
        for (name, (provider, secret)) in [("a", one), ("b", other)] {
            let mut set = |key: &str, value: &str| {
                flags.push((format!("sources.{name}.{key}"), value.to_owned()))
            };
            set("provider", provider);
            set("secret", secret);
            if shared {
                set("allow_shared_secret", "true");
            }
        }
        let inputs = Inputs {
            flags,
            ..Inputs::default()
        };
        Config::load(&inputs)
            .map(drop)
            .map_err(|faults| faults.to_string())
    };
    let (short, padded) = (
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=",
    );
    let prefixed = format!("whsec_{base64}");
    let upper = hex.to_uppercase();
    for (one, other) in [
        (("svix", &*prefixed), ("standard-webhooks", &*prefixed)),
        (("svix", &prefixed), ("standard-webhooks", base64)),
        (("svix", short), ("standard-webhooks", padded)),
        (("adyen", hex), ("squarespace", &upper)),
        (
            ("github", "one and the same secret"),
            ("stripe", "one and the same secret"),
        ),
    ] {
        let fault = load(one, other, false).expect_err("they share a key");
        assert!(fault.contains("is also the secret of source a"), "{fault}");
        assert_eq!(load(one, other, true), Ok(()), "{other:?}");
    }
    assert_eq!(
        load(
            ("github", "one secret of a source"),
            ("stripe", "another secret of one"),
            false
        ),
        Ok(())
    );
}
