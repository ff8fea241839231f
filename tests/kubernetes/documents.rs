//! `docs/kubernetes.md` says what the code does: its tables are made from it. `HOOKGATE_TEST_WRITE=1` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use hookgate::kubernetes::settings::{IMAGE, SETTINGS};
use hookgate::kubernetes::skip::Reason;

fn settings() -> String {
    let mut table = String::from("| annotation | default | what it is |\n|---|---|---|\n");
    for setting in SETTINGS {
        let default = match (setting.name, setting.default) {
            ("image", _) => format!("`{IMAGE}`"),
            (_, "") => String::new(),
            (_, default) => format!("`{default}`"),
        };
        let _ = writeln!(
            table,
            "| `hookgate.dev/{}` | {default} | {} |",
            setting.name, setting.meaning
        );
    }
    table
}

fn reasons() -> String {
    let mut table = String::from("| reason | the pod |\n|---|---|\n");
    for reason in Reason::ALL {
        let _ = writeln!(table, "| `{}` | {} |", reason.name(), reason.meaning());
    }
    table
}

/// Replaces the table that begins like `table`.
fn replaced(text: &str, table: &str) -> String {
    let head = table.lines().next().expect("a head");
    let start = text.find(head).expect("the table");
    let rest = text.get(start..).expect("the rest");
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    let (before, after) = (&text[..start], &rest[end..]);
    format!("{before}{table}{after}")
}

#[test]
fn the_tables_of_the_document_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let current = replaced(&replaced(&text, &settings()), &reasons());
    if std::env::var_os("HOOKGATE_TEST_WRITE").is_some() {
        std::fs::write(&path, &current).expect("the document");
    }
    let different = text
        .lines()
        .zip(current.lines())
        .find(|(is, should)| is != should);
    assert!(
        text == current,
        "not current: {different:?}; see HOOKGATE_TEST_WRITE"
    );
}

/// A Service finds the names of a native sidecar's ports from 1.33 on only (kubernetes#128850), and the document is for older
/// clusters, too.
#[test]
fn the_service_of_the_document_leads_to_the_port_that_inject_opens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let mut targets = text.split("targetPort: ").skip(1);
    let listen = SETTINGS
        .iter()
        .find(|setting| setting.name == "listen-port");
    let listen = listen.expect("a setting").default;
    let target = targets.next().expect("a Service");
    assert!(target.starts_with(&format!("{listen}}}")), "{target:.20}");
    assert_eq!(targets.next(), None);
}
