//! Who may use whom: the stages hand on evidence instead of reaching into each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each module and what it may use of the crate. Every entry is in use, so that the table says
/// what is, and a new edge is a decision made here.
const MAY_USE: [(&str, &[&str]); 16] = [
    // Plain data and plumbing.
    ("clock", &[]),
    ("net", &[]),
    ("shutdown", &[]),
    ("metrics", &[]),
    ("telemetry", &[]),
    ("secret", &["clock"]),
    ("event", &["clock"]),
    // The stages, in order of flow.
    ("server", &["metrics", "net", "shutdown"]),
    (
        "ingress",
        &["clock", "event", "metrics", "server", "store", "verify"],
    ),
    ("providers", &[]),
    ("verify", &["clock", "event", "providers", "secret"]),
    ("store", &["clock", "event", "verify"]),
    (
        "forward",
        &["clock", "event", "metrics", "net", "shutdown", "store"],
    ),
    // For operators.
    (
        "admin",
        &[
            "clock", "event", "metrics", "net", "secret", "shutdown", "store",
        ],
    ),
    // What brings it all together: these may use everything but what is above them.
    ("config", EVERYTHING),
    ("gateway", EVERYTHING),
];

/// Stands for all modules but `cli` and `gateway`.
const EVERYTHING: &[&str] = &["*"];

#[test]
fn modules_use_only_what_the_table_allows() {
    let edges = edges();
    let mut mistakes = Vec::new();
    for (module, uses) in &edges {
        if module == "cli" || module == "lib" || module == "main" {
            continue; // the outermost: it may use everything
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| known == module) else {
            mistakes.push(format!("{module} is not in the table"));
            continue;
        };
        for (used, place) in uses {
            let fine = if *allowed == EVERYTHING {
                !["cli", "gateway"].contains(&used.as_str())
            } else {
                allowed.contains(&used.as_str())
            };
            if !fine {
                mistakes.push(format!("{module} may not use {used}: {place}"));
            }
        }
        for entry in allowed.iter().filter(|entry| **entry != "*") {
            if !uses.contains_key(*entry) {
                mistakes.push(format!("{module} does not use {entry} any more"));
            }
        }
    }
    for (module, _) in MAY_USE {
        if !edges.contains_key(module) {
            mistakes.push(format!("there is no module {module}"));
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}

/// Whatever verified an event is none of the store's business.
#[test]
fn of_verification_the_store_knows_only_the_evidence() {
    for file in sources() {
        if !file.starts_with(source_folder().join("store")) {
            continue;
        }
        let text = without_tests(&file);
        for (at, _) in text.match_indices("crate::verify") {
            let rest = &text[at..];
            assert!(
                rest.starts_with("crate::verify::Verified"),
                "{}: {}",
                file.display(),
                rest.lines().next().unwrap()
            );
        }
    }
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files of the program, without those that only hold tests.
fn sources() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![source_folder()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && name != "tests" {
                files.push(path);
            }
        }
    }
    files
}

/// The code of a file, without comments and without the tests at its end.
fn without_tests(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => &text[..end],
        None => &text,
    };
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// For every module: which others it names, and one file that does.
fn edges() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut edges: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for file in sources() {
        let place = file.strip_prefix(source_folder()).unwrap();
        let first = place.iter().next().unwrap().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let found = edges.entry(module.clone()).or_default();
        for used in named_modules(&without_tests(&file)) {
            if used != module {
                found.entry(used).or_insert(place.display().to_string());
            }
        }
    }
    edges
}

/// `crate::name`, and the names in `crate::{a, b::c}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let list = rest.strip_prefix('{').and_then(|list| list.split_once('}'));
        let names = list.map_or(rest, |(list, _)| list);
        for name in names.split(',') {
            let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
            let name: String = name.trim().chars().take_while(|c| is_part(*c)).collect();
            if !name.is_empty() {
                found.insert(name);
            }
            if list.is_none() {
                break;
            }
        }
    }
    found
}
