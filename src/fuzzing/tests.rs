//! The targets fed without a fuzzer: with every seed, and with seeds that were changed at random.
//!
//! `HOOKGATE_TEST_FUZZ_CASES` says how many changes for each target. A case that fails is one
//! number; with `HOOKGATE_TEST_FUZZ_CASE` it is run alone.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::seeds;

/// A function that is fed, and what with.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// Pieces that mean something to one reader or another.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b"::",
    b".",
    b"--",
    b",",
    b";",
    b"=",
    b"&",
    b"?",
    b"/",
    b"//",
    b"..",
    b"%2F",
    b"%2f",
    b"%2E",
    b"%00",
    b"%",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{}",
    b"[]",
    b"\"\"",
    b"\"",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"007",
    b"1e309",
    b"18446744073709551615",
    b"9223372036854775808",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"sha256=",
    b"v1=",
    b"v1,",
    b"t=",
    b"Bearer ",
    b"Basic ",
    b"whsec_",
    b"hookgate-",
    b"hookgate_",
    b"connection: ",
    b"x-forwarded-for: ",
    b"content-type: application/json",
    b"10.0.0.1",
    b"::1",
    b"Z",
    b"+01:00",
];

fn setting(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what a test is told, no setting of the program"
    )]
    std::env::var(name).ok()
}

/// An input made of the seeds; the same for the same number.
fn changed(seeds: &[Vec<u8>], case: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(case);
    let mut data = random.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..=data.len());
        let end = random.usize(at..=data.len().min(at + 32));
        match random.u8(0..7) {
            0 => drop(data.drain(at..end)),
            1 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << random.u8(0..8);
                }
            }
            2 => data.insert(at, random.u8(..)),
            3 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            4 => data.truncate(at),
            5 => {
                let other = random.choice(seeds).cloned().unwrap_or_default();
                let from = random.usize(0..=other.len());
                data.splice(at..end, other[from..].iter().copied().take(64));
            }
            _ => {
                let word = random.choice(WORDS).copied().unwrap_or_default();
                data.splice(at..end.min(at + word.len()), word.iter().copied());
            }
        }
    }
    data
}

fn feed(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    if let Some(case) = setting("HOOKGATE_TEST_FUZZ_CASE") {
        return (target.run)(&changed(&seeds, case.parse().expect("a number")));
    }
    for (at, seed) in seeds.iter().enumerate() {
        let fed = catch_unwind(AssertUnwindSafe(|| (target.run)(seed)));
        let shown = String::from_utf8_lossy(seed);
        assert!(fed.is_ok(), "{}: seed {at}:\n{shown}", target.name);
    }
    let wanted = setting("HOOKGATE_TEST_FUZZ_CASES").and_then(|text| text.parse().ok());
    let cases = wanted.unwrap_or(300);
    for case in 0..cases {
        let data = changed(&seeds, case);
        let fed = catch_unwind(AssertUnwindSafe(|| (target.run)(&data)));
        let name = target.name;
        assert!(
            fed.is_ok(),
            "{}\nreplay: HOOKGATE_TEST_FUZZ_CASE={case} cargo nextest run fuzzing::tests::{name}",
            String::from_utf8_lossy(&data)
        );
    }
    println!(
        "fuzzed {}: {} seeds, {cases} changes of them, 0 failures",
        target.name,
        seeds.len()
    );
}

macro_rules! targets {
    ($($name:ident: $seeds:ident),* $(,)?) => {
        const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: super::$name,
            seeds: seeds::$seeds,
        }),*];

        $(#[test]
        fn $name() {
            let target = TARGETS.iter().find(|target| target.name == stringify!($name));
            feed(target.expect("one of the list"));
        })*
    };
}

targets! {
    admin_queries: queries,
    captured_requests: requests,
    challenges: challenges,
    config: configs,
    content_templates: templates,
    diagnoses: refused,
    explanations: addressed,
    fetched_addresses: addresses,
    form_ids: forms,
    forwarded_for: hops,
    headers: requests,
    json_ids: json_ids,
    paths: paths,
    procedures: procedures,
    provider_files: provider_files,
    public_keys: public_keys,
    records: records,
    retry_after: retry_after,
    signatures: addressed,
    signing: signing,
    timestamps: timestamps,
    tokens: tokens,
    value_sources: value_sources,
}

#[test]
fn every_target_has_a_program_for_the_fuzzer() {
    let listed: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let programs = std::fs::read_dir(root.join("fuzz_targets")).expect("fuzz_targets");
    let name = |path: &Path| {
        path.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    let programs: BTreeSet<_> = programs
        .map(|file| name(&file.expect("a file").path()))
        .collect();
    assert_eq!(programs, listed);
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    for name in listed {
        let program = std::fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs")));
        let calls = format!("hookgate::fuzzing::{name}(data)");
        assert!(program.expect("a program").contains(&calls), "{name}");
        assert!(
            manifest.contains(&format!("\nname = \"{name}\"\n")),
            "{name}"
        );
    }
}

/// Not a test, but the way for `scripts/fuzz` to get at the seeds.
#[test]
fn seeds_are_written_for_the_fuzzer_where_it_wants_them() {
    let Some(corpus) = setting("HOOKGATE_TEST_FUZZ_CORPUS") else {
        return;
    };
    for target in TARGETS {
        let folder = Path::new(&corpus).join(target.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (at, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at:04}")), seed).expect("a seed");
        }
    }
}
