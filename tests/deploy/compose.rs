//! examples/compose: valid for Compose, and run by podman-compose.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::SECRET;
use crate::engine::{APP_IMAGE, Engine, IMAGE, ROOT, eventually, succeeded};
use crate::support::setting;

/// A program of the packages that `scripts/test` installs.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    setting("HOOKGATE_TEST_PYTHON").map(|python| python.with_file_name(name))
}

#[test]
fn the_compose_file_is_one() {
    let Some(check) = installed("check-jsonschema") else {
        return;
    };
    let mut check = Command::new(check);
    check.args(["--builtin-schema", "vendor.compose-spec"]);
    succeeded(check.arg(format!("{ROOT}/examples/compose/compose.yaml")));
}

/// The example's folder with the images of this run, and without a network.
fn example(engine: &Engine) -> PathBuf {
    let folder = engine.path("compose/app-and-gate");
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("{ROOT}/examples/compose/{name}"));
        text.expect("the example")
    };
    let mut compose = read("compose.yaml");
    let program = "command: [python, /app/app.py, /run/app/app.sock, /var/lib/app/handled.sqlite3]";
    for (from, to) in [
        ("hookgate:latest", IMAGE),
        ("python:3.13-slim", APP_IMAGE),
        (program, "environment: {APP_SOCKET: /run/app/app.sock}"),
        (
            "    ports:\n      - \"8080:8080\"\n",
            "    network_mode: none\n",
        ),
    ] {
        assert!(compose.contains(from), "{from}");
        compose = compose.replace(from, to);
    }
    std::fs::create_dir_all(folder.join("secrets")).expect("a folder");
    std::fs::create_dir(folder.with_file_name("python")).expect("a folder");
    for (name, text) in [
        ("compose.yaml", compose.as_str()),
        ("hookgate.toml", &read("hookgate.toml")),
        ("secrets/stripe", SECRET),
        ("secrets/admin-token", "a token of more than sixteen bytes"),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    folder
}

#[test]
fn what_comes_while_the_app_is_stopped_reaches_it_later() {
    let (Some(compose), Some(engine)) = (installed("podman-compose"), Engine::with_image()) else {
        return;
    };
    engine.with_app_image();
    let folder = example(&engine);
    let run = |arguments: &[&str]| {
        let mut command = engine.command(&compose);
        command
            .current_dir(&folder)
            .arg("--in-pod=0")
            .args(arguments);
        succeeded(&mut command)
    };
    let hookgate = |arguments: &[&str]| {
        let program = ["exec", "app-and-gate_hookgate_1", "/hookgate"];
        engine.podman(&[&program, arguments].concat())
    };
    let send = || {
        let url = "http://127.0.0.1:8080/webhooks/stripe";
        let sent = succeeded(&mut hookgate(&[
            "send",
            "--provider=stripe",
            "--secret",
            SECRET,
            "--to",
            url,
        ]));
        assert!(sent.starts_with("200 OK  stored"), "{sent}");
    };

    run(&["up", "--no-build", "--detach"]);
    eventually("health", || {
        let ready = hookgate(&["healthcheck"]).output().expect("podman");
        ready.status.success()
    });
    let socket = engine.inspect("app-and-gate_socket", ".Mountpoint");
    let received = Path::new(socket.as_str().expect("a path")).join("received");
    let received = || {
        std::fs::read_to_string(&received)
            .unwrap_or_default()
            .lines()
            .count()
    };
    send();
    eventually("the first delivery", || received() == 1);
    run(&["stop", "app"]);
    send();
    send();
    run(&["start", "app"]);
    eventually("the others", || received() == 3);
    run(&["down"]);
    println!("3 events taken, 2 of them while the app was stopped, 3 at the app");
}
