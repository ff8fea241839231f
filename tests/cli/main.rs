//! The program as people use it: help, exit codes, messages, and every command of the README.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

mod gate;
mod readme;
mod steer;
mod volume;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gate::Gate;
use tempfile::TempDir;

/// The program in an empty directory and an empty environment.
fn hookgate(place: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(place.path()).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    let place = tempfile::tempdir().expect("a temporary directory");
    let output = hookgate(&place).args(arguments).output();
    output.expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The commands below this one, by its help.
fn commands_below(path: &[&str]) -> Vec<String> {
    let help = text(&run(&[path, &["--help"]].concat()).stdout);
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_command_explains_itself() {
    let mut seen = 0;
    let mut paths: Vec<Vec<String>> = commands_below(&[])
        .into_iter()
        .map(|name| vec![name])
        .collect();
    while let Some(path) = paths.pop() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let output = run(&[&path[..], &["--help"]].concat());
        let (code, help, errors) = outcome(&output);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{path:?}");
        assert!(
            help.contains(&format!("Usage: hookgate {}", path.join(" "))),
            "{help}"
        );
        let first = help.lines().next().unwrap_or_default();
        assert!(
            first.len() > 10,
            "{path:?} says nothing about itself: {help}"
        );
        for option in help
            .lines()
            .filter(|line| line.trim_start().starts_with("--"))
        {
            let explained =
                option.trim().contains("  ") || help.contains(&format!("{option}\n          "));
            assert!(explained, "{path:?}: {option}");
        }
        for below in commands_below(&path) {
            paths.push(
                path.iter()
                    .map(|name| (*name).to_owned())
                    .chain([below])
                    .collect(),
            );
        }
        seen += 1;
    }
    assert!(seen >= 14, "{seen} commands");
}

#[test]
fn usage_errors_exit_with_2_and_nothing_on_standard_output() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["run", "--nonsense"],
        &["run", "--source", "stripe"],
        &["run", "--config", "nowhere.toml"],
        &["check", "--app", "https://x"],
        &["providers", "strip"],
        &["send", "--provider", "strip", "--to", "http://127.0.0.1:1/"],
        &[
            "send",
            "--provider",
            "stripe",
            "--to",
            "https://127.0.0.1:1/",
        ],
        &["send", "--provider", "stripe", "--to", "127.0.0.1"],
        &[
            "send",
            "--provider",
            "stripe",
            "--to",
            "http://127.0.0.1:1/",
            "--type",
            "nonsense",
        ],
        &[
            "send",
            "--provider",
            "stripe",
            "--to",
            "http://127.0.0.1:1/",
            "--data",
            "nowhere",
        ],
        &[
            "send",
            "--provider",
            "stripe",
            "--to",
            "http://127.0.0.1:1/",
        ],
        &["providers", "--config", "nowhere.toml"],
        &["events", "list", "--state", "lost"],
        &["events", "list", "--token-file", "nowhere"],
        &["events", "list", "--admin", "nowhere"],
        &["rejections", "--limit", "0"],
        &["completions", "cmd"],
    ] {
        let (code, printed, errors) = outcome(&run(arguments));
        assert_eq!(
            (code, printed.as_str()),
            (Some(2), ""),
            "{arguments:?}: {errors}"
        );
        assert!(errors.len() > 20, "{arguments:?}: {errors}");
    }
    assert!(text(&run(&["providers", "strip"]).stderr).contains("did you mean \"stripe\"?"));
    let (code, version, _) = outcome(&run(&["--version"]));
    assert_eq!(
        (code, version.trim()),
        (Some(0), concat!("hookgate ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn providers_are_listed_and_shown() {
    let (code, list, _) = outcome(&run(&["providers"]));
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["providers", "--json"]).stdout).expect("JSON");
    let all = json.as_array().expect("a list");
    assert!(all.len() >= 10);
    assert_eq!(
        (code, list.lines().count()),
        (Some(0), all.len() + 1),
        "{list}"
    );
    for id in all
        .iter()
        .filter_map(|provider| provider.get("id")?.as_str())
    {
        let (code, shown, _) = outcome(&run(&["providers", id]));
        assert_eq!(code, Some(0), "{id}");
        for part in [
            "documentation: https://",
            "secret: ",
            "status: ",
            "answer: 2",
            "scheme",
            "event: ",
            "samples: ",
        ] {
            assert!(shown.contains(part), "{id} has no {part}: {shown}");
        }
    }
}

