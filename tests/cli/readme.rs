//! What the README and docs/operating.md say is true: their commands run, and the metrics are there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::{outcome, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The event id in the README's commands.
const EXAMPLE_ID: &str = "evt_0199f0e8c1d27d7e8b3a5c6d7e8f9a0b";

fn readme() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md")
}

/// The lines of all blocks marked `sh`, without comments.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap_or_default().lines());
    let lines = lines.map(|line| {
        line.split("  #")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let operating = Path::new(ROOT).join("docs/operating.md");
    let operating = std::fs::read_to_string(operating).expect("docs/operating.md");
    let gate = Gate::start();
    let mut ran = 0;
    for line in commands(&(readme() + &operating)) {
        let Some(arguments) = line.strip_prefix("hookgate ") else {
            is_no_news(&line);
            continue;
        };
        if arguments.starts_with("run ") {
            // It is what `gate` was started with, and would not end.
            let as_started = ["--listen", "--app", "--source stripe=stripe"];
            assert!(
                as_started.iter().all(|option| arguments.contains(option)),
                "{line}"
            );
            continue;
        }
        let id = if arguments.contains(EXAMPLE_ID) {
            delivered(&gate)
        } else {
            String::new()
        };
        let arguments = arguments
            .replace("127.0.0.1:8080", &gate.listen)
            .replace("127.0.0.1:3000", &gate.app)
            .replace(EXAMPLE_ID, &id);
        let output = gate.command().args(arguments.split(' ')).output();
        let (code, printed, errors) = outcome(&output.expect("the program runs"));
        let expected = i32::from(arguments.ends_with("--tamper"));
        assert_eq!(code, Some(expected), "{line}\n{printed}\n{errors}");
        assert!(!printed.is_empty(), "{line}");
        ran += 1;
    }
    assert!(ran > 30, "{ran}");
    gate.stop();
}

#[test]
fn the_readme_lists_every_metric() {
    let gate = Gate::start();
    let scraped = gate.get("/metrics");
    let families = scraped
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let families = families.filter_map(|line| line.split(' ').next());
    let there: BTreeSet<_> = families
        .filter(|name| name.starts_with("hookgate_"))
        .collect();
    let readme = readme();
    // What is only there with a setting that this gate does not have.
    let rows = readme
        .lines()
        .filter(|row| !row.contains("; only with `"))
        .filter_map(|line| line.strip_prefix("| `hookgate_"));
    let listed: BTreeSet<_> = rows
        .filter_map(|row| row.split('`').next())
        .map(|name| format!("hookgate_{name}"))
        .collect();
    assert_eq!(
        listed.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        there
    );
    gate.stop();
}

/// A line that is not ours to run: it must at least name things that exist.
fn is_no_news(line: &str) {
    let word = line.split(' ').next().unwrap_or_default();
    let known = matches!(word, "cargo" | "export") || Path::new(ROOT).join(word).is_file();
    assert!(known, "{line}");
}

/// The id of an event that the app has taken.
fn delivered(gate: &Gate) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = gate
            .command()
            .args(["events", "list", "--state", "delivered", "--json"])
            .output();
        let list = text(&output.expect("the program runs").stdout);
        let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
        if let Some(id) = list.pointer("/events/0/id").and_then(|id| id.as_str()) {
            return id.to_owned();
        }
        assert!(
            Instant::now() < deadline,
            "the event was not delivered: {list}"
        );
    }
}
