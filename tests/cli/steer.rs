//! Looking at a running gate and steering it, from the terminal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use super::gate::{Gate, SECRET};
use super::{outcome, run};

/// Runs the program beside the gate: exit code, standard output, standard error.
fn beside(gate: &Gate, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = gate.command().args(arguments).output();
    outcome(&output.expect("the program runs"))
}

/// What it prints, when all is well.
#[track_caller]
fn printed(gate: &Gate, arguments: &[&str]) -> String {
    let (code, printed, errors) = beside(gate, arguments);
    assert_eq!((code, &*errors), (Some(0), ""), "{arguments:?}\n{printed}");
    printed
}

fn json(gate: &Gate, arguments: &[&str]) -> Value {
    let text = printed(gate, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

/// Sends this body as an event of Stripe.
fn send_data(gate: &Gate, data: &str) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("body.json");
    std::fs::write(&file, data).expect("a file");
    let url = format!("http://{}/webhooks/stripe", gate.listen);
    let file = file.display().to_string();
    let arguments = ["--secret", SECRET, "--to", &url, "--data", &file];
    printed(
        gate,
        &[&["send", "--provider", "stripe"][..], &arguments].concat(),
    );
}

fn send(gate: &Gate, count: u32) {
    let (url, count) = (
        format!("http://{}/webhooks/stripe", gate.listen),
        count.to_string(),
    );
    let arguments = [
        "send",
        "--provider",
        "stripe",
        "--secret",
        SECRET,
        "--to",
        &url,
        "--count",
        &count,
    ];
    printed(gate, &arguments);
}

#[test]
fn a_source_is_held_and_released() {
    let gate = Gate::start();
    assert!(printed(&gate, &["hold", "stripe"]).contains("`hookgate release stripe`"));
    send(&gate, 2);
    let listed = printed(&gate, &["sources", "list"]);
    let row: Vec<_> = listed
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        (row.first(), row.get(3), row.last()),
        (Some(&"stripe"), Some(&"2"), Some(&"held")),
        "{listed}"
    );
    assert_eq!(
        json(&gate, &["release", "stripe"]).pointer("/held"),
        Some(&false.into())
    );
    let (code, _, errors) = beside(&gate, &["hold", "nobody"]);
    assert_eq!((code, &*errors), (Some(1), "error: no source nobody\n"));
    gate.stop();
}

#[test]
fn a_gate_is_ready_until_it_drains_and_says_what_is_left() {
    let gate = Gate::start();
    assert_eq!(printed(&gate, &["healthcheck"]), "ok\n");
    printed(&gate, &["hold", "stripe"]);
    send(&gate, 2);
    let (code, _, errors) = beside(&gate, &["drain", "--wait", "--timeout", "0"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("2 events pending on disk"), "{errors}");
    let (code, _, errors) = beside(&gate, &["healthcheck"]);
    assert_eq!((code, &*errors), (Some(1), "error: not ready: draining\n"));
    assert_eq!(printed(&gate, &["healthcheck", "--live"]), "ok\n");
    printed(&gate, &["release", "stripe"]);
    let drained = json(&gate, &["drain", "--wait"]);
    assert_eq!(drained.pointer("/phase"), Some(&"refusing".into()));
    assert_eq!(drained.pointer("/pending"), Some(&0.into()));
    gate.stop();
}

#[test]
fn events_that_fit_a_filter_are_counted_and_replayed() {
    let gate = Gate::start();
    printed(&gate, &["hold", "stripe"]);
    send(&gate, 3);
    let filter = [
        "events", "replay", "--source", "stripe", "--state", "pending",
    ];
    assert_eq!(
        printed(&gate, &[&filter[..], &["--dry-run"]].concat()),
        "3 events fit\n"
    );
    let (code, _, errors) = beside(&gate, &filter);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("Deliver 3 events again?") && errors.contains("--yes"),
        "{errors}"
    );
    let agreed = [&filter[..], &["--yes"]].concat();
    assert_eq!(printed(&gate, &agreed), "replayed 3, skipped 0\n");
    let none = printed(
        &gate,
        &["events", "replay", "--type", "none", "--rate", "5", "--yes"],
    );
    assert_eq!(none, "replayed 0, skipped 0\n");
    for (arguments, way_out) in [
        (&["events", "replay"][..], "a filter such as --state dead"),
        (
            &["events", "replay", "--rate", "5"],
            "a filter such as --state dead",
        ),
        (
            &["events", "replay", "evt_1", "--state", "dead"],
            "not both",
        ),
        (&["events", "replay", "evt_1", "--dry-run"], "not both"),
    ] {
        let (code, printed, errors) = beside(&gate, arguments);
        assert_eq!((code, &*printed), (Some(2), ""), "{arguments:?}");
        assert!(errors.contains(way_out), "{errors}");
    }
    gate.stop();
}

