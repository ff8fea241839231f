//! podman with a storage of its own below the target directory, as it runs on a machine without systemd and
//! without another container runtime's leave: runc, vfs, no network.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// Far longer than anything takes on a slow machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const IMAGE: &str = "localhost/hookgate:test";
pub(crate) const APP_IMAGE: &str = "localhost/app:test";

/// The folder with the static binary that `scripts/image` made; without it the test is skipped.
#[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
pub(crate) fn built() -> Option<PathBuf> {
    let built = std::env::var("HOOKGATE_TEST_IMAGE").ok().map(PathBuf::from);
    if built.is_none() {
        println!(
            "skipped: HOOKGATE_TEST_IMAGE is not set (scripts/test sets it where podman, buildah and runc are)"
        );
    }
    built
}

/// A podman of its own; all that it made goes with it.
pub(crate) struct Engine {
    disk: TempDir,
    short: TempDir,
}

impl Engine {
    /// With the image built from the binary in `built`.
    pub(crate) fn with_image() -> Option<Self> {
        built()?;
        let engine = Self {
            // Stores want a real disk, podman's sockets a short path.
            disk: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"),
            short: tempfile::tempdir().expect("a folder"),
        };
        let (disk, short) = (engine.disk.path().display(), engine.short.path().display());
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{disk}/graph\"\nrunroot = \"{short}/run\"\n"
        );
        let containers = format!(
            "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\n\
             events_logger = \"none\"\nlock_type = \"file\"\ntmp_dir = \"{short}/libpod\"\n"
        );
        std::fs::write(engine.path("storage.conf"), storage).expect("a file");
        std::fs::write(engine.path("containers.conf"), containers).expect("a file");
        let mut build = engine.command(format!("{ROOT}/scripts/image"));
        build.arg("image").env("HOOKGATE_IMAGE", IMAGE);
        succeeded(&mut build);
        Some(engine)
    }

    /// A place for files beside its own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.short.path()) // where no folder has the name of an image
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .env("BUILDAH_ISOLATION", "chroot")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("podman");
        command.args(arguments);
        command
    }

    /// What podman prints, without the line break at its end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        succeeded(&mut self.podman(arguments)).trim_end().to_owned()
    }

    pub(crate) fn inspect(&self, name: &str, format: &str) -> Json {
        let text = self.ask(&[
            "inspect",
            name,
            "--format",
            &format!("{{{{json {format}}}}}"),
        ]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// The image of `tests/deploy/app.rs`, a static program of the standard library alone.
    pub(crate) fn with_app_image(&self) -> PathBuf {
        let folder = self.path("app-image");
        std::fs::create_dir(&folder).expect("a folder");
        let program = folder.join("app");
        let mut compile = Command::new("rustc");
        compile.args(["--edition", "2024", "-C", "target-feature=+crt-static"]);
        compile.arg(format!("{ROOT}/tests/deploy/app.rs"));
        succeeded(compile.arg("-o").arg(&program));
        let recipe = self.path("app-recipe");
        // The first process of a container hears no SIGTERM that it does not ask for.
        let text =
            "FROM scratch\nCOPY app /program\nSTOPSIGNAL SIGKILL\nENTRYPOINT [\"/program\"]\n";
        std::fs::write(&recipe, text).expect("a file");
        let mut build = self.podman(&["build", "--quiet", "--tag", APP_IMAGE, "--file"]);
        succeeded(build.arg(recipe).arg(folder));
        program
    }

    /// Plays examples/podman/pod.yaml: with the images of this run, without a network, and with the secret in
    /// a folder of its own.
    pub(crate) fn play(&self) -> Pod<'_> {
        let secrets = self.path("secrets");
        std::fs::create_dir(&secrets).expect("a folder");
        std::fs::write(secrets.join("stripe"), crate::SECRET).expect("a file");
        let shipped = std::fs::read_to_string(format!("{ROOT}/examples/podman/pod.yaml"));
        let mut text = shipped.expect("the example");
        for (from, to) in [
            ("localhost/hookgate:latest", IMAGE),
            ("registry.example.com/app:1.0.0", APP_IMAGE),
            ("/etc/hookgate/secrets", &secrets.display().to_string()),
            // Ports can be published on a network only.
            (
                "      ports:\n        - {name: webhooks, containerPort: 8080, hostPort: 8080}\n",
                "",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let file = self.path("pod.yaml");
        std::fs::write(&file, text).expect("a file");
        let mut play = self.podman(&["kube", "play", "--build=false", "--network=none"]);
        succeeded(play.arg(file));
        Pod { engine: self }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for arguments in [
            ["pod", "rm", "--all", "--force", "--time=0"].as_slice(),
            &["rm", "--all", "--force", "--time=0"],
        ] {
            let _ = self.podman(arguments).output();
        }
    }
}

/// The example's pod.
pub(crate) struct Pod<'a> {
    engine: &'a Engine,
}

impl Pod<'_> {
    /// What the commands of the program print, run in the gate's container.
    pub(crate) fn hookgate(&self, arguments: &[&str]) -> Command {
        let program = ["exec", "app-hookgate", "/hookgate"];
        self.engine.podman(&[&program, arguments].concat())
    }

    /// Waits until the gate takes events.
    pub(crate) fn ready(&self) {
        eventually("readiness", || {
            run(&mut self.hookgate(&["healthcheck"])).status.success()
        });
    }

    /// Sends so many events to the gate, and hands each line about one to `each` as it comes; whether all were
    /// taken.
    pub(crate) fn send(&self, count: u32, to: &str, each: impl Fn(&str)) -> bool {
        let url = format!("http://{to}:8080/webhooks/stripe");
        let send = [
            "send",
            "--provider=stripe",
            "--secret",
            crate::SECRET,
            "--to",
            &url,
        ];
        let mut send = self.hookgate(&send);
        send.args(["--count", &count.to_string()]);
        let mut send = send
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("podman");
        let lines = BufReader::new(send.stdout.take().expect("its output")).lines();
        lines.map_while(Result::ok).for_each(|line| each(&line));
        send.wait().expect("it ends").success()
    }

    /// Events that wait for the app.
    pub(crate) fn pending(&self) -> u64 {
        let sources = succeeded(&mut self.hookgate(&["sources", "list", "--json"]));
        let sources: Json = serde_json::from_str(&sources).expect("JSON");
        sources["sources"][0]["pending"].as_u64().expect("a number")
    }

    /// A file in the folder of the socket.
    pub(crate) fn beside_the_socket(&self, name: &str) -> PathBuf {
        let folder = self.engine.inspect("socket", ".Mountpoint");
        Path::new(folder.as_str().expect("a path")).join(name)
    }

    /// The ids of the events that the app took, in order.
    pub(crate) fn received(&self) -> Vec<String> {
        let received = std::fs::read_to_string(self.beside_the_socket("received"));
        received
            .expect("the app's notes")
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Stops the containers, as podman and the kubelet do it: SIGTERM, and much later SIGKILL. The gate's
    /// exit code.
    pub(crate) fn stop(&self) -> i64 {
        self.engine.ask(&["pod", "stop", "--time=40", "app"]);
        let code = self.engine.inspect("app-hookgate", ".State.ExitCode");
        code.as_i64().expect("a number")
    }

    /// Starts them again.
    pub(crate) fn start(&self) {
        self.engine.ask(&["pod", "start", "app"]);
        self.ready();
    }

    /// A process of the host's view.
    pub(crate) fn process(&self, container: &str) -> PathBuf {
        let id = self.engine.inspect(container, ".State.Pid").to_string();
        Path::new("/proc").join(id)
    }
}

/// Looks again and again until `condition` holds.
#[expect(clippy::disallowed_methods, reason = "between two looks")]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            Instant::now() < end,
            "{what} did not happen within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a command prints; it must succeed.
pub(crate) fn succeeded(command: &mut Command) -> String {
    let output = run(command);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{errors}",
        output.status
    );
    text.into_owned()
}
