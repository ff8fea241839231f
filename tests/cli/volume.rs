//! What a 200 means and survives, as a start and `hookgate check` say it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::gate::Gate;
use super::{hookgate, outcome};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

const TWO_SOURCES: &str = r#"
[sources.stripe]
provider = "stripe"
secret = "whsec_one"
[sources.github]
provider = "github"
secret = "another"
ack = "handled"
"#;

/// The lines about acknowledgements that `hookgate check` prints.
fn checked(mut check: Command, place: &TempDir, store: &Path) -> Vec<String> {
    let file = place.path().join("hookgate.toml");
    std::fs::write(file, TWO_SOURCES).expect("a file");
    check.env("HOOKGATE__STORE__PATH", store);
    check.env("HOOKGATE__STORE__ALLOW_VOLATILE", "true");
    let (code, printed, errors) = outcome(&check.output().expect("the program runs"));
    assert_eq!(code, Some(0), "{printed}{errors}");
    let lines = printed.lines().filter(|line| line.starts_with("ack "));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn a_check_says_what_a_200_means_for_each_kind_of_acknowledgement() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        println!("SKIPPED: no file system in memory at /dev/shm");
        return;
    };
    let mut check = hookgate(&place);
    check.arg("check");
    // It need not exist yet.
    let said = checked(check, &place, &memory.path().join("a/store"));
    let [stored, handled] = &said[..] else {
        panic!("{said:?}")
    };
    for part in [
        "\"stored\" (stripe)",
        "memory (tmpfs)",
        "lost with the power",
        "hookgate drain --wait",
    ] {
        assert!(stored.contains(part), "{part}: {stored}");
    }
    for part in ["\"handled\" (github)", "the app has taken it", "tmpfs"] {
        assert!(handled.contains(part), "{part}: {handled}");
    }
}

/// A directory with the name that the kubelet gives it, mounted as it would be, in mounts of its own.
#[test]
fn an_empty_dir_of_kubernetes_is_recognised_on_real_mounts() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let volumes = place.path().join("pods/0c5d/volumes");
    let data = place.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    let seen = [
        "kubernetes.io~empty-dir/spool",
        "kubernetes.io~csi/pvc-1/mount",
    ]
    .map(|volume| {
        let volume = volumes.join(volume);
        std::fs::create_dir_all(&volume).expect("a directory");
        let mut inside = Command::new("unshare");
        let script = "mount --bind \"$0\" \"$1\" || exit 77; exec \"$2\" check";
        inside.args(["--mount", "sh", "-c", script]);
        inside.args([&*volume, &*data, Path::new(PROGRAM)]);
        inside.current_dir(place.path());
        let probe = Command::new("unshare")
            .args(["--mount", "mount", "--bind"])
            .args([&volume, &data])
            .output();
        probe
            .is_ok_and(|probe| probe.status.success())
            .then(|| checked(inside, &place, &data.join("store")))
    });
    let [Some(empty_dir), Some(claim)] = seen else {
        println!("SKIPPED: mounts of its own need root");
        return;
    };
    assert!(
        empty_dir[0].contains("an emptyDir of the pod")
            && empty_dir[0].contains("lost when the pod is deleted"),
        "{empty_dir:?}"
    );
    assert!(
        claim[0].contains("whether it outlives the pod cannot be told"),
        "{claim:?}"
    );
}

#[test]
fn a_start_says_what_a_200_means_and_the_metric_says_on_what() {
    let gate = Gate::start();
    let scraped = gate.get("/metrics");
    let info = scraped
        .lines()
        .find(|line| line.starts_with("hookgate_store_volume_info{"))
        .expect("the metric");
    let filesystem = info.split('"').nth(1).expect("a label").to_owned();
    assert_ne!(filesystem, "unknown", "{info}");
    assert!(info.ends_with(" 1"), "{info}");
    let log = gate.stop();
    let said = gate_line(&log, "a 200 means");
    assert!(said.contains(&format!("({filesystem})")), "{said}");
    assert!(
        said.contains("\"ack\":\"stored\"") && said.contains("\"sources\":\"stripe\""),
        "{said}"
    );
}

fn gate_line<'a>(log: &'a [String], said: &str) -> &'a str {
    log.iter()
        .find(|line| line.contains(said))
        .unwrap_or_else(|| panic!("{said:?} is not in {log:?}"))
}
