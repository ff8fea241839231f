//! What is in the binary is written in it and beside it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value as Json;

use crate::engine::{ROOT, built, run, succeeded};

/// The crates that the binary is made of, as `NAME VERSION`; build scripts and what only they use left out.
fn crates() -> BTreeSet<String> {
    let mut tree = Command::new("cargo");
    tree.args([
        "tree",
        "--locked",
        "--offline",
        "--package=hookgate",
        "--prefix=none",
    ]);
    tree.args(["--edges=normal,no-proc-macro", "--format={p}"]);
    let tree = succeeded(tree.current_dir(ROOT));
    let words = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!(
            "{} {}",
            words.next()?,
            words.next()?.trim_start_matches('v')
        ))
    };
    tree.lines().filter_map(words).collect()
}

/// Whether scripts/image had this tool, so that its work is missing for another reason.
fn has(tool: &str) -> bool {
    let mut asked = Command::new("cargo");
    run(asked.args([tool, "--version"])).status.success()
}

#[test]
fn the_list_of_components_has_every_crate_and_the_libraries_in_c() {
    let Some(built) = built() else {
        return;
    };
    let Ok(text) = std::fs::read_to_string(built.join("hookgate.cdx.json")) else {
        assert!(!has("cyclonedx"), "there is no hookgate.cdx.json");
        return println!("skipped: no hookgate.cdx.json (cargo install cargo-cyclonedx)");
    };
    let list: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list["bomFormat"], "CycloneDX");
    let components = list["components"].as_array().expect("a list").iter();
    let named = |component: &Json| {
        Some(format!(
            "{} {}",
            component["name"].as_str()?,
            component["version"].as_str()?
        ))
    };
    let mut listed: BTreeSet<_> = components.clone().filter_map(named).collect();
    listed.extend(named(&list["metadata"]["component"]));
    let missing: Vec<_> = crates().difference(&listed).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
    for (name, cpe) in [("sqlite", "sqlite:sqlite"), ("glibc", "gnu:glibc")] {
        let found = components
            .clone()
            .find(|component| component["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name}"));
        let version = found["version"].as_str().expect("a version");
        assert!(
            version.starts_with(|first: char| first.is_ascii_digit()),
            "{found}"
        );
        assert_eq!(
            found["cpe"],
            format!("cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*")
        );
    }
    println!("{} components for {} crates", listed.len(), crates().len());
}

#[test]
fn the_binary_knows_its_crates() {
    let Some(built) = built() else {
        return;
    };
    let place = tempfile::tempdir().expect("a directory");
    let section = place.path().join("crates.zlib");
    let mut read = Command::new("objcopy");
    read.arg("--dump-section")
        .arg(format!(".dep-v0={}", section.display()));
    let read = read
        .arg(built.join("hookgate"))
        .arg("/dev/null")
        .output()
        .expect("objcopy");
    // Some versions of objcopy only warn of a section that is not there.
    if !read.status.success() || !section.exists() {
        assert!(!has("auditable"), "the binary does not name its crates");
        return println!("skipped: built without cargo-auditable");
    }
    let inflate =
        "import sys, zlib; print(zlib.decompress(open(sys.argv[1], 'rb').read()).decode())";
    let list = succeeded(Command::new("python3").args(["-c", inflate]).arg(&section));
    let list: Json = serde_json::from_str(&list).expect("JSON");
    let packages = list["packages"].as_array().expect("a list").iter();
    let named = |package: &Json| {
        Some(format!(
            "{} {}",
            package["name"].as_str()?,
            package["version"].as_str()?
        ))
    };
    let listed: BTreeSet<_> = packages.filter_map(named).collect();
    let missing: Vec<_> = crates().difference(&listed).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
}
