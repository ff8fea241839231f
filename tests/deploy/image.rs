//! The image: what is in it, how it behaves by itself, and what it is built from.

use std::process::Command;

use serde_json::{Value as Json, json};

use crate::SECRET;
use crate::compose::installed;
use crate::engine::{Engine, IMAGE, ROOT, built, eventually, run, succeeded};

/// What the binary may weigh, in bytes.
const BINARY_MAX: usize = 15_000_000;

#[test]
fn the_image_holds_one_binary_and_a_folder_for_the_store() {
    let Some(engine) = Engine::with_image() else {
        return;
    };
    let config = engine.inspect(IMAGE, ".Config");
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/hookgate"]));
    assert_eq!(config["Cmd"], json!(["run"]));
    assert_eq!(config["WorkingDir"], "/var/lib/hookgate");
    assert_eq!(
        config["ExposedPorts"],
        json!({"8080/tcp": {}, "9600/tcp": {}})
    );
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str();
    assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(label("revision").map(str::len), Some(40), "{config}");
    assert_eq!(label("licenses"), Some(env!("CARGO_PKG_LICENSE")));
    let check = engine.inspect(IMAGE, ".HealthCheck");
    assert_eq!(check["Test"], json!(["CMD", "/hookgate", "healthcheck"]));

    let container = engine.ask(&["create", "--network=none", IMAGE]);
    let archive = engine.path("image.tar");
    engine.ask(&[
        "export",
        "--output",
        &archive.display().to_string(),
        &container,
    ]);
    let listed = succeeded(
        Command::new("tar")
            .arg("-tv")
            .arg("--numeric-owner")
            .arg("-f")
            .arg(archive),
    );
    let has = |owner: &str, name: &str| {
        let mut lines = listed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.any(|line| {
            line[0] == owner.split(' ').next().unwrap_or_default()
                && owner.ends_with(line[1])
                && line.last() == Some(&name)
        })
    };
    assert!(has("-rwxr-xr-x 0/0", "hookgate"), "{listed}");
    assert!(
        has("drwx------ 65532/65532", "var/lib/hookgate/"),
        "{listed}"
    );
    // What podman puts into every container is empty here.
    let files = listed.lines().filter(|line| line.starts_with('-')).count();
    let full = listed
        .lines()
        .filter(|line| line.starts_with('-') && line.split_whitespace().nth(2) != Some("0"));
    assert_eq!(full.count(), 1, "{files} files: {listed}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
fn the_shipped_binary_is_static_small_and_names_no_folder_of_the_builder() {
    let Some(built) = built() else {
        return;
    };
    let program = built.join("hookgate");
    let bytes = std::fs::read(&program).expect("the binary");
    println!("the binary: {} bytes", bytes.len());
    // Only the release profile is small.
    let profile = std::env::var("HOOKGATE_IMAGE_PROFILE");
    if profile.is_ok_and(|profile| profile != "release") {
        println!("its size is not judged: it is not of the release profile");
    } else {
        assert!(bytes.len() < BINARY_MAX);
    }
    let linked = run(Command::new("ldd").arg(&program));
    let linked = [linked.stdout, linked.stderr].concat();
    let linked = String::from_utf8_lossy(&linked);
    assert!(
        linked.contains("statically linked") || linked.contains("not a dynamic"),
        "{linked}"
    );
    let home = std::env::var("HOME").expect("HOME");
    for folder in [ROOT, &format!("{home}/.cargo"), &format!("{home}/.rustup")] {
        let found = bytes
            .windows(folder.len())
            .any(|window| window == folder.as_bytes());
        assert!(!found, "the binary has {folder} in it");
    }
}

#[test]
fn the_default_configuration_is_healthy_until_it_drains() {
    let Some(engine) = Engine::with_image() else {
        return;
    };
    engine.ask(&[
        "run",
        "--detach",
        "--name=gate",
        "--network=none",
        "--read-only",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        "--volume=events:/var/lib/hookgate",
        "--env=HOOKGATE__SOURCES__STRIPE__PROVIDER=stripe",
        &format!("--env=HOOKGATE__SOURCES__STRIPE__SECRET={SECRET}"),
        IMAGE,
    ]);
    let check = || {
        run(&mut engine.podman(&["healthcheck", "run", "gate"]))
            .status
            .success()
    };
    eventually("health", check);
    assert_eq!(engine.inspect("gate", ".State.Health.Status"), "healthy");

    engine.ask(&["exec", "gate", "/hookgate", "drain"]);

    assert!(!check());
    engine.ask(&["stop", "gate"]);
    assert_eq!(engine.inspect("gate", ".State.ExitCode"), json!(0));
}

#[test]
fn what_goes_into_the_build_is_enough_for_it() {
    let Some(engine) = Engine::with_image() else {
        return;
    };
    let recipe = engine.path("context");
    std::fs::write(&recipe, "FROM scratch\nCOPY . /\nENTRYPOINT [\"/none\"]\n").expect("a file");
    let mut build = engine.podman(&["build", "--quiet", "--tag=context"]);
    build.arg(format!("--ignorefile={ROOT}/.dockerignore"));
    succeeded(build.arg("--file").arg(recipe).arg(ROOT));
    let container = engine.ask(&["create", "--network=none", "context"]);
    let context = engine.path("from-context");
    std::fs::create_dir(&context).expect("a folder");
    engine.ask(&[
        "cp",
        &format!("{container}:/."),
        &context.display().to_string(),
    ]);

    assert!(context.join("scripts/image").is_file());
    assert!(context.join(".cargo/config.toml").is_file());
    for left_out in ["target", ".git", "docs", "tests/it"] {
        assert!(!context.join(left_out).exists(), "{left_out}");
    }
    let targets = |folder: &str| {
        let mut metadata = Command::new("cargo");
        metadata.args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version=1",
        ]);
        let metadata: Json =
            serde_json::from_str(&succeeded(metadata.current_dir(folder))).expect("JSON");
        let package = metadata["packages"].as_array().expect("a list").iter();
        let package = package
            .into_iter()
            .find(|package| package["name"] == "hookgate")
            .expect("ours");
        let targets = package["targets"].as_array().expect("a list").iter();
        let kinds =
            targets.map(|target| (target["kind"][0].to_string(), target["name"].to_string()));
        kinds
            .filter(|(kind, _)| kind != "\"test\"")
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&context.display().to_string()), targets(ROOT));
    assert!(
        targets(ROOT)
            .iter()
            .any(|(kind, _)| kind == "\"custom-build\"")
    );
}

#[test]
fn the_recipe_has_no_known_mistake() {
    let Some(hadolint) = installed("hadolint") else {
        return;
    };
    succeeded(Command::new(hadolint).arg(format!("{ROOT}/Dockerfile")));
}
