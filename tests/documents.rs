//! What the documents name is there: files, links, tests, sizes of harnesses, log lines, metrics.
//!
//! In backticks: a word with slashes that begins like a path of the repository is a file or folder, one
//! with four underscores is a test, `HOOKGATE_TEST_...` is read by some harness, `hookgate_...` is a
//! metric of the README (which has a test of its own) or of the injector, and what stands in quotes is said by the program.

#![expect(clippy::expect_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders in which what is named must be.
const FOLDERS: [&str; 10] = [
    ".ci", "benches", "config", "docs", "examples", "fuzz", "scripts", "src", "target", "tests",
];

#[test]
fn what_the_documents_name_is_there() {
    let code = Code::read();
    let (mut missing, mut seen) = (Vec::new(), Seen::default());
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document");
        let name = document.strip_prefix(ROOT).unwrap_or(&document).display();
        for link in links(&text) {
            seen.links += 1;
            if !document.with_file_name(link).exists() {
                missing.push(format!("{name} links to {link}"));
            }
        }
        for named in named(&text) {
            if !code.has(named, &mut seen) {
                missing.push(format!("{name} names {named}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    // Or else they are written in a way that is not looked at here.
    assert!(
        seen.links > 15 && seen.files > 80 && seen.tests > 80 && seen.said > 10 && seen.sizes > 15,
        "{seen:?}"
    );
}

/// How many of each kind were looked for.
#[derive(Debug, Default)]
struct Seen {
    links: usize,
    files: usize,
    tests: usize,
    said: usize,
    sizes: usize,
}

/// All that can be named.
struct Code {
    program: String,
    harnesses: String,
    tests: BTreeSet<String>,
    readme: String,
}

impl Code {
    fn read() -> Self {
        let [program, tests, scripts] = ["src", "tests", "scripts"].map(|folder| {
            let mut text = String::new();
            collect(&Path::new(ROOT).join(folder), &mut text);
            text
        });
        let harnesses = format!("{program}{tests}{scripts}");
        let readme = Path::new(ROOT).join("README.md");
        Self {
            readme: std::fs::read_to_string(readme).expect("README.md"),
            tests: tests_in(&harnesses),
            program,
            harnesses,
        }
    }

    /// Whether there is such a thing, if it is one of those that must be there.
    fn has(&self, name: &str, seen: &mut Seen) -> bool {
        let is_word =
            |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
        let first = name.split('/').next().unwrap_or_default();
        if let Some(said) = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
        {
            // Settings and headers are quoted too, but are no sentences.
            let is_sentence = said.matches(' ').count() > 1;
            seen.said += usize::from(is_sentence);
            !is_sentence || self.program.contains(said)
        } else if name.starts_with("HOOKGATE_TEST_")
            && name.chars().all(|c| !is_word(c) || c == '_')
        {
            seen.sizes += 1;
            self.harnesses.contains(name)
        } else if name.contains('/') && FOLDERS.contains(&first) {
            seen.files += 1;
            let path = name.split([' ', '#']).next().unwrap_or_default();
            first == "target" || Path::new(ROOT).join(path).exists()
        } else if name.starts_with("hookgate_injector_") && name.chars().all(is_word) {
            self.program.contains(&format!("\"{name}\""))
        } else if name.starts_with("hookgate_") && name.chars().all(is_word) {
            self.readme.contains(&format!("| `{name}` |"))
        } else if name.matches('_').count() >= 4 && name.chars().all(is_word) {
            seen.tests += 1;
            self.tests.contains(name)
        } else {
            true
        }
    }
}

/// The names of the functions behind `#[test]` and `#[tokio::test]`.
fn tests_in(text: &str) -> BTreeSet<String> {
    let (mut tests, mut marked) = (BTreeSet::new(), false);
    for line in text.lines().map(str::trim_start) {
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            tests.extend(rest.split_once('(').map(|(name, _)| name.to_owned()));
            marked = false;
        }
    }
    tests
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let entries = std::fs::read_dir(root.join("docs")).expect("docs");
    let mut documents: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    documents.retain(|path| path.extension().is_some_and(|end| end == "md"));
    documents.sort();
    let others = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    documents.extend(others.map(|name| root.join(name)));
    documents
}

/// What stands in backticks, outside blocks of code.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    prose.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Where links into the repository lead, without the place in the file.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let ours = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    ours.map(|target| target.split('#').next().unwrap_or_default())
}

/// The text of all files below.
fn collect(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), text);
        }
    } else if let Ok(more) = std::fs::read_to_string(path) {
        text.push_str(&more);
    }
}