#[test]
fn an_erased_event_has_no_body_any_more() {
    let gate = Gate::start();
    send(&gate, 1);
    let list = json(&gate, &["events", "list"]);
    let id = list
        .pointer("/events/0/id")
        .and_then(Value::as_str)
        .expect("an id");
    assert_eq!(
        beside(&gate, &["events", "erase", id]).0,
        Some(2),
        "nobody was asked"
    );
    assert_eq!(
        printed(&gate, &["events", "erase", id, "--yes"]),
        "erased 1\n"
    );
    assert!(printed(&gate, &["events", "show", id]).contains("0 bytes (erased)"));
    let (code, _, errors) = beside(&gate, &["events", "replay", id]);
    assert_eq!(
        (code, &*errors),
        (Some(1), "error: the body has been erased\n")
    );
    gate.stop();
}

#[test]
fn the_tail_prints_a_line_for_what_happens_until_the_gate_stops() {
    let gate = Gate::start();
    let mut tail = gate
        .command()
        .args(["events", "tail", "--source", "stripe"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut notes = BufReader::new(tail.stderr.take().expect("a pipe")).lines();
    let note = notes.next().expect("a line").expect("text");
    assert!(note.contains("following"), "{note}");
    send(&gate, 1);
    let lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    for change in ["  stored  ", "  delivered  "] {
        let line = lines.next().expect("a line");
        assert!(
            line.contains(change) && line.contains("  stripe  "),
            "{line}"
        );
    }
    gate.stop();
    assert_eq!(tail.wait().expect("an end").code(), Some(1));
    let end = notes.next().expect("a line").expect("text");
    assert!(end.starts_with("error: is hookgate running?"), "{end}");
}

#[test]
fn json_spells_out_what_turns_a_line_around_and_means_the_same() {
    let gate = Gate::start();
    let kind = "a\u{202e}b\u{200b}c\u{61c}é";
    let body = serde_json::json!({ "id": "evt_1", "type": kind });
    send_data(&gate, &body.to_string());
    let text = printed(&gate, &["events", "list", "--json"]);
    assert!(text.contains(r#""a\u202eb\u200bc\u061cé""#), "{text}");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list.pointer("/events/0/type"), Some(&kind.into()));
    gate.stop();
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let directory = place.path().join("man");
    let (code, _, errors) = outcome(&run(&["man", "--to", &directory.display().to_string()]));
    assert_eq!((code, &*errors), (Some(0), ""));
    for page in [
        "hookgate.1",
        "hookgate-run.1",
        "hookgate-events-tail.1",
        "hookgate-hold.1",
    ] {
        let text = std::fs::read_to_string(directory.join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}");
    }
    let (code, page, _) = outcome(&run(&["man"]));
    assert!(code == Some(0) && page.contains(".TH hookgate 1"), "{page}");
}

#[test]
fn a_connection_that_the_gate_has_ended_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let pages = [r#"{"events":[],"next":"1"}"#, r#"{"events":[]}"#];
    // Each connection is good for one answer.
    let gate = std::thread::spawn(move || {
        for page in pages {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = BufReader::new(stream.try_clone().expect("a socket")).lines();
            while head
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let length = page.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{page}");
            stream.write_all(answer.as_bytes()).expect("a reader");
        }
    });
    let (code, printed, errors) = outcome(&run(&["events", "list", "--json", "--admin", &address]));
    assert_eq!((code, &*errors), (Some(0), ""));
    assert!(printed.contains(r#""events": []"#), "{printed}");
    gate.join().expect("both pages were asked for");
}
