//! The code map in `docs/architecture.md` tells who uses whom in `src/`.

#![expect(clippy::expect_used, reason = "helpers of tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

type Edges = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_code_map_is_the_code() {
    let source = Path::new(ROOT).join("src");
    let mut in_code = Edges::new();
    for entry in std::fs::read_dir(source).expect("src") {
        let path = entry.expect("an entry").path();
        let module = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if module != "lib" {
            let mut used = BTreeSet::new();
            collect(&path, &mut used);
            used.remove(&module);
            used.remove("planted"); // a bug may be planted anywhere
            used.remove("fuzzing"); // its targets stand beside what they feed
            in_code.insert(module, used);
        }
    }
    assert_eq!(in_map(), in_code);
}

/// The rows of the table.
fn in_map() -> Edges {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/architecture.md"));
    let text = text.expect("docs/architecture.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let module = cells.next().expect("a module").trim_matches('`').to_owned();
        let used = cells.nth(1).expect("a list");
        (
            module,
            used.split_whitespace().map(ToOwned::to_owned).collect(),
        )
    })
    .collect()
}

/// The modules that the files below `path` name as `crate::MODULE`.
fn collect(path: &Path, used: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), used);
        }
        return;
    }
    let text = std::fs::read_to_string(path).expect("a source file");
    for rest in text.split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let several = names != rest;
        for name in names.split(',').take(if several { usize::MAX } else { 1 }) {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            if !name.is_empty() {
                used.insert(name.to_owned());
            }
        }
    }
}
