//! The configuration from outside: what is refused, in which words, and what can be set at all.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod bad;
mod own;
mod page;
mod schema;
mod secrets;
mod shipped;
mod validator;

use std::path::Path;
use std::process::{Command, Output};

use bad::{Bad, Expected};
use hookgate::config::{Config, Fault, Inputs, show};
use tempfile::TempDir;

const TLS_FILES: [&str; 3] = ["certificate.pem", "key.pem", "other-key.pem"];
/// A secret in the form that every provider takes.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_defaults_alone_are_valid() {
    let config = Config::load(&Inputs::default());
    assert_eq!(
        config.map(drop).map_err(|faults| faults.to_string()),
        Ok(())
    );
}

#[test]
fn every_mistake_is_answered_with_its_key_its_origin_and_a_way_out() {
    let place = Place::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for bad in bad::all() {
        count += 1;
        let inputs = place.inputs(bad);
        let faults = match Config::load(&inputs) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.0,
        };
        if !place.matches(&faults, bad.faults) {
            let found: Vec<_> = faults
                .iter()
                .map(|fault| format!("  found {fault}"))
                .collect();
            wrong.push(format!(
                "{}\n{:?}\n{}",
                bad.file,
                bad.environment,
                found.join("\n")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(count >= 60, "{count}");
}

#[test]
fn no_secret_is_in_an_error_in_what_is_shown_or_in_debug_output() {
    let place = Place::new();
    for bad in bad::all() {
        let inputs = place.inputs(bad);
        let faults = Config::load(&inputs).err();
        let shown = show(&inputs).unwrap_or_else(|faults| faults.to_string());
        for text in [
            faults.as_ref().map(ToString::to_string).unwrap_or_default(),
            format!("{faults:?} {inputs:?}"),
            shown,
        ] {
            assert!(
                !text.contains("canary") && !text.contains("4711"),
                "{}\n{text}",
                bad.file
            );
        }
    }
}

#[test]
fn the_program_refuses_a_bad_configuration_with_exit_code_2() {
    let place = Place::new();
    let sample = bad::all().filter(|bad| bad.flags.is_empty()).step_by(9);
    for (bad, command) in sample.zip(["check", "run"].iter().cycle()) {
        let inputs = place.inputs(bad);
        let output = place.hookgate(&[command], bad.environment, inputs.file.as_deref());
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{}\n{printed}", bad.file);
        for (key, origin, message) in bad.faults {
            let parts = [*key, *origin, &place.fill(message)];
            let said = |line: &str| parts.iter().all(|part| line.contains(part));
            assert!(printed.lines().any(said), "{}\n{printed}", bad.file);
        }
        assert!(!printed.contains("canary"), "{printed}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_file_that_is_missing_or_not_text_is_named() {
    let place = Place::new();
    let load = |name: &str| {
        let inputs = Inputs {
            file: Some(place.0.path().join(name)),
            ..Inputs::default()
        };
        Config::load(&inputs)
            .map(drop)
            .map_err(|faults| faults.to_string())
    };
    let missing = load("nowhere.toml").expect_err("no such file");
    assert!(missing.contains("nowhere.toml: No such file"), "{missing}");
    std::fs::write(place.0.path().join("binary.toml"), [0xff, 0xfe]).expect("a file");
    assert!(
        load("binary.toml")
            .expect_err("not text")
            .contains("binary.toml: ")
    );
}

#[test]
fn the_environment_alone_suffices() {
    let place = Place::new();
    let environment = [
        ("HOOKGATE__SERVER__LISTEN", "127.0.0.1:0,unix:/tmp/a"),
        ("HOOKGATE__SERVER__BODY_MAX", "1MiB"),
        ("HOOKGATE__SERVER__REJECTIONS_PER_PEER__PER_SECOND", "0"),
        (
            "HOOKGATE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8, 192.168.0.0/16",
        ),
        ("HOOKGATE__APP__URL", "http://app:3000"),
        ("HOOKGATE__APP__ALLOW_REMOTE", "true"),
        ("HOOKGATE__APP__CONCURRENCY", "4"),
        ("HOOKGATE__APP__DEAD_LETTER_ON", "410, 404"),
        ("HOOKGATE__APP__RETRY__MAX", "10m"),
        ("HOOKGATE__STORE__KEEP__DELIVERED", "0s"),
        ("HOOKGATE__SOURCES__A__PROVIDER", "stripe"),
        (
            "HOOKGATE__SOURCES__A__SECRETS",
            "[{ value = \"one\" }, { file = '{dir}/secret', not_after = 2030-01-01T00:00:00Z }]",
        ),
        ("HOOKGATE__SOURCES__A__DEDUP__KEY", "json:/id,header:X-Id"),
        ("HOOKGATE__SOURCES__B__PROVIDER", "sieve"),
        ("HOOKGATE__SOURCES__B__UNSIGNED", "true"),
        ("HOOKGATE__SOURCES__B__ALLOW_FROM", "192.0.2.0/24"),
        ("HOOKGATE__SOURCES__C__PROVIDER", "hmac"),
        ("HOOKGATE__SOURCES__C__SECRET", "three"),
        (
            "HOOKGATE__SOURCES__C__SCHEME__SIGNATURE__FROM",
            "header:X-Mine",
        ),
        ("HOOKGATE__SOURCES__D__PROVIDER", "jigsawstack"),
        ("HOOKGATE__SOURCES__D__VARIANT", "derived"),
        ("HOOKGATE__SOURCES__D__SECRET", "four"),
        ("HOOKGATE__SOURCES__D__VALUES__MESSAGE", "hello"),
    ];
    let config =
        Config::load(&place.environment(&environment)).map_err(|faults| faults.to_string());
    let config = config.expect("a valid configuration");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.forward.concurrency, 4);
    assert_eq!(config.forward.dead_letter_on, [410, 404]);
    assert_eq!(config.ingress.trusted_proxies.len(), 2);
    assert!(config.ingress.rejections_per_peer.is_none());
    assert!(config.store.keep.delivered.is_zero());
    let names: Vec<_> = config
        .ingress
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let labels: Vec<_> = config
        .ingress
        .sources
        .iter()
        .map(|source| source.secret_labels.len())
        .collect();
    assert_eq!(labels, [2, 0, 1, 1]);
}

#[test]
fn a_secret_of_digits_stays_text() {
    use hookgate::event::Received;
    let place = Place::new();
    let environment = [
        ("HOOKGATE__SOURCES__S__PROVIDER", "cloudglue"),
        ("HOOKGATE__SOURCES__S__SECRET", "007"),
    ];
    let config =
        Config::load(&place.environment(&environment)).map_err(|faults| faults.to_string());
    let config = config.expect("a valid configuration");
    let source = config.ingress.sources.first().expect("one source");
    let verifies = |secret: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "x-cloudglue-webhook-secret",
            secret.parse().expect("a header"),
        );
        let now = hookgate::clock::UnixMillis(0);
        let received = Received {
            received_at: now,
            peer: None,
            method: http::Method::POST,
            target: "/webhooks/s".into(),
            path_token: None,
            headers,
            body: bytes::Bytes::from_static(b"{}"),
        };
        source.verifier.verify(received, now).is_ok()
    };
    assert!(verifies("007") && !verifies("7"));
}

#[test]
fn what_kubernetes_injects_for_a_service_called_hookgate_is_ignored() {
    let place = Place::new();
    let injected = [
        ("HOOKGATE_PORT", "tcp://10.0.0.1:8080"),
        ("HOOKGATE_SERVICE_HOST", "10.0.0.1"),
        ("HOOKGATE_SERVICE_PORT", "8080"),
        ("HOOKGATE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HOOKGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    let output = place.hookgate(&["check"], &injected, None);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn higher_layers_win_and_show_names_the_origin_of_each_value() {
    let place = Place::new();
    let file = place.write("[app]\ntimeout = \"10s\"\nconcurrency = 7\n[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"");
    let mut inputs = place.environment(&[
        ("HOOKGATE__APP__CONCURRENCY", "8"),
        ("HOOKGATE__LOG__LEVEL", "warn"),
    ]);
    inputs.file = Some(file);
    inputs
        .flags
        .push(("log.level".to_owned(), "debug".to_owned()));
    let shown = show(&inputs)
        .map_err(|faults| faults.to_string())
        .expect("a readable file");
    let line = |key: &str| {
        let line = shown
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        let (setting, origin) = line.and_then(|line| line.split_once("  # ")).expect(key);
        (
            setting.trim_end().to_owned(),
            origin.rsplit('/').next().unwrap_or_default().to_owned(),
        )
    };
    let shows = |key: &str, value: &str, origin: &str| {
        assert_eq!(line(key), (format!("{key} = {value}"), origin.to_owned()));
    };
    shows("app.url", "\"http://127.0.0.1:3000\"", "default");
    shows("app.timeout", "\"10s\"", "hookgate.toml");
    shows(
        "app.concurrency",
        "\"8\"",
        "environment variable HOOKGATE__APP__CONCURRENCY",
    );
    shows("log.level", "\"debug\"", "command line");
    shows("sources.s.secret", "\"***\"", "hookgate.toml");
    assert!(shown.lines().all(|line| line.contains("  # ")), "{shown}");
}

#[test]
fn what_is_allowed_but_unwise_is_a_warning() {
    let place = Place::new();
    let file = place.write(
        "[sources.a]\nprovider = \"sieve\"\nunsigned = true\n\
         [sources.b]\nprovider = \"stripe\"\nsecret = \"canary \"\nmode = \"observe\"\n\
         [sources.c]\nprovider = \"aws-sns\"\n\
         [sources.d]\nprovider = \"aws-sns\"\nvalues = { topic_arn = \"arn:aws:sns:eu-west-1:1:t\" }\n\
         [sources.e]\nprovider = \"slack\"\nsecret = \"canary-canary-canary-e\"\nack = \"app\"\nack_timeout = \"3s\"\n\
         [sources.f]\nprovider = \"slack\"\nsecret = \"canary-canary-canary-f\"\nack = \"app\"",
    );
    let config = Config::load(&Inputs {
        file: Some(file),
        ..Inputs::default()
    });
    let warnings = config
        .map_err(|faults| faults.to_string())
        .expect("valid")
        .warnings;
    for part in [
        "sources.a: anybody can send",
        "sources.b.secret begins or ends",
        "sources.b: mode is \"observe\"",
        "sources.c: every AWS account is signed for with the same keys: set values.topic_arn",
        "sources.e: the provider waits for 3 s, and an ack_timeout of 3000 ms",
    ] {
        assert!(
            warnings.iter().any(|warning| warning.contains(part)),
            "{part}: {warnings:?}"
        );
    }
    for quiet in ["sources.d", "sources.f"] {
        assert!(!warnings.join(" ").contains(quiet), "{warnings:?}");
    }
    assert!(!warnings.join(" ").contains("canary"));
}

/// A directory with the files that the bad configurations speak of.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory"));
        let write = |name: &str, text: &str| {
            std::fs::write(place.0.path().join(name), text).expect("a file")
        };
        write("empty", "");
        write("newline", "\n");
        write("newlines", "\r\n\n");
        write("secret", &format!("{WHSEC}\n"));
        std::fs::create_dir(place.0.path().join("providers")).expect("a directory");
        std::fs::create_dir(place.0.path().join("own")).expect("a directory");
        write(
            "own/mine.toml",
            include_str!("../../config/providers/hmac.toml"),
        );
        write("own/giver.toml", include_str!("../it/providers/asana.toml"));
        write("providers/broken.toml", "title = \"Broken\"\n");
        for name in TLS_FILES {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/config/tls")
                .join(name);
            std::fs::copy(from, place.0.path().join(name)).expect("a file");
        }
        place
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{dir}", &self.0.path().display().to_string())
    }

    fn write(&self, text: &str) -> std::path::PathBuf {
        let file = self.0.path().join("hookgate.toml");
        std::fs::write(&file, self.fill(text)).expect("a file");
        file
    }

    fn environment(&self, variables: &[(&str, &str)]) -> Inputs {
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), self.fill(text).into()));
        Inputs {
            environment: variables.collect(),
            ..Inputs::default()
        }
    }

    fn inputs(&self, bad: &Bad) -> Inputs {
        let flags = bad
            .flags
            .iter()
            .map(|(key, text)| ((*key).to_owned(), self.fill(text)));
        Inputs {
            file: (!bad.file.is_empty()).then(|| self.write(bad.file)),
            flags: flags.collect(),
            ..self.environment(bad.environment)
        }
    }

    /// Whether these are exactly the faults that were expected, in any order.
    fn matches(&self, faults: &[Fault], expected: &[Expected]) -> bool {
        let mut left: Vec<_> = faults.iter().collect();
        for (key, origin, message) in expected {
            let message = self.fill(message);
            let found = left.iter().position(|fault| {
                let from = fault.origin.as_deref().unwrap_or_default();
                let same_origin = from.contains(origin) && from.is_empty() == origin.is_empty();
                fault.key == *key && fault.message.contains(&message) && same_origin
            });
            match found {
                Some(index) => drop(left.remove(index)),
                None => return false,
            }
        }
        left.is_empty()
    }

    fn hookgate(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        file: Option<&Path>,
    ) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .args(arguments)
            .current_dir(self.0.path().join("providers"))
            .env_clear();
        command.envs(
            environment
                .iter()
                .map(|(name, text)| (*name, self.fill(text))),
        );
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        command.output().expect("the program runs")
    }
}