#[test]
fn the_completion_script_is_good_bash() {
    let script = run(&["completions", "bash"]).stdout;
    let bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut bash = bash.expect("bash");
    bash.stdin
        .take()
        .expect("a pipe")
        .write_all(&script)
        .expect("a reader");
    let output = bash.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(script.len() > 1000);
}

#[test]
fn nobody_listening_is_a_failure_with_the_address() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let address = format!("127.0.0.1:{port}");
    let (code, _, errors) = outcome(&run(&[
        "send",
        "--provider",
        "stripe",
        "--secret",
        "canary",
        "--to",
        &format!("http://{address}/x"),
    ]));
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&address) && !errors.contains("canary"),
        "{errors}"
    );

    let (code, _, errors) = outcome(&run(&["events", "list", "--admin", &address]));
    assert_eq!(code, Some(1));
    for part in ["is hookgate running?", &address, "--admin"] {
        assert!(errors.contains(part), "{errors}");
    }
}

#[test]
fn send_makes_up_a_key_pair_and_names_the_values_it_lacks() {
    let send = |arguments: &[&str]| {
        let to = ["send", "--to", "http://127.0.0.1:1/"];
        outcome(&run(&[&to, arguments].concat()))
    };
    let (code, printed, errors) = send(&["--provider", "standard-webhooks", "--variant", "v1a"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    let key = |prefix: &str| errors.lines().find(|line| line.starts_with(prefix));
    assert!(key("whpk_").is_some() && key("whsk_").is_some(), "{errors}");

    let derived = [
        "--provider",
        "jigsawstack",
        "--variant",
        "derived",
        "--secret",
        "s",
    ];
    let (code, _, errors) = send(&derived);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--value message=..."), "{errors}");
}

#[test]
fn send_signs_for_providers_whose_event_id_is_signed() {
    let (code, _, errors) = outcome(&run(&[
        "send",
        "--provider",
        "adyen",
        "--secret",
        "00ff",
        "--to",
        "http://127.0.0.1:1/",
    ]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("cannot connect"), "{errors}");
}

#[test]
fn providers_of_ones_own_are_known_where_the_configuration_is_given() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        std::fs::write(place.path().join(name), text).expect("a file");
    };
    std::fs::create_dir(place.path().join("own")).expect("a directory");
    let scheme = "kind = \"token\"\nsignature = { from = \"header:x-token\" }";
    let own = format!("title = \"Acme\"\ndocs = \"https://a.example\"\n[[scheme]]\n{scheme}\n");
    write("own/acme.toml", &own);
    // Nothing else of the configuration matters here.
    write(
        "gate.toml",
        "providers_dir = \"own\"\n[sources.a]\nprovider = \"nobody\"\n",
    );
    let shown = |arguments: &[&str]| {
        let output = hookgate(&place).args(arguments).output();
        outcome(&output.expect("the program runs"))
    };
    let (code, acme, errors) = shown(&["providers", "acme", "--config", "gate.toml"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(acme.contains("Acme"), "{acme}");
    assert_eq!(shown(&["providers", "acme"]).0, Some(2));
    write("own/bad.toml", "title = 1");
    let (code, _, errors) = shown(&["providers", "--config", "gate.toml"]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("providers_dir") && errors.contains("bad.toml"),
        "{errors}"
    );
}

#[test]
fn verify_tells_why_a_captured_request_is_taken_or_refused() {
    // The example of GitHub's documentation.
    let secret = "It's a Secret to Everybody";
    let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let place = tempfile::tempdir().expect("a temporary directory");
    let request = place.path().join("request");
    let head = format!(
        "POST /webhooks/hub HTTP/1.1\nHost: h\nX-GitHub-Event: ping\nContent-Length: 13\n\
         X-Hub-Signature-256: sha256={signature}\n"
    );
    let captured = |body: &str| {
        std::fs::write(&request, format!("{head}\n{body}")).expect("a file");
    };
    let config = "[sources.hub]\nprovider = \"github\"\nsecret_file = \"secret\"\n";
    std::fs::write(place.path().join("hookgate.toml"), config).expect("a file");
    std::fs::write(place.path().join("secret"), secret).expect("a file");
    let verify = |arguments: &[&str]| {
        let command = ["verify", "--request", "request"];
        let output = hookgate(&place)
            .args([&command, arguments].concat())
            .output();
        outcome(&output.expect("the program runs"))
    };
    let by_source: &[&str] = &["--source", "hub", "--config", "hookgate.toml"];
    let by_provider: &[&str] = &[
        "--provider",
        "github",
        "--secret",
        secret,
        "--at",
        "1735689600",
    ];

    captured("Hello, World!");
    for arguments in [by_source, by_provider] {
        let (code, told, errors) = verify(arguments);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{told}");
        for part in [
            " 2. ok ",
            "`sha256=` and 64 hex digits",
            "body 13 bytes",
            "type ping",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    captured("Hello, World!\n");
    let (code, told, errors) = verify(by_source);
    assert_eq!(code, Some(1));
    for part in [
        "Content-Length says 13",
        "FAIL",
        "does not match",
        "refused (mismatch)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for given in [&told, &errors] {
        assert!(
            !given.contains(signature) && !given.contains(secret),
            "{given}"
        );
    }
    for arguments in [&["--source", "nobody"][..], &["--provider", "github"], &[]] {
        let (code, told, errors) = verify(arguments);
        assert_eq!((code, told.as_str()), (Some(2), ""), "{errors}");
    }
}

#[test]
fn verify_knows_the_secret_that_a_source_has_captured() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        std::fs::write(place.path().join(name), text).expect("a file");
    };
    let store = place.path().join("store");
    std::fs::create_dir_all(store.join("captured")).expect("a directory");
    let config = format!(
        "[store]\npath = {store:?}\n[sources.tasks]\nprovider = \"asana\"\ncapture = true\n"
    );
    file("hookgate.toml", &config);
    file("store/captured/tasks", "key");
    file("body", "{}");
    // HMAC-SHA256 of the body under the secret, from Python's hmac.
    let header =
        "X-Hook-Signature: a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032";
    let verify = || {
        let arguments = ["--source", "tasks", "--config", "hookgate.toml"];
        let request = ["--body", "body", "--header", header, "--url", "/\u{1b}[2J"];
        let output = hookgate(&place)
            .arg("verify")
            .args([arguments.as_slice(), &request].concat())
            .output();
        outcome(&output.expect("the program runs"))
    };

    let (code, told, errors) = verify();
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{told}");
    assert!(!told.contains('\u{1b}'), "{told:?}");

    file("store/captured/tasks", "another");
    assert_eq!(verify().0, Some(1));
    file("store/captured/tasks", "");
    let (code, _, errors) = verify();
    assert!(code == Some(1) && errors.contains("is empty"), "{errors}");
}

#[test]
fn the_list_of_providers_can_be_narrowed() {
    let list = |words: &[&str]| {
        let filters = words.iter().flat_map(|word| ["--filter", word]);
        let arguments: Vec<_> = std::iter::once("providers").chain(filters).collect();
        outcome(&run(&arguments)).1
    };
    let ed25519 = list(&["ED25519"]);
    assert!(
        ed25519
            .lines()
            .next()
            .expect("a heading")
            .contains("STATUS  "),
        "{ed25519}"
    );
    assert!(ed25519.contains("\nstandard-webhooks ") && !ed25519.contains("\nstripe "));
    assert!(list(&["payments", "stripe"]).contains("\nstripe "));
    assert_eq!(list(&["payments", "no-such-word"]).lines().count(), 1);
}

#[test]
fn the_documents_list_of_providers_is_what_the_program_prints() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers.md");
    let file = std::fs::read_to_string(file).expect("docs/providers.md");
    let printed = text(&run(&["providers", "--markdown"]).stdout);
    assert!(
        file == printed,
        "run: hookgate providers --markdown > docs/providers.md"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = tempfile::tempdir().expect("a temporary directory");
    for arguments in [
        &["providers"][..],
        &["config", "schema"],
        &["completions", "zsh"],
        &["--help"],
    ] {
        let mut command = hookgate(&place);
        let child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the program runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("an end");
        assert_eq!(
            (output.status.code(), text(&output.stderr).as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_demo_shows_every_promise_kept() {
    let (code, table, errors) = outcome(&run(&["demo", "--once"]));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{table}");
    let row = |part: &str| table.lines().find(|line| line.contains(part)).expect(part);
    for provider in [
        "Aspect",
        "Cloudglue",
        "GitHub",
        "HMAC",
        "JigsawStack",
        "SharpAPI",
        "Sieve",
        "Standard Webhooks",
        "Stripe",
        "Svix",
    ] {
        let row = row(provider);
        assert!(
            row.contains("200 stored") && row.ends_with("as promised"),
            "{row}"
        );
    }
    assert!(row("once more").contains("200 duplicate"));
    assert!(row("a forgery").contains("401"));
    assert!(row("a day ago").contains("401"));
    assert!(row("fails to handle").contains("attempt 1: 500, then attempt 2: 200"));
    assert!(
        table.contains("0 surprises") && !table.contains("NOT AS PROMISED"),
        "{table}"
    );
}

#[test]
fn an_address_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, _, errors) = outcome(&run(&["run", "--listen", &address]));
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&address) && errors.contains("server.listen"),
        "{errors}"
    );
}

#[test]
fn a_rejection_is_explained_on_the_command_line_and_in_the_log() {
    let gate = Gate::start();
    let none = outcome(&gate.command().arg("rejections").output().expect("it runs"));
    assert_eq!((none.0, none.2.as_str()), (Some(0), ""));
    assert!(none.1.contains("nothing was refused"), "{}", none.1);
    let url = format!("http://{}/webhooks/stripe", gate.listen);
    let without_prefix = "from_your_dashboard";
    let output = gate
        .command()
        .args(["send", "--provider", "stripe", "--secret", without_prefix])
        .args(["--to", &url])
        .output();
    assert_eq!(outcome(&output.expect("it runs")).0, Some(1));

    let deadline = Instant::now() + Duration::from_secs(20);
    let block = loop {
        let output = gate
            .command()
            .args(["rejections", "--source", "stripe"])
            .output();
        let (code, block, errors) = outcome(&output.expect("it runs"));
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        if !block.contains("not examined yet") {
            break block;
        }
        assert!(Instant::now() < deadline, "{block}");
    };
    for part in [
        "  stripe  mismatch: ",
        "request: POST /webhooks/stripe from 127.0.0.1",
        "headers: ",
        "why:     The sender's secret and the configured one differ in the `whsec_` in front.",
        "way out: Configure the secret exactly as the sender has it.",
    ] {
        assert!(block.contains(part), "{part} in {block}");
    }
    let json = gate.command().args(["rejections", "--json"]).output();
    let json: serde_json::Value =
        serde_json::from_slice(&json.expect("it runs").stdout).expect("JSON");
    let mistake = json.pointer("/rejections/0/diagnosis/mistake");
    assert_eq!(mistake.and_then(|m| m.as_str()), Some("secret_prefix"));

    let log = gate.stop();
    let lines: Vec<_> = log
        .iter()
        .filter(|line| line.contains("\"rejected\""))
        .collect();
    let [line] = lines.as_slice() else {
        unreachable!("one line per rejection: {log:?}");
    };
    for part in ["\"mismatch\"", "\"secret_prefix\"", "\"stripe\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!log.concat().contains(without_prefix), "{log:?}");
}

#[test]
fn a_second_process_on_a_store_exits_and_names_the_owner() {
    let gate = Gate::start();
    let output = gate
        .command()
        .args(["run", "--listen", "127.0.0.1:0"])
        .output();
    let (code, _, errors) = outcome(&output.expect("the program runs"));
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("is in use by") && errors.contains(&gate.pid().to_string()),
        "{errors}"
    );
    gate.stop();
}

#[test]
fn a_captured_secret_is_printed_to_the_owner_of_the_store_only_when_asked_for() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let file = place.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(file, text).expect("a file");
    };
    write("own/giver.toml", include_str!("../it/providers/asana.toml"));
    write(
        "hookgate.toml",
        "providers_dir = \"own\"\nstore.path = \"store\"\n\
         [sources.giver]\nprovider = \"giver\"\ncapture = true\n\
         [sources.stripe]\nprovider = \"stripe\"\nsecret = \"a\"\n",
    );
    let ask = |arguments: &[&str]| {
        let arguments = [&["sources", "captured-secret"], arguments].concat();
        let output = hookgate(&place).args(arguments).output();
        outcome(&output.expect("the program runs"))
    };
    let (code, printed, errors) = ask(&["giver", "--show"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    assert!(errors.contains("start the handshake"), "{errors}");

    write("store/captured/giver", "s3cret");
    let (code, printed, errors) = ask(&["giver"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(!printed.contains("s3cret"), "{printed}");
    let (code, printed, _) = ask(&["giver", "--show"]);
    assert_eq!((code, printed.as_str()), (Some(0), "s3cret\n"));

    for source in ["stripe", "nobody", "../captured/giver"] {
        let (code, printed, errors) = ask(&[source, "--show"]);
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{errors}");
    }
}
